"""The names of all statements of the store: the tests of their plans and of their distribution use them."""
# ruff: noqa: SLF001 - the statements are private to the store

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.store import (
    advisory_locks,
    api_keys,
    generations,
    guard,
    messages,
    refused_tokens,
    signing_keys,
    summaries,
    tenant_limits,
    tokens,
    truncation,
    usage,
    usage_recount,
    void_summaries,
)
from sessionhistory_server.store.appends import replace, retries, storing, together
from sessionhistory_server.store.columns.session import INSERT_NEW_SESSION
from sessionhistory_server.store.forks import copying, fork, steps
from sessionhistory_server.store.sessions import active, lifecycle, purging, state
from sessionhistory_server.store.windows import statements

if TYPE_CHECKING:
    from support.plans import Statement

_NAMES: dict[str, str] = {
    storing.APPEND.whole: "append",
    storing.APPEND_AT_ONCE.whole: "append: at once",
    storing.CREATE.whole: "append: create",
    storing.APPEND.session: "append: session",
    storing.CREATE.session: "append: create session",
    active._NEWEST: "active session: newest",
    advisory_locks._LOCK: "active session: lock",
    advisory_locks._LOCK_ON_NODE: "active session: lock on node",
    state._LOCK: "state: lock",
    state._READ_LOCKED: "state: read locked",
    state._SET: "state: set",
    retries._STORED: "append: stored",
    guard._READ: "snapshot",
    guard._LOCK: "snapshot: lock",
    guard._HOLDER: "snapshot: holder",
    truncation._REMOVE: "truncate: remove",
    copying._FORK: "fork",
    copying.SWEEP: "fork: sweep",
    fork._CLOSE: "reset: close",
    fork._BOTH: "fork: both",
    steps._SOURCE: "fork: source",
    INSERT_NEW_SESSION: "fork: session",
    steps._COPY_MESSAGES: "fork: messages",
    steps._COPY_SUMMARIES: "fork: summaries",
    steps._COUNT: "fork: count",
    replace._FIRST_AFTER: "replace: first",
    lifecycle._CREATE: "session: create",
    lifecycle._GET: "session: get",
    lifecycle._TAKEN: "session: taken",
    lifecycle._DELETE: "session: delete",
    lifecycle._UNDELETE: "session: undelete",
    lifecycle._DELETION: "session: deletion",
    purging._PURGE: "session: purge",
    purging._PURGE_MESSAGES: "purge: messages",
    purging._DUE: "purge: due",
    signing_keys._READ: "signing: keys",
    signing_keys._LOCK: "signing: lock",
    signing_keys._MAKE: "signing: make",
    signing_keys._FORGET: "signing: forget",
    refused_tokens._FORGET: "refusals: forget",
    refused_tokens._COUNT: "refusals: count",
    refused_tokens._REFUSE: "refusals: refuse",
    refused_tokens._LIST: "refusals: list",
    refused_tokens._CHANGED: "refusals: changed",
    generations._STATE: "generations: state",
    generations._NEXT: "generations: next",
    api_keys._COUNT: "keys: count",
    api_keys._FORGET: "keys: forget",
    api_keys._CREATE: "keys: create",
    api_keys._REGISTERED: "keys: registered",
    api_keys._ROTATE: "keys: rotate",
    api_keys._HAS_SECRET: "keys: has secret",
    api_keys._REVOKE: "keys: revoke",
    api_keys._LIST: "keys: list",
    api_keys._CHANGED: "keys: changed",
    api_keys._NOTE_USES: "keys: uses",
    purging._PURGE_DUE: "purge: sessions",
    advisory_locks._TRY: "job: lock",
    advisory_locks._TRY_ON_NODE: "job: lock on node",
    messages._GET_BY_ID: "message: by id",
    messages._GET_BY_SEQUENCE: "message: by sequence",
    together._APPEND: "append: shared",
    tokens._NEXT_SESSIONS: "recount: sessions",
    tokens._LOCK: "recount: lock",
    tokens._NEXT_LOCKED: "recount: present",
    tokens._REPLACE: "recount: exchange",
    tokens._FINISH: "recount: finish",
    tokens._REPLACE_SUMMARIES: "recount: weigh",
    statements.NEWEST: "windows",
    statements.WHOLE: "windows with summaries and turns",
    statements.of_one_session(statements.NEWEST): "window",
    statements.of_one_session(statements.WHOLE): "window with summary and turns",
    summaries._PLACE: "compaction: place",
    summaries._STORED: "compaction: stored",
    summaries._REMOVE_AFTER: "compaction: forget",
    summaries._REMOVE_VOID: "compaction: forget void",
    void_summaries._NEXT: "sweep: next",
    void_summaries._REMOVE_ALL: "sweep: forget all",
    summaries._STORE: "compaction: store",
    summaries._MARK: "compaction: mark",
    summaries._UNMARK: "compaction: unmark",
    purging._PURGE_SUMMARIES: "purge: summaries",
    tenant_limits._READ: "limits: read",
    tenant_limits._CHANGED: "limits: changed",
    tenant_limits._SET: "limits: set",
    tenant_limits._UNSET: "limits: unset",
    tenant_limits._COUNT: "limits: count",
    usage._LOCK: "measure: lock",
    usage._MEASURE: "measure",
    usage._ADD_TO_TENANTS: "usage: add to tenants",
    usage._ADD_TO_USERS: "usage: add to users",
    usage._READ: "usage: read",
    usage_recount._IS_CLAIMED: "usage: is claimed",
    usage_recount._CLAIM: "usage: claim",
    usage_recount._RENEW: "usage: renew",
    usage_recount._NEXT_COUNTED_TENANT: "usage: next tenant",
    usage_recount._COUNTS: "usage: counts",
    usage_recount._FORGET[0]: "usage: lock",
    usage_recount._FORGET[1]: "usage: forget users",
    usage_recount._FORGET[2]: "usage: forget tenant",
    usage_recount._NEXT_TENANT: "usage recount: next tenant",
    usage_recount._OF_USERS: "usage recount: of users",
    usage_recount._OF_USER: "usage recount: of a user",
    usage_recount._WITHOUT_USER: "usage recount: without user",
    usage_recount._PINNED_BYTES: "usage recount: pinned",
    usage_recount._SUMMARY_BYTES: "usage recount: summaries",
}


def name_of(statement: Statement) -> str:
    """Return the statement's name; an unknown statement is a KeyError."""
    text: str = statement.text
    return _NAMES.get(text) or _name_of_made(" ".join(text.split()))


def _name_of_made(text: str) -> str:
    """Return the name of a statement whose text depends on the request."""
    if text.startswith("update sessions set "):
        return "session: change"
    if text.startswith("insert into messages "):
        return "append: messages"
    if text.startswith("select page.* from (") and " from messages where " in text:
        return f"messages, {'descending' if ' order by sequence desc' in text else 'ascending'}"
    if text.startswith("select * from ("):
        for table in ("summaries", "messages"):
            if f" from {table} where " in text:
                return f"recount: {table}"
        if " from sessions where " in text:
            return _name_of_list(text)
    raise KeyError(text)


def _name_of_list(text: str) -> str:
    owner = "a user" if "user_id = %(user_id)s" in text else "all"
    order = "creation" if " order by create_time " in text else "activity"
    direction = ", earliest first" if " asc, session_key asc" in text else ""
    if owner == "a user" and " union all " not in text and order == "activity":
        return f"sessions of a user, active ones{direction}"
    return f"sessions of {owner}, by {order}{direction}"
