"""The list of all use cases. A new class of use cases needs one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.usecases.api_keys import ApiKeys
from sessionhistory_server.usecases.forks import Forks
from sessionhistory_server.usecases.messages import Messages
from sessionhistory_server.usecases.metering import Metering
from sessionhistory_server.usecases.paging import PageTokens
from sessionhistory_server.usecases.refused_tokens import RefusedTokens
from sessionhistory_server.usecases.sessions import Sessions
from sessionhistory_server.usecases.signing import Signing
from sessionhistory_server.usecases.streams import MessageStreams
from sessionhistory_server.usecases.summaries import Summaries
from sessionhistory_server.usecases.tokens import TokenRecounts
from sessionhistory_server.usecases.windows import Windows

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.store.windows.read import Defaults
    from sessionhistory_server.tokens import TokenCounters
    from sessionhistory_server.usecases.tenant_limits import HeldLimits


class UseCases(NamedTuple):
    """The use cases on one database."""

    sessions: Sessions
    messages: Messages
    windows: Windows
    streams: MessageStreams
    forks: Forks
    summaries: Summaries
    recounts: TokenRecounts
    api_keys: ApiKeys
    refused_tokens: RefusedTokens
    metering: Metering


def use_cases(
    database: Database,
    counters: TokenCounters,
    defaults: Defaults,
    *,
    delete_retention: timedelta,
    coalesce: bool,
    limits: HeldLimits | None = None,
) -> UseCases:
    """Return the use cases on a database.

    Args:
        database: The database.
        counters: Count the messages that callers send without a token count.
        defaults: The limits of windows for which neither the request nor the session sets one.
        delete_retention: The time for which a deleted or expired session can be restored.
        coalesce: Whether concurrent appends, and concurrent reads of windows, share a statement.
        limits: The limits of tenants; ``None``: there are none, and nothing is counted.
    """
    metering = Metering(database, limits)
    page_tokens = PageTokens(Signing(database))
    windows = Windows(database, defaults, coalesce=coalesce)
    messages = Messages(
        database,
        metering,
        windows,
        counters,
        page_tokens,
        delete_retention=delete_retention,
        coalesce=coalesce,
    )
    return UseCases(
        Sessions(
            database, metering, page_tokens, token_counter=counters.name, delete_retention=delete_retention
        ),
        messages,
        windows,
        MessageStreams(database, metering, messages),
        Forks(database, metering, token_counter=counters.name, delete_retention=delete_retention),
        Summaries(database, metering, counters),
        TokenRecounts(database, counters),
        ApiKeys(database, page_tokens),
        RefusedTokens(database, page_tokens),
        metering,
    )
