"""Settings: read once from ``PHOTO_…`` environment variables into frozen sections.

Every part of the program gets only its section. All faults are reported together, and a
value is never printed: it may be a secret.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from photo_pipeline.errors import SettingsError

PREFIX: Final = "PHOTO_"
FILE_SUFFIX: Final = "_FILE"
MIB: Final = 1024 * 1024

CONSUMER_MARGIN_S: Final = 60.0
"""RabbitMQ takes back what is not acknowledged in time, and the whole connection of whoever had
it. A delivery is settled this much earlier: the last pause between two tries and the way of the
acknowledgement are in it."""

STAGE_OVERHEAD_S: Final = 180.0
"""Around a transform: two starts of a child (60 s each at most), reading, storing, recording and
publishing on a slow day."""

# Kubernetes gives every container such variables for each Service in its namespace; one for
# a Service called "photo-api" is no misspelt setting.
_SERVICE_LINK: Final = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP)")
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp)://")

Environment = Mapping[str, str]


def _with_scheme(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if urlsplit(url).scheme not in schemes:
            raise ValueError(f"must begin with {' or '.join(f'{s}://' for s in schemes)}")
        return url

    return AfterValidator(check)


def _with_host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # parsed when asked for
    except ValueError:
        raise ValueError("is not a URL; special characters need percent-encoding") from None
    if not host:
        raise ValueError("must name a host")
    return url


def each_host(url: str) -> tuple[str, ...]:
    """Return the URLs for each host of a URL with several: ``amqp://user@a:1,b:2/`` is two.

    Only the commas of the hosts part them; user, password, path and query go with each.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    return tuple(f"{scheme}{separator}{user}{at}{h}{slash}{path}" for h in hosts.split(","))


def _with_hosts(url: str) -> str:
    for one in each_host(url):
        _with_host(one)
    return url


def _local_folder(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be file:///absolute/folder")
    return url


def _once_each(delays_s: tuple[float, ...]) -> tuple[float, ...]:
    if len({f"{delay:g}" for delay in delays_s}) != len(delays_s):  # as queues are named
        raise ValueError("must name each delay once: each is a queue of its own")
    return delays_s


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _has_database(url: str) -> str:
    if not urlsplit(url).path.strip("/"):
        raise ValueError("must name the database in its path")
    return url


def _split(value: Any) -> Any:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


class _Section(BaseModel):
    # hide_input_in_errors: the value of a setting may be a secret.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BrokerSettings(_Section):
    """RabbitMQ."""

    amqp_url: Annotated[str, _with_scheme("amqp", "amqps"), AfterValidator(_with_hosts)] = (
        "amqp://guest:guest@127.0.0.1:5672/"
    )
    topology_prefix: str = Field("", pattern=r"^[A-Za-z0-9_.-]{0,60}$")
    retry_delays_s: Annotated[
        tuple[Annotated[float, Field(ge=0.01, le=86_400)], ...],
        BeforeValidator(_split),
        AfterValidator(_once_each),
    ] = Field((5, 30, 120, 600), min_length=1, max_length=10)


class StoreSettings(_Section):
    """Where photos and their status documents are kept."""

    mongo_url: Annotated[
        str, _with_scheme("mongodb", "mongodb+srv"), AfterValidator(_has_database)
    ] = "mongodb://127.0.0.1:27017/photo_pipeline"
    storage_url: Annotated[str, _with_scheme("file"), AfterValidator(_local_folder)] = Field(
        default_factory=lambda: Path("data/photos").resolve().as_uri()
    )


class HttpSettings(_Section):
    """The API and the probe port."""

    http_host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=0, le=65_535)
    health_port: int = Field(0, ge=0, le=65_535)
    max_upload_bytes: int = Field(100 * MIB, ge=1)
    # Each may hold 2 MiB in memory, beside the 60 of an idle API: half of its container's 512.
    max_uploads: int = Field(100, ge=1, le=10_000)
    # A hundred uploads of 4 MB, and as much again for what is made of each and of those before.
    storage_reserve_bytes: int = Field(1024 * MIB, ge=0)


class WorkSettings(_Section):
    """The stage consumers."""

    concurrency: int = Field(1, ge=1, le=256)
    max_pixels: int = Field(100_000_000, ge=1)
    stage_timeout_s: float = Field(60, gt=0, le=86_400)
    stage_memory_bytes: int = Field(2048 * MIB, ge=256 * MIB)
    consumer_timeout_s: float = Field(1800, ge=600, le=7 * 86_400)
    object_model: Path | None = None
    object_labels: Path | None = None

    @property
    def handling_s(self) -> float:
        """The longest time for one try at a delivery, and that within which tries may begin.

        Half of what RabbitMQ allows, so that a delivery is settled in time however often it is
        tried in this process.
        """
        return (self.consumer_timeout_s - CONSUMER_MARGIN_S) / 2

    @model_validator(mode="after")
    def _labels_of_a_model(self) -> Self:
        if self.object_labels is not None and self.object_model is None:
            raise ValueError(
                "PHOTO_OBJECT_LABELS are those of a PHOTO_OBJECT_MODEL, of which there is none"
            )
        return self

    @model_validator(mode="after")
    def _settled_in_time(self) -> Self:
        longest_s = self.handling_s - STAGE_OVERHEAD_S
        if self.stage_timeout_s > longest_s:
            raise ValueError(
                f"PHOTO_STAGE_TIMEOUT_S must be at most {longest_s:g} for PHOTO_CONSUMER_TIMEOUT_S="
                f"{self.consumer_timeout_s:g}: RabbitMQ takes a photo away from whoever has it for "
                "longer than that (its consumer_timeout), and two tries must fit in"
            )
        return self


class NotifySettings(_Section):
    """The webhooks of the subscriber ``notify``; without a URL it tells nobody."""

    webhook_urls: Annotated[
        tuple[Annotated[str, _with_scheme("http", "https"), AfterValidator(_with_host)], ...],
        BeforeValidator(_split),
    ] = ()
    webhook_secret: SecretStr | None = Field(None, min_length=16)
    webhook_allowed_networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_split)
    ] = ()

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.webhook_urls and self.webhook_secret is None:
            raise ValueError("PHOTO_WEBHOOK_SECRET is needed to sign what PHOTO_WEBHOOK_URLS get")
        return self


class ArchiveSettings(_Section):
    """The permanent storage of the subscriber ``archive``; without a URL it copies nothing."""

    archive_url: Annotated[str, _with_scheme("file"), AfterValidator(_local_folder)] | None = None


class ProcessSettings(_Section):
    """The process itself."""

    presets_file: Path | None = None
    shutdown_grace_s: float = Field(30, ge=0, le=3600)
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_lower)] = Field(
        default_factory=lambda: "console" if sys.stderr.isatty() else "json"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = (
        "info"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All sections."""

    broker: BrokerSettings
    store: StoreSettings
    http: HttpSettings
    work: WorkSettings
    notify: NotifySettings
    archive: ArchiveSettings
    process: ProcessSettings


SECTIONS: Final[dict[str, type[_Section]]] = {
    "broker": BrokerSettings,
    "store": StoreSettings,
    "http": HttpSettings,
    "work": WorkSettings,
    "notify": NotifySettings,
    "archive": ArchiveSettings,
    "process": ProcessSettings,
}


def read_settings(environment: Environment | None = None) -> Settings:
    """Read and validate every setting of *environment* (default: the process's own).

    An empty variable counts as not set. ``PHOTO_X_FILE`` names a file with the value of
    ``PHOTO_X``. Raises SettingsError that lists every fault, one a line.
    """
    environment = os.environ if environment is None else environment
    values, faults = _collect(environment)
    sections: dict[str, _Section] = {}
    for name, section in SECTIONS.items():
        own = {field: values.pop(field) for field in section.model_fields if field in values}
        try:
            sections[name] = section.model_validate(own)
        except ValidationError as error:
            faults += [_fault(e) for e in error.errors(include_url=False, include_input=False)]
    faults += [
        f"{PREFIX}{name.upper()}: no such setting"
        for name, value in values.items()
        if not (_SERVICE_LINK.search(name.upper()) or _SERVICE_ADDRESS.match(value))
    ]
    if faults:
        raise SettingsError("\n".join(sorted(set(faults))))
    return Settings(**sections)  # type: ignore[arg-type]  # keyed by the names of SECTIONS


def _fault(error: ErrorDetails) -> str:
    # A fault of several settings together belongs to none of them; its message names them.
    where = f"{PREFIX}{str(error['loc'][0]).upper()}: " if error["loc"] else ""
    return f"{where}{error['msg']}"


def _collect(environment: Environment) -> tuple[dict[str, str], list[str]]:
    """Return the raw values by field name, with ``_FILE`` variables replaced by contents."""
    values: dict[str, str] = {}
    faults: list[str] = []
    fields = {field for section in SECTIONS.values() for field in section.model_fields}
    for variable, value in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if name == variable.lower() or not value:
            continue
        target = name.removesuffix(FILE_SUFFIX.lower())
        if name in fields or target == name:
            values[name] = value
            continue
        if environment.get(PREFIX + target.upper()):
            faults.append(f"{variable}: {PREFIX}{target.upper()} is set as well")
        try:
            values[target] = Path(value).read_text(encoding="utf-8").strip()
        except OSError as error:
            faults.append(f"{variable}: cannot read the file: {error.strerror}")
        except ValueError:
            faults.append(f"{variable}: the file is not UTF-8 text")
    return values, faults
