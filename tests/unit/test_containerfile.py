"""The Containerfile agrees with the code and the locks; no container engine is needed."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from photo_pipeline import __version__
from photo_pipeline.roles import expand_roles
from support.containers import CONTAINERFILE, TOOLS
from support.processes import ROOT


def _instruction(name: str) -> Any:
    (found,) = re.findall(rf"^{name} (\[.*\])$", CONTAINERFILE, flags=re.MULTILINE)
    return json.loads(found)


def test_the_linter_finds_nothing_in_the_containerfile() -> None:
    answer = subprocess.run(
        [TOOLS / "hadolint", ROOT / "Containerfile"], check=False, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_image_needs_no_frontend_and_no_mounts() -> None:
    """So that every builder takes it, and nothing is pulled but the base."""
    assert not re.search(r"^# syntax|--mount|<<", CONTAINERFILE, flags=re.MULTILINE)


def test_the_base_is_a_supported_python() -> None:
    (version,) = re.findall(r"^ARG PYTHON_VERSION=(\S+)$", CONTAINERFILE, flags=re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    assert set(re.findall(r"^FROM (\S+)", CONTAINERFILE, flags=re.MULTILINE)) == {"${BASE}"}


def test_the_image_installs_by_hash_from_the_lock_of_the_package_alone() -> None:
    installs = re.findall(r"pip .*? install((?:.*\\\n)*.*)", CONTAINERFILE)
    locks = [re.findall(r"-r (\S+)", i) for i in installs if "-r" in i]
    assert locks == [["build.lock"], ["requirements.lock"]]
    assert all("--require-hashes" in i or "--no-index" in i for i in installs)


def test_the_build_backend_is_locked_as_for_development() -> None:
    def pins(lock: str) -> set[tuple[str, str]]:
        return set(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))

    build = pins("deploy/container/build.lock")
    assert "hatchling" in dict(build)
    assert build <= pins("requirements-dev.lock")


def test_the_label_tells_the_version() -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in CONTAINERFILE


def test_what_the_image_copies_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().split()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE, flags=re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
            kept = (f"!{p}" for p in (Path(source), *Path(source).parents))
            assert any(pattern in ignore for pattern in kept), source


def test_by_default_the_image_runs_roles_that_exist() -> None:
    assert _instruction("ENTRYPOINT") == ["photo-pipeline"]
    option, role = _instruction("CMD")
    assert option == "--role"
    assert expand_roles(role)
