"""The tables of the README and of docs/ match the code."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import limits
from sessionhistory_server.config import Address, Settings, variable
from sessionhistory_server.model.tenant_limits import TenantLimits
from sessionhistory_server.observability import trail
from sessionhistory_server.rpc.dispatch import CREDENTIALS
from support.readme import all_blocks, code, page, table
from support.tools import ROOT

_LIMITS = page("docs/limits.md")
_OPERATIONS = page("docs/operations.md")
_CONFIGURATION = table(_OPERATIONS, "Configuration")
_PROTO = "".join(path.read_text() for path in sorted((ROOT / "protos").rglob("*_service.proto")))
_SERVER = ROOT / "server" / "sessionhistory_server"

# The row that shows each limit, by its first words. KIB and MIB are units.
_ROWS = {
    "MAX_ID_CHARACTERS": "session_id",
    "MAX_TOOL_CALL_ID_CHARACTERS": "tool_call_id",
    "MAX_USER_ID_CHARACTERS": "user_id",
    "MAX_APPLICATION_ID_CHARACTERS": "user_id",
    "MAX_TITLE_CHARACTERS": "title",
    "MAX_TITLE_FILTER_CHARACTERS": "title_contains",
    "MAX_NAME_CHARACTERS": "name",
    "MAX_TURN_ID_CHARACTERS": "turn_id",
    "MAX_URI_CHARACTERS": "uri",
    "MAX_LABELS": "labels",
    "LABEL_KEY_CHARACTERS": "labels",
    "MAX_LABEL_KEY_CHARACTERS": "labels",
    "MAX_LABEL_VALUE_CHARACTERS": "labels",
    "MAX_METADATA_BYTES": "metadata",
    "MAX_STATE_BYTES": "state",
    "MAX_JSON_DEPTH": "JSON",
    "MAX_TOOL_CALLS": "tool_calls",
    "MAX_PARTS": "parts",
    "MAX_PINNED_MESSAGES": "pinned messages",
    "MAX_MESSAGE_BYTES": "a message",
    "MAX_BATCH_MESSAGES": "a batch",
    "MAX_BATCH_BYTES": "a batch",
    "MAX_STREAM_CALLS": "calls in progress on a CallStream",
    "MAX_STREAM_BYTES": "calls in progress on a CallStream",
    "MAX_STREAM_CALLS_OF_SESSION": "calls of one session in progress on a CallStream",
    "MAX_REQUEST_BYTES": "a request",
    "MAX_RESPONSE_BYTES": "a response",
    "MAX_WINDOW_MESSAGES": "max_messages",
    "MAX_PAGE_SIZE": "page_size",
    "DEFAULT_PAGE_SIZE": "page_size",
    "MAX_FILTER_VALUES": "statuses",
    "MAX_MASK_PATHS": "update_mask",
    "MAX_INT32": "token_count",
    "MAX_API_KEYS_OF_TENANT": "API keys that are not revoked",
    "MAX_API_KEYS": "API keys that are not revoked",
    "MAX_DISPLAY_NAME_CHARACTERS": "display_name of a key",
    "MAX_CERTIFICATE_NAME_CHARACTERS": "a registered name of a client's certificate",
    "MAX_CERTIFICATE_NAMES": "names of a client's certificate",
    "MAX_OVERLAP_SECONDS": "overlap of a rotation",
    "MAX_REFUSED_TOKENS_OF_TENANT": "refused tokens",
    "MAX_REFUSED_TOKENS": "refused tokens",
    "MAX_TOKEN_CHARACTERS": "a JSON Web Token",
    "MAX_JWKS_BYTES": "the issuer's keys",
    "MAX_JWKS_KEYS": "the issuer's keys",
    "MAX_LEEWAY_SECONDS": "--jwt-leeway-seconds",
    "MAX_LIMITED_TENANTS": "tenants that have",
    "MIN_TTL_SECONDS": "ttl",
    "MAX_TTL_SECONDS": "ttl",
    "MAX_CALLS_OF_CONNECTION": "concurrent calls on a connection",
    "MAX_CONNECTIONS": "connections of a worker",
    "MAX_WATCHES": "watches of health of a worker",
    "MAX_UNREAD_BYTES": "unread answers on a connection",
}
_NO_ROW = {
    "KIB": "a unit",
    "MIB": "a unit",
    "ID_CHARACTERS": "the row says it in words",
    "MAX_INT64": "the width of a field, which no caller can exceed",
}


def _limits() -> dict[str, object]:
    return {name: value for name, value in vars(limits).items() if name.isupper()}


def test_every_limit_has_a_row() -> None:
    """Each limit has a row in the document, or is listed here with the reason."""
    assert set(_limits()) == set(_ROWS) | set(_NO_ROW)


@pytest.mark.parametrize("name", _ROWS)
def test_the_limits(name: str) -> None:
    """The row of each limit has its number."""
    rows = {row[0].replace("`", "").split(",")[0]: row[1] for row in table(_LIMITS, "Limits")}
    value = _limits()[name]
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    assert re.search(rf"(?<![\w,]){re.escape(shown)}(?![\w]|,\d)", rows[_ROWS[name]]), rows


def _shown(default: object) -> str:
    if isinstance(default, tuple) and not isinstance(default, Address):
        return ",".join(default)
    return "" if default is None else str(default)


def test_the_settings() -> None:
    """The table has each setting, in order, with its flag, variable and default."""
    expected = [
        [
            f"--{field.name.replace('_', '-')}",
            variable(field.name),
            _shown(field.default),
        ]
        for field in dataclasses.fields(Settings)
    ]
    found = [["".join(code(cell)) for cell in row[:3]] for row in _CONFIGURATION]
    assert found == expected


def test_the_settings_are_explained_as_their_help_explains_them() -> None:
    """The table has the same explanations as the help."""
    helps = [field.metadata["help"] for field in dataclasses.fields(Settings)]
    rows = [row[3].replace("`", "") for row in _CONFIGURATION]
    for row, text in zip(rows, helps, strict=True):
        assert row.split(". ")[0].split(":")[0].rstrip(".") in text.replace("`", "")


def test_the_reasons_of_errors() -> None:
    """Page, contract and code have the same reasons under the same codes."""
    on_page = {row[0]: set(code(row[1])) for row in table(page("docs/behaviour.md"), "Errors")}
    comment = re.findall(r"^//     ([A-Z_]{5,}) +((?:[A-Z_]+(?:,\s(?:// +)?)?)+)$", _PROTO, re.MULTILINE)
    in_contract: dict[str, set[str]] = defaultdict(set)
    for name, reasons in comment:
        in_contract[name] |= set(re.findall(r"[A-Z_]+", reasons))
    assert in_contract == on_page
    source = "".join(path.read_text() for path in sorted(_SERVER.rglob("*.py")))
    in_code = set(re.findall(r'reason(?:: str)? ?= ?"([A-Z_]+)"', source))
    assert in_code == set().union(*on_page.values())


def test_every_rpc_is_listed_and_shown() -> None:
    """Each RPC is in the table and in a command."""
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["SessionHistoryService"].methods}
    listed = {name for row in table(page("README.md"), "The API at a glance") for name in code(row[0])}
    assert listed == methods | {method.name for method in CREDENTIALS.methods}
    commands = "\n".join(block.text for block in all_blocks() if block.kind == "sh")
    assert set(re.findall(r"SessionHistoryService/(\w+)", commands)) == methods


def _first_cells(heading: str) -> set[str]:
    """Return the code in the first cells of the tables below a heading of the third level."""
    section = _OPERATIONS.partition(f"\n### {heading}\n")[2].split("\n## ")[0].split("\n### ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return {name for row in rows for name in code(row.split("|")[1])}


def test_the_limits_of_tenants() -> None:
    """Each limit that operators set has a row."""
    assert _first_cells("Limits") >= {*TenantLimits._fields}


def test_the_acts_of_the_trail() -> None:
    """Each act has a row, and is named as a value of its field."""
    names = {name for name in vars(trail) if name.isupper()} - {"EVENT", "TYPE_CHECKING"}
    acts = {getattr(trail, name) for name in names}
    assert _first_cells("The trail") >= acts
    (row,) = re.findall(r"^\| `act` .*$", _OPERATIONS, re.MULTILINE)
    assert {*code(row)} == acts | {"act"}
