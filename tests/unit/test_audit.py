"""The audit of the dependencies, with the real pip-audit and a service of advisories on this machine."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from scripts import audit
from support.tools import ROOT, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Audit = Callable[..., tuple[int, list[str]]]

_TOOLS = ROOT / ".tools" / "supply" / "bin"

_ADVISORY = {
    "id": "GHSA-1",
    "aliases": ["CVE-1"],
    "affected": [
        {
            "package": {"name": "click", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}

_LOCK = "click==8.5.1 --hash=sha256:0\nmdurl==0.1.2 --hash=sha256:0\n"


@contextmanager
def _service(advisories: Mapping[str, Any]) -> Iterator[str]:
    """Run a service that answers with the advisories of each package; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": advisories.get(asked["package"]["name"], [])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str]]]:
    """Audits two packages by a service; returns the exit code and the lines."""
    require("pip-audit", path=str(_TOOLS))

    def run_with(url: str, accepted: str = "") -> tuple[int, list[str]]:
        (tmp_path / "accepted.toml").write_text(f"[accepted]\n{accepted}")
        monkeypatch.setattr(audit, "_ACCEPTED", tmp_path / "accepted.toml")
        monkeypatch.setattr(audit, "_TOOLS", _TOOLS)
        monkeypatch.setattr(audit, "_pinned", lambda: _LOCK)
        monkeypatch.setattr(sys, "argv", ["audit", "--vulnerability-service", "osv", "--osv-url", url])
        return audit.main(), capsys.readouterr().out.splitlines()

    return run_with


def test_no_finding(run: Audit) -> None:
    """The packages were looked up, and the audit passes."""
    with _service({}) as url:
        assert run(url) == (0, ["2 packages, 0 findings to mend"])


def test_a_finding_fails_with_its_remedy(run: Audit) -> None:
    """The line names the package, the advisory and the version that mends it."""
    with _service({"click": [_ADVISORY]}) as url:
        code, (line, _) = run(url)
    assert code == 1
    assert line == "click 8.5.1: CVE-1, GHSA-1; fixed in 99.1: run make lock"


@pytest.mark.parametrize("known_as", ["GHSA-1", "CVE-1"])
def test_an_accepted_finding_is_shown_with_its_reason(run: Audit, known_as: str) -> None:
    """Any of its names accepts it."""
    with _service({"click": [_ADVISORY]}) as url:
        code, (line, _) = run(url, f'{known_as} = "nothing calls it"')
    assert code == 0
    assert line.endswith("(accepted: nothing calls it)")


def test_one_accepted_finding_hides_no_other(run: Audit) -> None:
    """Each finding is accepted by itself."""
    other = _ADVISORY | {"id": "GHSA-2", "aliases": []}
    with _service({"click": [_ADVISORY, other]}) as url:
        code, lines = run(url, 'GHSA-1 = "nothing calls it"')
    assert code == 1
    assert lines[-1] == "2 packages, 1 findings to mend"


def test_an_accepted_finding_that_is_gone_is_named(run: Audit) -> None:
    """The file does not keep what no package has any more."""
    with _service({}) as url:
        code, (line, _) = run(url, 'GHSA-1 = "nothing calls it"')
    assert (code, line) == (0, "GHSA-1 is accepted, but not found any more: remove it")


def test_a_service_that_is_gone_skips_the_audit_in_one_line(run: Audit) -> None:
    """It passes, and says so."""
    with _service({}) as url:
        pass
    code, lines = run(url)
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("skipped: pip-audit has no answer: ")


def test_a_registry_without_advisories_is_no_clean_audit() -> None:
    """pip-audit itself reports success for packages that the registry does not know."""
    skipped = {"name": "click", "skip_reason": "not found"}
    with pytest.raises(audit.AuditSkippedError):
        audit.judge({"dependencies": [skipped]}, {})
    answered = {"name": "mdurl", "version": "0.1.2", "vulns": []}
    lines, failed = audit.judge({"dependencies": [skipped, answered]}, {})
    assert (lines, failed) == (["click: no answer", "1 packages, 0 findings to mend"], False)


def test_the_accepted_findings_have_reasons() -> None:
    """The project's own file can be read, and each entry says why."""
    accepted = audit.tomllib.loads((ROOT / "scripts/accepted_advisories.toml").read_text())["accepted"]
    assert all(isinstance(reason, str) and reason for reason in accepted.values())
