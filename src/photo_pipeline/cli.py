"""The command line: parse, call, exit status."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter, validators

from photo_pipeline import __version__
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from photo_pipeline.errors import PhotoPipelineError, SetupError
from photo_pipeline.log import set_up_logging
from photo_pipeline.settings import ProcessSettings, Settings, read_settings

FAILED: Final = 1
SERVICE: Final = "http://localhost:8000"
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
    url: str = SERVICE,
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
    patience: Annotated[float, Parameter(validator=validators.Number(gte=1, lte=3600))] = 45.0,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Prove that nothing accepted is lost: photos through private servers, everything killed.

    Ends with "N in = N terminal, 0 lost, 0 stuck, 0 duplicate outcomes"; exit status 1 on any
    difference.

    Parameters
    ----------
    photos
        How many photos to upload, about two a second.
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


@app.command
def verify(
    *,
    photo: str | None = None,
    jobs: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))] = 2,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Check every finished photo of a store again, and name whatever must not be published.

    Compares sizes and SHA-256 sums with the status documents, looks into every rendition for
    metadata that must not be there, and compares it with its original. Exit status 1 on any
    violation. Works with PHOTO_MONGO_URL and PHOTO_STORAGE_URL, and changes nothing.

    Parameters
    ----------
    photo
        Only the photo of this id.
    jobs
        How many photos to check at a time; each decodes its original in a process of its own.
    json
        Print counts and violations as JSON instead of lines.
    """
    from photo_pipeline.verify.run import verify as run_verification

    settings = _settings(quiet=True)
    return asyncio.run(run_verification(settings, photo_id=photo, jobs=jobs, as_json=json))


dead = App(name="dead", help="See what was given up for good, and replay or discard it.")
app.command(dead)

_Url = Annotated[str, Parameter(help="Where the service is.")]
_Json = Annotated[bool, Parameter(negative=(), help="Print JSON instead of text.")]
_Fingerprint = Annotated[str | None, Parameter(help="All that died of this fault.")]
_All = Annotated[bool, Parameter(name="--all", negative=(), help="All that are open.")]


@dead.command(name="list")
def dead_list(
    *,
    fingerprint: _Fingerprint = None,
    stage: str | None = None,
    state: Literal["open", "replayed", "discarded", "any"] = "open",
    limit: int = 50,
    url: _Url = SERVICE,
    json: _Json = False,
) -> int:
    """List dead letters, those that died of the same fault in groups.

    Parameters
    ----------
    stage
        Only those of this stage, or of a subscriber's processed_images.NAME.
    state
        Only those of this state.
    limit
        How many letters to show, the newest ones (groups are always complete).
    """
    from photo_pipeline.client.dead import list_dead

    return asyncio.run(
        list_dead(
            url=url,
            fingerprint=fingerprint,
            stage=stage,
            state=state,
            limit=limit,
            as_json=json,
        )
    )


@dead.command(name="show")
def dead_show(id: str, *, url: _Url = SERVICE, json: _Json = False) -> int:  # noqa: A002  # the word
    """Show everything known of one dead letter.

    Parameters
    ----------
    id
        From the list.
    """
    from photo_pipeline.client.dead import show_dead

    return asyncio.run(show_dead(id, url=url, as_json=json))


@dead.command(name="replay")
def dead_replay(
    *ids: str,
    fingerprint: _Fingerprint = None,
    everything: _All = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    url: _Url = SERVICE,
    json: _Json = False,
) -> int:
    """Let photos go on where they failed, and subscribers hear what they missed.

    Parameters
    ----------
    ids
        Of dead letters, from the list.
    dry_run
        Only let a worker try one photo of the group out, which stays as it is.
    """
    from photo_pipeline.client.dead import Which, replay_dead

    which = Which(ids=ids, fingerprint=fingerprint, everything=everything)
    return asyncio.run(replay_dead(which, dry_run=dry_run, url=url, as_json=json))


@dead.command(name="discard")
def dead_discard(
    *ids: str,
    fingerprint: _Fingerprint = None,
    everything: _All = False,
    url: _Url = SERVICE,
    json: _Json = False,
) -> int:
    """Close dead letters without doing anything about them.

    Parameters
    ----------
    ids
        Of dead letters, from the list.
    """
    from photo_pipeline.client.dead import Which, discard_dead

    which = Which(ids=ids, fingerprint=fingerprint, everything=everything)
    return asyncio.run(discard_dead(which, url=url, as_json=json))


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
