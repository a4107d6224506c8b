from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sessionhistory.v1 import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UnansweredCalls(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNANSWERED_CALLS_UNSPECIFIED: _ClassVar[UnansweredCalls]
    UNANSWERED_CALLS_KEEP: _ClassVar[UnansweredCalls]
    UNANSWERED_CALLS_OMIT: _ClassVar[UnansweredCalls]

class HistoryCut(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HISTORY_CUT_UNSPECIFIED: _ClassVar[HistoryCut]
    HISTORY_CUT_NONE: _ClassVar[HistoryCut]
    HISTORY_CUT_MAX_MESSAGES: _ClassVar[HistoryCut]
    HISTORY_CUT_TOKEN_BUDGET: _ClassVar[HistoryCut]
    HISTORY_CUT_RESPONSE_SIZE: _ClassVar[HistoryCut]
    HISTORY_CUT_MAX_TURNS: _ClassVar[HistoryCut]
UNANSWERED_CALLS_UNSPECIFIED: UnansweredCalls
UNANSWERED_CALLS_KEEP: UnansweredCalls
UNANSWERED_CALLS_OMIT: UnansweredCalls
HISTORY_CUT_UNSPECIFIED: HistoryCut
HISTORY_CUT_NONE: HistoryCut
HISTORY_CUT_MAX_MESSAGES: HistoryCut
HISTORY_CUT_TOKEN_BUDGET: HistoryCut
HISTORY_CUT_RESPONSE_SIZE: HistoryCut
HISTORY_CUT_MAX_TURNS: HistoryCut

class HistoryOptions(_message.Message):
    __slots__ = ("max_messages", "token_budget", "include_pinned", "max_turns", "step_tokens", "step_messages", "unanswered_calls", "whole_responses")
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BUDGET_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PINNED_FIELD_NUMBER: _ClassVar[int]
    MAX_TURNS_FIELD_NUMBER: _ClassVar[int]
    STEP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STEP_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_CALLS_FIELD_NUMBER: _ClassVar[int]
    WHOLE_RESPONSES_FIELD_NUMBER: _ClassVar[int]
    max_messages: int
    token_budget: int
    include_pinned: bool
    max_turns: int
    step_tokens: int
    step_messages: int
    unanswered_calls: UnansweredCalls
    whole_responses: bool
    def __init__(self, max_messages: _Optional[int] = ..., token_budget: _Optional[int] = ..., include_pinned: bool = ..., max_turns: _Optional[int] = ..., step_tokens: _Optional[int] = ..., step_messages: _Optional[int] = ..., unanswered_calls: _Optional[_Union[UnansweredCalls, str]] = ..., whole_responses: bool = ...) -> None: ...

class HistorySummary(_message.Message):
    __slots__ = ("through_sequence", "message_count", "total_tokens", "create_time")
    THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    through_sequence: int
    message_count: int
    total_tokens: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, through_sequence: _Optional[int] = ..., message_count: _Optional[int] = ..., total_tokens: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class History(_message.Message):
    __slots__ = ("messages", "total_tokens", "omitted_message_count", "cut", "next_before_sequence", "last_sequence", "summary", "tokens_until_move", "messages_until_move")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OMITTED_MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    NEXT_BEFORE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_UNTIL_MOVE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_UNTIL_MOVE_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    total_tokens: int
    omitted_message_count: int
    cut: HistoryCut
    next_before_sequence: int
    last_sequence: int
    summary: HistorySummary
    tokens_until_move: int
    messages_until_move: int
    def __init__(self, messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., total_tokens: _Optional[int] = ..., omitted_message_count: _Optional[int] = ..., cut: _Optional[_Union[HistoryCut, str]] = ..., next_before_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., summary: _Optional[_Union[HistorySummary, _Mapping]] = ..., tokens_until_move: _Optional[int] = ..., messages_until_move: _Optional[int] = ...) -> None: ...
