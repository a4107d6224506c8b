"""Look for known vulnerabilities of the packages that the image and the extras of the service install.

The exit code is 1 if there is one that ``accepted_advisories.toml`` does not accept. If the service of the
advisories does not answer, the program says so and exits with 0. Arguments are passed on to pip-audit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROOT: Final = Path(__file__).parents[1]
_LOCK: Final = _ROOT / "requirements.lock"
_ACCEPTED: Final = Path(__file__).with_name("accepted_advisories.toml")
_TOOLS: Final = Path(sys.executable).parent
_LIMIT_SECONDS: Final = 300

# The image has the extra `server`; these are installed with the wheel alone.
_EXTRAS: Final = ("embedded", "tiktoken")


class AuditSkippedError(Exception):
    """The audit could not be made."""


class Finding(NamedTuple):
    """A known vulnerability of a package."""

    package: str
    version: str
    ids: tuple[str, ...]
    """The advisory's own id, then its other names."""
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        """Return the finding for people, with the remedy."""
        remedy = f"fixed in {', '.join(self.fixed_in)}: run make lock" if self.fixed_in else "no fix is known"
        return f"{self.package} {self.version}: {', '.join(self.ids)}; {remedy}"


def main() -> int:
    """Print the findings, and return the exit code."""
    try:
        report = _audit(_pinned(), *sys.argv[1:])
        lines, failed = judge(report, tomllib.loads(_ACCEPTED.read_text())["accepted"])
    except AuditSkippedError as error:
        print(f"skipped: {error}")  # noqa: T201 - a program
        return 0
    print("\n".join(lines))  # noqa: T201 - a program
    return int(failed)


def judge(report: Mapping[str, Any], accepted: Mapping[str, str]) -> tuple[list[str], bool]:
    """Return the lines to print about a report of pip-audit, and whether a finding of it is not accepted.

    Args:
        report: The report; a package without an answer has a ``skip_reason``.
        accepted: The ids of accepted advisories, with the reasons.

    Raises:
        AuditSkippedError: there was no answer about any package.
    """
    packages = report["dependencies"]
    unanswered = [package["name"] for package in packages if "skip_reason" in package]
    if len(unanswered) == len(packages):
        raise AuditSkippedError("the registry gives no advisories for any package")
    found = list(_findings(packages))
    reasons = [next((accepted[each] for each in finding.ids if each in accepted), None) for finding in found]
    known = {each for finding in found for each in finding.ids}
    lines = [
        *(f"{f}" + (f" (accepted: {r})" if r else "") for f, r in zip(found, reasons, strict=True)),
        *(f"{each} is accepted, but not found any more: remove it" for each in accepted if each not in known),
        *(f"{name}: no answer" for name in unanswered),
        f"{len(packages) - len(unanswered)} packages, {reasons.count(None)} findings to mend",
    ]
    return lines, None in reasons


def _findings(packages: list[dict[str, Any]]) -> Iterator[Finding]:
    for package in packages:
        for advisory in package.get("vulns", ()):
            ids = (advisory["id"], *advisory["aliases"])
            yield Finding(package["name"], package["version"], ids, tuple(advisory["fix_versions"]))


def _pinned() -> str:
    """Return the packages of the lock and of the other extras, with versions and hashes."""
    extras = [part for extra in _EXTRAS for part in ("--extra", extra)]
    flags = ["--quiet", "--generate-hashes", "--universal", "--python-version", "3.11", "--constraint", _LOCK]
    return _run("uv", "pip", "compile", _ROOT / "pyproject.toml", *extras, *flags)


def _audit(requirements: str, *arguments: str) -> dict[str, Any]:
    """Return the report of pip-audit about packages with versions and hashes."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        flags = ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
        report: dict[str, Any] = json.loads(_run("pip-audit", "--requirement", file.name, *flags, *arguments))
    return report


def _run(tool: str, *arguments: str | Path) -> str:
    """Return the output of a tool.

    Raises:
        AuditSkippedError: it did not end in time, or ended without an output.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the project's own tools, without a shell
            [_TOOLS / tool, *arguments], capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AuditSkippedError(f"{tool} did not end within {_LIMIT_SECONDS} seconds") from error
    if not done.stdout:  # pip-audit exits with 1 for findings, too
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise AuditSkippedError(f"{tool} has no answer: {reason}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
