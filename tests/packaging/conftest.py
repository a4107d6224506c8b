"""The built wheel, and environments that contain only the wheel and its dependencies."""

from __future__ import annotations

import sys
import venv
from typing import TYPE_CHECKING

import pytest
from packaging_support import ROOT, Environment, run_online

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this release."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    run_online(command, "building the wheel")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    """Makes environments with the wheel, its extras and other requirements, and nothing else."""

    def make(extras: str = "", *requirements: str) -> Environment:
        made = Environment(tmp_path_factory.mktemp("environment"))
        venv.create(made.folder, with_pip=False)
        install = [*_PIP, "--python", str(made.python), "install", "--only-binary", ":all:"]
        run_online(
            [*install, f"{wheel}{extras}", *requirements], f"installing {requirements or extras or 'it'}"
        )
        return made

    return make


@pytest.fixture(scope="session")
def bare(environment: Callable[..., Environment]) -> Environment:
    """An environment with the wheel and the newest of its dependencies: the client alone."""
    return environment()
