from sessionhistory.v1 import history_pb2 as _history_pb2
from sessionhistory.v1 import message_pb2 as _message_pb2
from sessionhistory.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OnBreak(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_BREAK_UNSPECIFIED: _ClassVar[OnBreak]
    ON_BREAK_KEEP: _ClassVar[OnBreak]
    ON_BREAK_DROP: _ClassVar[OnBreak]
ON_BREAK_UNSPECIFIED: OnBreak
ON_BREAK_KEEP: OnBreak
ON_BREAK_DROP: OnBreak

class AppendMessageStreamRequest(_message.Message):
    __slots__ = ("header", "delta", "finish")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    header: AppendMessageStreamHeader
    delta: AppendMessageStreamDelta
    finish: AppendMessageStreamFinish
    def __init__(self, header: _Optional[_Union[AppendMessageStreamHeader, _Mapping]] = ..., delta: _Optional[_Union[AppendMessageStreamDelta, _Mapping]] = ..., finish: _Optional[_Union[AppendMessageStreamFinish, _Mapping]] = ...) -> None: ...

class AppendMessageStreamHeader(_message.Message):
    __slots__ = ("session_id", "user_id", "message", "new_session", "expected_last_sequence", "history", "on_break")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    ON_BREAK_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    message: _message_pb2.Message
    new_session: _session_pb2.SessionFields
    expected_last_sequence: int
    history: _history_pb2.HistoryOptions
    on_break: OnBreak
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., new_session: _Optional[_Union[_session_pb2.SessionFields, _Mapping]] = ..., expected_last_sequence: _Optional[int] = ..., history: _Optional[_Union[_history_pb2.HistoryOptions, _Mapping]] = ..., on_break: _Optional[_Union[OnBreak, str]] = ...) -> None: ...

class AppendMessageStreamDelta(_message.Message):
    __slots__ = ("text", "tool_calls", "parts")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCallDelta]
    parts: _containers.RepeatedCompositeFieldContainer[_message_pb2.Part]
    def __init__(self, text: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCallDelta, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[_message_pb2.Part, _Mapping]]] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    __slots__ = ("index", "id", "name", "arguments")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    name: str
    arguments: str
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ...) -> None: ...

class AppendMessageStreamFinish(_message.Message):
    __slots__ = ("usage", "token_count", "metadata", "payload", "payload_type", "status", "finish_reason")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    usage: _message_pb2.Usage
    token_count: int
    metadata: str
    payload: bytes
    payload_type: str
    status: _message_pb2.MessageStatus
    finish_reason: str
    def __init__(self, usage: _Optional[_Union[_message_pb2.Usage, _Mapping]] = ..., token_count: _Optional[int] = ..., metadata: _Optional[str] = ..., payload: _Optional[bytes] = ..., payload_type: _Optional[str] = ..., status: _Optional[_Union[_message_pb2.MessageStatus, str]] = ..., finish_reason: _Optional[str] = ...) -> None: ...

class AppendMessageStreamResponse(_message.Message):
    __slots__ = ("session_id", "message", "last_sequence", "message_count", "total_tokens", "session_created", "history")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SESSION_CREATED_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    message: _message_pb2.Message
    last_sequence: int
    message_count: int
    total_tokens: int
    session_created: bool
    history: _history_pb2.History
    def __init__(self, session_id: _Optional[str] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., last_sequence: _Optional[int] = ..., message_count: _Optional[int] = ..., total_tokens: _Optional[int] = ..., session_created: bool = ..., history: _Optional[_Union[_history_pb2.History, _Mapping]] = ...) -> None: ...
