"""The commands that refuse tokens, on a real server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from sessionhistory_cli.commands import cli
from support.keys import make_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]


async def _run(*arguments: str, **variables: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, ["jwt", *arguments], env=variables)


async def test_a_token_is_refused_and_listed(serve: Serve, database_url: str) -> None:
    """As text and as JSON."""
    service = await serve(database_url, auth=("keys",))
    _, secret = await make_key(service)
    variables = {"SESSION_HISTORY_SERVER": service.address, "SESSION_HISTORY_API_KEY": secret}
    assert (await _run("list", **variables)).stdout == ""
    done = await _run("refuse", "id-1", "--expires", "2100-01-01", **variables)
    assert (done.exit_code, done.stdout.startswith("id-1 refused until 2100-01-01")) == (0, True)
    made = json.loads((await _run("refuse", "id-2", "--expires", "12h", "--json", **variables)).stdout)
    assert made["refused_token"]["token_id"] == "id-2"
    listed = json.loads((await _run("list", "--json", **variables)).stdout)["refused_tokens"]
    assert [each["token_id"] for each in listed] == ["id-2", "id-1"]
    lines = (await _run("list", **variables)).stdout.splitlines()
    assert lines[1].split("\t")[:4] == ["id-1", "", "", "2100-01-01T00:00:00.000000Z"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("refuse", "id"), "Missing option '--expires'"),
        (("refuse", "id", "--expires", "1970-01-01"), "must be a coming date"),
        (("refuse", "--expires", "12h"), "Missing argument 'TOKEN_ID'"),
    ],
)
async def test_a_wrong_argument_is_refused_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    """With code 2."""
    result = await _run(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
