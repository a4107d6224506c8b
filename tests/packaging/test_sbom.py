"""The list of the image's packages."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from image_support import locked
from packaging.utils import canonicalize_name
from packaging_support import ROOT, run_online

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], bytes]:
    """Runs `make sbom` with an environment of the test's own; returns the list."""

    def run() -> bytes:
        places = [f"IMAGE={tmp_path / 'image'}", f"SBOM={tmp_path / 'sbom.json'}"]
        run_online(["make", "-C", str(ROOT), "sbom", *places], "make sbom")
        return (tmp_path / "sbom.json").read_bytes()

    return run


def test_it_lists_the_image(make: Callable[[], bytes]) -> None:
    """It has each package with its version and licence, and is the same in each run and on each machine."""
    written = make()
    listed = json.loads(written)
    components: list[dict[str, Any]] = listed["components"]
    assert {canonicalize_name(each["name"]): each["version"] for each in components} == locked()
    assert [each["name"] for each in components if not each.get("licenses")] == []
    release = listed["metadata"]["component"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (release["name"], release["version"]) == (project["name"], project["version"])
    assert project["license"] in {each["license"].get("id") for each in release["licenses"]}
    needs = {each["ref"]: each.get("dependsOn", []) for each in listed["dependencies"]}
    assert {"alembic", "grpcio", "protobuf"} <= {ref.partition("==")[0] for ref in needs[release["bom-ref"]]}
    assert make() == written
    assert str(ROOT).encode() not in written
