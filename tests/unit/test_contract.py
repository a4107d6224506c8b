"""Everything that is generated from the contract matches the contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

import sessionhistory_server.rpc
from sessionhistory.v1 import credentials_service_pb2 as credentials_pb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.readme import page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import FileDescriptor

_FILES = FileDescriptorSet.FromString(
    Path(sessionhistory_server.rpc.__file__).with_name("contract.binpb").read_bytes()
).file
_REFERENCE = page("docs/reference.md")
# Field numbers of the descriptors: the messages of a file; and a message's oneofs and reserved ranges.
_MESSAGES, _LEFT_OUT = 4, {8, 9}


_REMOVED = {"MultiCall", "MultiCallRequest", "MultiCallEntry", "MultiCallResponse", "MultiCallOutcome"}
"""The names of the contract that no RPC or message may have again: protobuf cannot reserve them."""


def _stubs(file: FileDescriptor) -> Iterator[FileDescriptor]:
    yield file
    for needed in file.dependencies:
        if needed.package == file.package:
            yield from _stubs(needed)


def _bare(file: FileDescriptorProto) -> FileDescriptorProto:
    """Return a file without the parts that the stubs do not contain."""
    bare = FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    for message in bare.message_type:
        for field in (*message.field, *(field for nested in message.nested_type for field in nested.field)):
            field.ClearField("json_name")
    return bare


def _words(text: str) -> str:
    return " ".join(text.replace("\\|", "|").replace("<br>", " ").split())


def test_reflection_has_the_contract_of_the_stubs() -> None:
    """The files with comments, which reflection serves, describe the contract of the stubs."""
    stubs = {}
    for file in (*_stubs(pb.DESCRIPTOR), credentials_pb.DESCRIPTOR):
        stubs[file.name] = FileDescriptorProto()
        file.CopyToProto(stubs[file.name])
    assert {file.name: _bare(file) for file in _FILES} == {name: _bare(file) for name, file in stubs.items()}


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_the_reference_has_every_comment(file: FileDescriptorProto) -> None:
    """The reference contains every comment except those of oneofs, which its generator does not read."""
    said = _words(_REFERENCE)
    comments = [
        place.leading_comments
        for place in file.source_code_info.location
        if place.leading_comments and not (place.path[0] == _MESSAGES and {*place.path[2:3]} & _LEFT_OUT)
    ]
    assert comments
    for comment in comments:
        assert _words(re.sub(r"^ (Request|Response) of \w+[.:]?", "", comment)) in said


def test_the_reference_has_every_signature() -> None:
    """The reference contains every signature, with the word stream where the contract has it."""
    signature = re.compile(r"^`rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\)`$", re.MULTILINE)
    assert [
        (name, bool(asks), ask, bool(answers), answer)
        for name, asks, ask, answers, answer in signature.findall(_REFERENCE)
    ] == [
        (
            method.name,
            method.client_streaming,
            method.input_type.name,
            method.server_streaming,
            method.output_type.name,
        )
        for service in (
            credentials_pb.DESCRIPTOR.services_by_name["CredentialsService"],
            pb.DESCRIPTOR.services_by_name["SessionHistoryService"],
        )
        for method in service.methods
    ]


def test_removed_names_are_not_used_again() -> None:
    """A caller of an older release gets UNIMPLEMENTED, and no answer of another RPC."""
    names = {message.name for file in _FILES for message in file.message_type}
    names |= {rpc.name for file in _FILES for service in file.service for rpc in service.method}
    assert "CallStream" in names
    assert not names & _REMOVED
