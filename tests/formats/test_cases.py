"""The shared cases, which Python, TypeScript and Go run.

A case is a file ``cases/<format>/<name>.json``. Its keys say what it is:

- ``messages`` (or ``history``), ``options`` and ``request``: ``to_request`` makes the request, which
  breaks no rule; if the case has ``back``, ``from_request`` makes these messages of the request;
- ``response``, ``messages`` and perhaps ``stream``: ``from_response`` makes the messages, and the stream's
  events make the same;
- ``request`` and ``violations``: the rule and the path of each violation.

``rules`` are options of ``violations``, for requests that some models accept and others refuse.

Messages and histories are in the JSON form of proto3. Payloads are in it too, as base64.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from formats_support import case, cases, history, messages, module, options, without_ids


class _Recorder:
    """A stream that records its message, as the server stores it."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self._calls: list[dict[str, str]] = []

    def write(self, text: str, /) -> None:
        self.message["content"] = self.message.get("content", "") + text

    def call_tool(self, name: str, arguments: str = "", *, id: str = "") -> int:  # noqa: A002 - as in the client
        self._calls.append({"id": id, "name": name, "arguments": arguments})
        return len(self._calls) - 1

    def write_arguments(self, index: int, arguments: str, /) -> None:
        self._calls[index]["arguments"] += arguments

    def add_part(self, part: Any, /) -> None:
        self.message.setdefault("parts", []).append(part)

    @property
    def calls(self) -> list[tuple[str, ...]]:
        """The calls that were written."""
        return [(call["id"], call["name"], call["arguments"]) for call in self._calls]


@pytest.mark.parametrize(("name", "stem"), cases("request", "messages") + cases("request", "history"))
def test_to_request(name: str, stem: str) -> None:
    """Messages make the request of the case, which breaks no rule."""
    told = case(name, stem)
    source = history(told["history"]) if "history" in told else messages(told["messages"])
    request = module(name).to_request(source, **options(told.get("options", {})))
    assert request == told["request"], told["about"]
    assert module(name).violations(request, **told.get("rules", {})) == []
    if "back" in told:
        assert without_ids(module(name).from_request(request)) == without_ids(messages(told["back"]))


@pytest.mark.parametrize(("name", "stem"), cases("response"))
def test_from_response(name: str, stem: str) -> None:
    """A response makes the messages of the case, as an object, a text or bytes."""
    told = case(name, stem)
    response, expected = told["response"], without_ids(messages(told["messages"]))
    for form in (response, json.dumps(response), json.dumps(response).encode()):
        assert without_ids(module(name).from_response(form)) == expected, told["about"]


@pytest.mark.parametrize(("name", "stem"), cases("stream"))
def test_stream(name: str, stem: str) -> None:
    """The events of a stream make the same message as the response, and so do their pieces."""
    told = case(name, stem)
    reader, stream = module(name).StreamReader(), _Recorder()
    for event in told["stream"]:
        for piece in reader.feed(event):
            piece.write_to(stream)
    message = reader.message()
    assert without_ids([message]) == without_ids(messages(told["messages"])), told["about"]
    assert stream.message.get("content") == message.content
    assert tuple(stream.message.get("parts", ())) == message.parts
    assert stream.calls == [(call.id, call.name, call.arguments) for call in message.tool_calls]
    finish = reader.finish()
    assert all(getattr(message, name) == value for name, value in finish.items())


@pytest.mark.parametrize(("name", "stem"), cases("stream"))
def test_the_model_that_the_caller_names(name: str, stem: str) -> None:
    """A model that the caller names counts, because the caller sends it in the header, before any event."""
    reader = module(name).StreamReader("asked-for")
    for event in case(name, stem)["stream"]:
        reader.feed(event)
    assert reader.message().model == reader.header().model == "asked-for"


@pytest.mark.parametrize(("name", "stem"), cases("violations"))
def test_violations(name: str, stem: str) -> None:
    """A request breaks the rules of the case, each with a public source."""
    told = case(name, stem)
    found = module(name).violations(told["request"], **told.get("rules", {}))
    assert [{"rule": one.rule, "path": one.path} for one in found] == told["violations"], told["about"]
    assert all(one.source.startswith("https://") and one.text for one in found)
