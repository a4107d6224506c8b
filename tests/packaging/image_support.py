"""The steps of the Dockerfile, and a machine whose file system is read-only, as that of the container is."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement
from packaging_support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
COMPOSE: Final = (ROOT / "compose.yaml").read_text()

# Mounts all file systems read-only, for the command that follows and its children, and takes away all rights
# of root. Mounts that are hidden below others cannot be changed.
_READ_ONLY: Final = """
mount --make-rprivate /
while read -r _ _ _ _ point _; do
    mount --options remount,bind,ro "$point" 2>/dev/null || :
done < /proc/self/mountinfo
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def read_only(*command: str | Path) -> tuple[str | Path, ...]:
    """Return the command that runs another one as ``compose.yaml`` does: it can write to no file."""
    return ("unshare", "--mount", "sh", "-euc", _READ_ONLY, "sh", *command)


def locked() -> dict[str, str]:
    """Return the version of each package of the lock that this system installs, by its normal name."""
    lines = re.findall(r"^(\S+==[^\\\n]+?) *\\?$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    here = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate()]
    return {each.name: str(each.specifier).removeprefix("==") for each in here}


def instructions(name: str) -> list[str]:
    """Return the arguments of all instructions of a kind, with their lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def copy_sources(source: Path) -> None:
    """Copy the files that the first stage copies."""
    for files in [line for line in instructions("COPY") if not line.startswith("--from")]:
        *names, _ = files.split()
        for name in names:
            is_folder = (ROOT / name).is_dir()
            copy = shutil.copytree if is_folder else shutil.copy
            copy(ROOT / name, source / name)


def build_step(dist: Path, target: Path) -> str:
    """Return the step that builds the environment of the image, with other folders."""
    (step, _) = instructions("RUN")
    return step.replace("/dist", str(dist)).replace("/opt/session-history", str(target))
