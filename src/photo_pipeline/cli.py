"""The command line: parse, call, exit status."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter, validators

from photo_pipeline import __version__
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from photo_pipeline.errors import PhotoPipelineError, SetupError
from photo_pipeline.log import set_up_logging
from photo_pipeline.settings import ProcessSettings, Settings, read_settings

FAILED: Final = 1
WRONG_USE: Final = 2  # as the shell's own commands: the call or the settings are wrong

app = App(
    name="photo-pipeline",
    version=__version__,
    help="A distributed photo pipeline: resize, watermark, content detection.",
)

_ROLE_HELP: Final = (
    f"One or more of {', '.join(('api', *PIPELINE, *SUBSCRIBERS, 'reconcile'))}, or the groups "
    "workers, subscribers, all; separated by commas."
)


@app.default
def run(
    *,
    role: Annotated[str, Parameter(help=_ROLE_HELP)],
    embedded: Annotated[bool, Parameter(negative=())] = False,
    data: Path = Path("data"),
) -> int:
    """Run roles in this process until SIGINT or SIGTERM.

    Parameters
    ----------
    embedded
        First start a private RabbitMQ and a private MongoDB, and stop them last.
    data
        Where the private servers and the photos live (with --embedded).
    """
    from photo_pipeline.roles import expand_roles, run_until_signal

    wanted = expand_roles(role)
    settings = _settings()
    if embedded:
        from photo_pipeline.demo import run_embedded

        asyncio.run(run_embedded(wanted, settings, data))
    else:
        asyncio.run(run_until_signal(wanted, settings))
    return 0


@app.command
def submit(
    *paths: Path,
    url: str = "http://localhost:8000",
    preset: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Upload photos and folders and follow them to their outcome.

    Parameters
    ----------
    paths
        Files, and folders to search for photos.
    url
        Where the service is.
    preset
        Name of the preset; the service's default if not given.
    json
        Print the results as JSON instead of a table.
    """
    from photo_pipeline.client.submit import submit as submit_photos

    return asyncio.run(submit_photos(paths, url=url, preset=preset, as_json=json))


@app.command
def demo(
    *paths: Path,
    data: Path = Path("data"),
    keep_serving: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Start everything on private servers and send photos through it.

    Parameters
    ----------
    paths
        Files, and folders to search for photos.
    data
        Where the private servers and the photos live.
    keep_serving
        Go on serving afterwards, until SIGINT or SIGTERM.
    """
    from photo_pipeline.demo import run_demo

    settings = _settings(quiet=True)
    if not keep_serving:
        # Whatever else runs on port 8000 must not stop a demo that nobody will visit.
        settings = replace(settings, http=settings.http.model_copy(update={"http_port": 0}))
    return asyncio.run(run_demo(paths, settings, data, keep_serving=keep_serving))


@app.command
def soak(
    *,
    photos: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100_000))] = 500,
    kill: str = "workers,broker,mongo",
    seed: int = 1,
    patience: Annotated[float, Parameter(validator=validators.Number(gte=1, lte=3600))] = 180.0,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Prove that nothing accepted is lost: photos through private servers, everything killed.

    Parameters
    ----------
    photos
        How many photos to upload.
    kill
        What to kill, stall and cut: any of workers, broker, mongo, separated by commas.
    seed
        Decides which photos are made and what is killed when.
    patience
        Seconds without any movement after which what is missing counts as lost.
    json
        Print counts, faults and durations as JSON instead of the proof line.
    """
    from photo_pipeline.soak.plan import parse_kinds
    from photo_pipeline.soak.run import soak as run_soak

    kinds = parse_kinds(kill)
    # Only what is wrong: faults are followed by hundreds of lines about lost connections.
    set_up_logging(ProcessSettings(log_level="error"))
    return asyncio.run(
        run_soak(photos=photos, kinds=kinds, seed=seed, patience_s=patience, as_json=json)
    )


def _settings(*, quiet: bool = False) -> Settings:
    settings = read_settings()
    process = settings.process
    if quiet and "log_level" not in process.model_fields_set:
        process = process.model_copy(update={"log_level": "warning"})
    set_up_logging(process)
    return settings


def main() -> int:
    """Run the command line; return its exit status."""
    try:
        return app(result_action="return_value") or 0
    except PhotoPipelineError as error:
        for line in error.message.splitlines():
            print(f"photo-pipeline: {line}", file=sys.stderr)  # noqa: T201
        return WRONG_USE if isinstance(error, SetupError) else FAILED
    except OSError as error:
        print(f"photo-pipeline: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
