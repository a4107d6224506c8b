from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sessionhistory.v1 import append_message_stream_pb2 as _append_message_stream_pb2
from sessionhistory.v1 import history_pb2 as _history_pb2
from sessionhistory.v1 import message_pb2 as _message_pb2
from sessionhistory.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_ORDER_UNSPECIFIED: _ClassVar[SessionOrder]
    SESSION_ORDER_LAST_ACTIVITY_TIME_DESC: _ClassVar[SessionOrder]
    SESSION_ORDER_CREATE_TIME_DESC: _ClassVar[SessionOrder]
    SESSION_ORDER_LAST_ACTIVITY_TIME_ASC: _ClassVar[SessionOrder]
    SESSION_ORDER_CREATE_TIME_ASC: _ClassVar[SessionOrder]

class MessageOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_ORDER_UNSPECIFIED: _ClassVar[MessageOrder]
    MESSAGE_ORDER_SEQUENCE_ASC: _ClassVar[MessageOrder]
    MESSAGE_ORDER_SEQUENCE_DESC: _ClassVar[MessageOrder]
SESSION_ORDER_UNSPECIFIED: SessionOrder
SESSION_ORDER_LAST_ACTIVITY_TIME_DESC: SessionOrder
SESSION_ORDER_CREATE_TIME_DESC: SessionOrder
SESSION_ORDER_LAST_ACTIVITY_TIME_ASC: SessionOrder
SESSION_ORDER_CREATE_TIME_ASC: SessionOrder
MESSAGE_ORDER_UNSPECIFIED: MessageOrder
MESSAGE_ORDER_SEQUENCE_ASC: MessageOrder
MESSAGE_ORDER_SEQUENCE_DESC: MessageOrder

class CreateSessionRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "session", "allow_existing")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ALLOW_EXISTING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    session: _session_pb2.SessionFields
    allow_existing: bool
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., session: _Optional[_Union[_session_pb2.SessionFields, _Mapping]] = ..., allow_existing: bool = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session", "created")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    created: bool
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ..., created: bool = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class UpdateSessionRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "session", "update_mask", "etag")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    session: _session_pb2.SessionFields
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., session: _Optional[_Union[_session_pb2.SessionFields, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class UpdateSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class UpdateStateRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "patch", "expected_state_version")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    patch: str
    expected_state_version: int
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., patch: _Optional[str] = ..., expected_state_version: _Optional[int] = ...) -> None: ...

class UpdateStateResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("user_id", "application_id", "statuses", "labels", "title_contains", "create_time_after", "create_time_before", "last_activity_time_after", "last_activity_time_before", "show_deleted", "order_by", "page_size", "page_token")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TITLE_CONTAINS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVITY_TIME_AFTER_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVITY_TIME_BEFORE_FIELD_NUMBER: _ClassVar[int]
    SHOW_DELETED_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    application_id: str
    statuses: _containers.RepeatedScalarFieldContainer[_session_pb2.SessionStatus]
    labels: _containers.ScalarMap[str, str]
    title_contains: str
    create_time_after: _timestamp_pb2.Timestamp
    create_time_before: _timestamp_pb2.Timestamp
    last_activity_time_after: _timestamp_pb2.Timestamp
    last_activity_time_before: _timestamp_pb2.Timestamp
    show_deleted: bool
    order_by: SessionOrder
    page_size: int
    page_token: str
    def __init__(self, user_id: _Optional[str] = ..., application_id: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[_session_pb2.SessionStatus, str]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., title_contains: _Optional[str] = ..., create_time_after: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., create_time_before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_activity_time_after: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_activity_time_before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., show_deleted: bool = ..., order_by: _Optional[_Union[SessionOrder, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[_session_pb2.Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[_session_pb2.Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetActiveSessionRequest(_message.Message):
    __slots__ = ("user_id", "application_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    application_id: str
    def __init__(self, user_id: _Optional[str] = ..., application_id: _Optional[str] = ...) -> None: ...

class GetActiveSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class EnsureActiveSessionRequest(_message.Message):
    __slots__ = ("user_id", "new_session_id", "new_session")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    new_session_id: str
    new_session: _session_pb2.SessionFields
    def __init__(self, user_id: _Optional[str] = ..., new_session_id: _Optional[str] = ..., new_session: _Optional[_Union[_session_pb2.SessionFields, _Mapping]] = ...) -> None: ...

class EnsureActiveSessionResponse(_message.Message):
    __slots__ = ("session", "created")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    created: bool
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ..., created: bool = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "purge", "allow_missing")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PURGE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    purge: bool
    allow_missing: bool
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., purge: bool = ..., allow_missing: bool = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class UndeleteSessionRequest(_message.Message):
    __slots__ = ("session_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class UndeleteSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class RecountTokensRequest(_message.Message):
    __slots__ = ("session_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class RecountTokensResponse(_message.Message):
    __slots__ = ("session", "changed_message_count")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    changed_message_count: int
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ..., changed_message_count: _Optional[int] = ...) -> None: ...

class AppendMessageRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "message", "new_session", "expected_last_sequence", "history", "state_patch", "expected_state_version")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    STATE_PATCH_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    message: _message_pb2.Message
    new_session: _session_pb2.SessionFields
    expected_last_sequence: int
    history: _history_pb2.HistoryOptions
    state_patch: str
    expected_state_version: int
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., new_session: _Optional[_Union[_session_pb2.SessionFields, _Mapping]] = ..., expected_last_sequence: _Optional[int] = ..., history: _Optional[_Union[_history_pb2.HistoryOptions, _Mapping]] = ..., state_patch: _Optional[str] = ..., expected_state_version: _Optional[int] = ...) -> None: ...

class AppendMessageResponse(_message.Message):
    __slots__ = ("session_id", "message", "last_sequence", "message_count", "total_tokens", "session_created", "history", "state_version")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SESSION_CREATED_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    message: _message_pb2.Message
    last_sequence: int
    message_count: int
    total_tokens: int
    session_created: bool
    history: _history_pb2.History
    state_version: int
    def __init__(self, session_id: _Optional[str] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., last_sequence: _Optional[int] = ..., message_count: _Optional[int] = ..., total_tokens: _Optional[int] = ..., session_created: bool = ..., history: _Optional[_Union[_history_pb2.History, _Mapping]] = ..., state_version: _Optional[int] = ...) -> None: ...

class AppendMessagesRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "messages", "new_session", "expected_last_sequence", "state_patch", "expected_state_version", "keep_through_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATE_PATCH_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    KEEP_THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    new_session: _session_pb2.SessionFields
    expected_last_sequence: int
    state_patch: str
    expected_state_version: int
    keep_through_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., new_session: _Optional[_Union[_session_pb2.SessionFields, _Mapping]] = ..., expected_last_sequence: _Optional[int] = ..., state_patch: _Optional[str] = ..., expected_state_version: _Optional[int] = ..., keep_through_sequence: _Optional[int] = ...) -> None: ...

class AppendMessagesResponse(_message.Message):
    __slots__ = ("session_id", "messages", "last_sequence", "message_count", "total_tokens", "session_created", "state_version")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SESSION_CREATED_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    last_sequence: int
    message_count: int
    total_tokens: int
    session_created: bool
    state_version: int
    def __init__(self, session_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., last_sequence: _Optional[int] = ..., message_count: _Optional[int] = ..., total_tokens: _Optional[int] = ..., session_created: bool = ..., state_version: _Optional[int] = ...) -> None: ...

class GetMessageRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "message_id", "sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    message_id: str
    sequence: int
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., message_id: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class GetMessageResponse(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: _message_pb2.Message
    def __init__(self, message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ...) -> None: ...

class GetHistoryRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "max_messages", "token_budget", "before_sequence", "include_pinned", "max_turns", "step_tokens", "step_messages", "unanswered_calls", "whole_responses")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BUDGET_FIELD_NUMBER: _ClassVar[int]
    BEFORE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PINNED_FIELD_NUMBER: _ClassVar[int]
    MAX_TURNS_FIELD_NUMBER: _ClassVar[int]
    STEP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STEP_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_CALLS_FIELD_NUMBER: _ClassVar[int]
    WHOLE_RESPONSES_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    max_messages: int
    token_budget: int
    before_sequence: int
    include_pinned: bool
    max_turns: int
    step_tokens: int
    step_messages: int
    unanswered_calls: _history_pb2.UnansweredCalls
    whole_responses: bool
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., max_messages: _Optional[int] = ..., token_budget: _Optional[int] = ..., before_sequence: _Optional[int] = ..., include_pinned: bool = ..., max_turns: _Optional[int] = ..., step_tokens: _Optional[int] = ..., step_messages: _Optional[int] = ..., unanswered_calls: _Optional[_Union[_history_pb2.UnansweredCalls, str]] = ..., whole_responses: bool = ...) -> None: ...

class GetHistoryResponse(_message.Message):
    __slots__ = ("history",)
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    history: _history_pb2.History
    def __init__(self, history: _Optional[_Union[_history_pb2.History, _Mapping]] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "order_by", "after_sequence", "before_sequence", "roles", "page_size", "page_token", "create_time_after", "create_time_before")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_BEFORE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    order_by: MessageOrder
    after_sequence: int
    before_sequence: int
    roles: _containers.RepeatedScalarFieldContainer[_message_pb2.Role]
    page_size: int
    page_token: str
    create_time_after: _timestamp_pb2.Timestamp
    create_time_before: _timestamp_pb2.Timestamp
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., order_by: _Optional[_Union[MessageOrder, str]] = ..., after_sequence: _Optional[int] = ..., before_sequence: _Optional[int] = ..., roles: _Optional[_Iterable[_Union[_message_pb2.Role, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., create_time_after: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., create_time_before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CompactHistoryRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "through_sequence", "message", "expected_last_sequence", "expected_compacted_through_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COMPACTED_THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    through_sequence: int
    message: _message_pb2.Message
    expected_last_sequence: int
    expected_compacted_through_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., through_sequence: _Optional[int] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., expected_last_sequence: _Optional[int] = ..., expected_compacted_through_sequence: _Optional[int] = ...) -> None: ...

class CompactHistoryResponse(_message.Message):
    __slots__ = ("summary", "message")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    summary: _history_pb2.HistorySummary
    message: _message_pb2.Message
    def __init__(self, summary: _Optional[_Union[_history_pb2.HistorySummary, _Mapping]] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ...) -> None: ...

class TruncateMessagesRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "keep_through_sequence", "expected_last_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KEEP_THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    keep_through_sequence: int
    expected_last_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., keep_through_sequence: _Optional[int] = ..., expected_last_sequence: _Optional[int] = ...) -> None: ...

class TruncateMessagesResponse(_message.Message):
    __slots__ = ("removed_message_count", "last_sequence", "message_count", "total_tokens")
    REMOVED_MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    removed_message_count: int
    last_sequence: int
    message_count: int
    total_tokens: int
    def __init__(self, removed_message_count: _Optional[int] = ..., last_sequence: _Optional[int] = ..., message_count: _Optional[int] = ..., total_tokens: _Optional[int] = ...) -> None: ...

class ForkSessionRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "through_sequence", "new_session_id", "new_user_id", "new_session", "allow_existing")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_USER_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_FIELD_NUMBER: _ClassVar[int]
    ALLOW_EXISTING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    through_sequence: int
    new_session_id: str
    new_user_id: str
    new_session: _session_pb2.SessionFields
    allow_existing: bool
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., through_sequence: _Optional[int] = ..., new_session_id: _Optional[str] = ..., new_user_id: _Optional[str] = ..., new_session: _Optional[_Union[_session_pb2.SessionFields, _Mapping]] = ..., allow_existing: bool = ...) -> None: ...

class ForkSessionResponse(_message.Message):
    __slots__ = ("session", "created")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    created: bool
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ..., created: bool = ...) -> None: ...

class ResetSessionRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "new_session_id", "new_user_id", "new_session", "keep_messages", "keep_state", "previous_status")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_USER_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_FIELD_NUMBER: _ClassVar[int]
    KEEP_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    KEEP_STATE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_STATUS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    new_session_id: str
    new_user_id: str
    new_session: _session_pb2.SessionFields
    keep_messages: bool
    keep_state: bool
    previous_status: _session_pb2.SessionStatus
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., new_session_id: _Optional[str] = ..., new_user_id: _Optional[str] = ..., new_session: _Optional[_Union[_session_pb2.SessionFields, _Mapping]] = ..., keep_messages: bool = ..., keep_state: bool = ..., previous_status: _Optional[_Union[_session_pb2.SessionStatus, str]] = ...) -> None: ...

class ResetSessionResponse(_message.Message):
    __slots__ = ("session", "previous_session")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    previous_session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ..., previous_session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class CallStreamRequest(_message.Message):
    __slots__ = ("header", "calls")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    header: CallStreamHeader
    calls: _containers.RepeatedCompositeFieldContainer[StreamedCall]
    def __init__(self, header: _Optional[_Union[CallStreamHeader, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[StreamedCall, _Mapping]]] = ...) -> None: ...

class CallStreamHeader(_message.Message):
    __slots__ = ("unordered",)
    UNORDERED_FIELD_NUMBER: _ClassVar[int]
    unordered: bool
    def __init__(self, unordered: bool = ...) -> None: ...

class StreamedCall(_message.Message):
    __slots__ = ("number", "timeout", "request_id", "append_message", "append_messages", "get_history", "list_messages", "get_message", "get_session", "update_state")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APPEND_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    APPEND_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    GET_HISTORY_FIELD_NUMBER: _ClassVar[int]
    LIST_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    GET_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    GET_SESSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STATE_FIELD_NUMBER: _ClassVar[int]
    number: int
    timeout: _duration_pb2.Duration
    request_id: str
    append_message: AppendMessageRequest
    append_messages: AppendMessagesRequest
    get_history: GetHistoryRequest
    list_messages: ListMessagesRequest
    get_message: GetMessageRequest
    get_session: GetSessionRequest
    update_state: UpdateStateRequest
    def __init__(self, number: _Optional[int] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ..., append_message: _Optional[_Union[AppendMessageRequest, _Mapping]] = ..., append_messages: _Optional[_Union[AppendMessagesRequest, _Mapping]] = ..., get_history: _Optional[_Union[GetHistoryRequest, _Mapping]] = ..., list_messages: _Optional[_Union[ListMessagesRequest, _Mapping]] = ..., get_message: _Optional[_Union[GetMessageRequest, _Mapping]] = ..., get_session: _Optional[_Union[GetSessionRequest, _Mapping]] = ..., update_state: _Optional[_Union[UpdateStateRequest, _Mapping]] = ...) -> None: ...

class CallStreamResponse(_message.Message):
    __slots__ = ("outcomes", "ending")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[CallOutcome]
    ending: CallStreamEnding
    def __init__(self, outcomes: _Optional[_Iterable[_Union[CallOutcome, _Mapping]]] = ..., ending: _Optional[_Union[CallStreamEnding, _Mapping]] = ...) -> None: ...

class CallOutcome(_message.Message):
    __slots__ = ("number", "error", "append_message", "append_messages", "get_history", "list_messages", "get_message", "get_session", "update_state")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    APPEND_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    APPEND_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    GET_HISTORY_FIELD_NUMBER: _ClassVar[int]
    LIST_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    GET_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    GET_SESSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STATE_FIELD_NUMBER: _ClassVar[int]
    number: int
    error: CallError
    append_message: AppendMessageResponse
    append_messages: AppendMessagesResponse
    get_history: GetHistoryResponse
    list_messages: ListMessagesResponse
    get_message: GetMessageResponse
    get_session: GetSessionResponse
    update_state: UpdateStateResponse
    def __init__(self, number: _Optional[int] = ..., error: _Optional[_Union[CallError, _Mapping]] = ..., append_message: _Optional[_Union[AppendMessageResponse, _Mapping]] = ..., append_messages: _Optional[_Union[AppendMessagesResponse, _Mapping]] = ..., get_history: _Optional[_Union[GetHistoryResponse, _Mapping]] = ..., list_messages: _Optional[_Union[ListMessagesResponse, _Mapping]] = ..., get_message: _Optional[_Union[GetMessageResponse, _Mapping]] = ..., get_session: _Optional[_Union[GetSessionResponse, _Mapping]] = ..., update_state: _Optional[_Union[UpdateStateResponse, _Mapping]] = ...) -> None: ...

class CallError(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class CallStreamEnding(_message.Message):
    __slots__ = ("reason", "grace")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[CallStreamEnding.Reason]
        REASON_AGE: _ClassVar[CallStreamEnding.Reason]
        REASON_IDLE: _ClassVar[CallStreamEnding.Reason]
        REASON_STOPPING: _ClassVar[CallStreamEnding.Reason]
    REASON_UNSPECIFIED: CallStreamEnding.Reason
    REASON_AGE: CallStreamEnding.Reason
    REASON_IDLE: CallStreamEnding.Reason
    REASON_STOPPING: CallStreamEnding.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    reason: CallStreamEnding.Reason
    grace: _duration_pb2.Duration
    def __init__(self, reason: _Optional[_Union[CallStreamEnding.Reason, str]] = ..., grace: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
