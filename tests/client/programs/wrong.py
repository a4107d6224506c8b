"""A user's program in which a strict type checker objects to each marked line, and to no other.

Each ``type: ignore`` names the error; if the checker does not find it, that is an error too.
"""
# ruff: noqa: B018, T201 - it is never run

from sessionhistory import (
    AsyncSessionHistoryClient,
    HistoryOptions,
    HistorySettings,
    Message,
    ReasoningPart,
    Role,
    Session,
    SessionFields,
    SessionHistoryClient,
    Usage,
)


def wrong(client: SessionHistoryClient, message: Message, session: Session) -> None:
    """Misuse the client for threads."""
    client.create_session(SessionFields())  # type: ignore[arg-type]
    client.create_session("s", session)  # type: ignore[arg-type]
    client.create_session("s", SessionFields(), "ada")  # type: ignore[call-arg]
    client.ensure_active_session("ada", session)  # type: ignore[arg-type]
    client.get_active_session("ada", new_session=SessionFields())  # type: ignore[call-arg]
    client.append_message("s", message, new_session=session)  # type: ignore[arg-type]
    client.fork_session("s", session)  # type: ignore[arg-type]
    client.reset_session("s", session)  # type: ignore[arg-type]
    client.update_session("s", application_id="shop")  # type: ignore[call-arg]
    client.truncate_messages("s")  # type: ignore[call-arg]
    client.get_session(session="s")  # type: ignore[call-arg]
    client.get_session(None)  # type: ignore[arg-type]
    client.update_session("s", nickname="n")  # type: ignore[call-arg]
    client.update_session("s", title=None)  # type: ignore[arg-type]
    client.list_sessions(statuses=["active"])  # type: ignore[list-item]
    client.list_sessions(nickname="n")  # type: ignore[call-arg]
    client.append_message("s")  # type: ignore[call-arg]
    client.append_message("s", "hello")  # type: ignore[arg-type]
    client.append_messages("s", message)  # type: ignore[arg-type]
    client.get_message("s", sequence="1")  # type: ignore[arg-type]
    client.get_history("s", max_messages=1.5)  # type: ignore[arg-type]
    client.get_history("s", unanswered_calls="omit")  # type: ignore[arg-type]
    HistoryOptions(step_tokens="5")  # type: ignore[arg-type]
    HistorySettings(max_turns=1)  # type: ignore[call-arg]
    client.list_messages("s", roles=["user"])  # type: ignore[list-item]
    client.no_such_method()  # type: ignore[attr-defined]
    SessionHistoryClient(timeout="5")  # type: ignore[call-arg]
    SessionHistoryClient(key=wrong_too)  # type: ignore[arg-type]
    Message(content="hello")  # type: ignore[call-arg]
    Message(role="user")  # type: ignore[arg-type]
    Message(Role.USER)  # type: ignore[call-arg]
    Usage(input_tokens="1")  # type: ignore[arg-type]
    SessionFields(user_id="ada")  # type: ignore[call-arg]
    ReasoningPart("so", "opaque")  # type: ignore[call-arg]
    message.content.upper()  # type: ignore[union-attr]
    message.content = "other"  # type: ignore[misc]


async def wrong_too(client: AsyncSessionHistoryClient) -> str:
    """Misuse the client for asyncio."""
    client.get_session("s").title  # type: ignore[attr-defined]
    await client.list_messages("s")  # type: ignore[misc]
    for message in client.list_messages("s"):  # type: ignore[attr-defined]
        print(message)
    with client:  # type: ignore[attr-defined]
        pass
    return await client.delete_session("s")  # type: ignore[return-value]
