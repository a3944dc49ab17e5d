"""The API under requests that nobody thought of: no 5xx, and no answer that is not promised.

Schemathesis makes them up from the OpenAPI document that the API itself serves, so that new
operations are tried without a word here.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from support.processes import SAMPLES, Fleet, RoleProcess

SEED = "20250601"
EXAMPLES = "40"  # for each operation; a run takes about 20 s on an idle machine
LIMIT_S = 240

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
)


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("ids", ["made up", "of a photo"])
async def test_no_request_leads_to_an_answer_that_is_not_promised(
    fleet: Fleet, tmp_path: Path, ids: str
) -> None:
    api = await fleet.start_api("api,workers")
    if ids == "of a photo":
        photo_id = await fleet.upload(api, SAMPLES / "cat-small.jpg")
        assert (await fleet.outcome(api, photo_id))["status"] == "done"
        (tmp_path / "schemathesis.toml").write_text(f'[parameters]\n"path.id" = "{photo_id}"\n')
    status, report = await _run(api, tmp_path)
    sys.stdout.write(report)  # pytest shows it with a failure
    assert status == 0, "schemathesis found something; its report is among the captured output"
    async with fleet.http.get(f"{api.url}/readyz") as answer:
        assert answer.status == 200


async def _run(api: RoleProcess, folder: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("st"), "run", f"{api.url}/openapi.json"),
        *("--checks", ",".join(CHECKS)),
        *("--seed", SEED, "--max-examples", EXAMPLES, "--generation-database", "none"),
        *("--workers", "1", "--continue-on-failure", "--no-color"),
        *("--request-timeout", "30"),
        cwd=folder,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, output.decode()
