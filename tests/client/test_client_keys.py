"""The client sends its key with each attempt, keeps it secret, and manages keys."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from client_samples import fresh_id

from sessionhistory import (
    ApiKeySecret,
    AsyncSessionHistoryClient,
    Message,
    Role,
    Scope,
    SessionFields,
    SessionHistoryClient,
    errors,
)
from sessionhistory._transport.keys import header
from support.keys import make_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Client = AsyncSessionHistoryClient

    Connect = Callable[..., Client]
    Serve = Callable[..., Awaitable[Service]]


async def test_a_key_is_sent_with_every_kind_of_call(
    serve: Serve, database_url: str, connect: Connect
) -> None:
    """Single calls, calls that share a request, streams and lists."""
    service = await serve(database_url, auth=("keys",))
    _, secret = await make_key(service)
    client, session_id = connect(service.address, key=secret), fresh_id()
    await client.append_message(session_id, Message(role=Role.USER), new_session=SessionFields())
    async with client.append_message_stream(session_id, Message(role=Role.ASSISTANT)) as stream:
        await stream.write("hello")
    assert [each.content async for each in client.list_messages(session_id)] == [None, "hello"]
    assert len((await client.get_history(session_id)).messages) == 2


@pytest.mark.parametrize("target", ["db.example:443", "dns:///db.example:1", "ipv4:127.0.0.1:1,10.0.0.1:1"])
def test_a_key_is_not_sent_in_plain_text_to_another_machine(connect: Connect, target: str) -> None:
    """Unless the program says so."""
    for key in ("shk_secret", lambda: "shk_secret"):
        with pytest.raises(ValueError, match="plain text") as error:
            connect(target, key=key)
        assert "shk_secret" not in str(error.value)
        connect(target, key=key, plaintext_key=True)


@pytest.mark.parametrize("target", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/socket"])
def test_a_key_is_sent_to_this_machine(connect: Connect, target: str) -> None:
    """The loopback leaves no machine."""
    connect(target, key="shk_secret")


@pytest.mark.parametrize("key", ["", " secret", "secret ", "sec ret", "secret\n", "sécret", b"secret", 5])
async def test_a_key_that_no_header_can_have_is_refused(connect: Connect, key: Any) -> None:
    """At once, or when the function has returned it; the error does not quote it."""
    with pytest.raises(ValueError, match="must be the text of a key") as error:
        connect("127.0.0.1:1", key=key)
    assert "ret" not in str(error.value)
    with pytest.raises(ValueError, match="must be the text of a key"):
        await connect("127.0.0.1:1", key=lambda: key).get_session("s")


@pytest.mark.parametrize("kind", [AsyncSessionHistoryClient, SessionHistoryClient])
def test_no_repr_shows_the_key(kind: type[SessionHistoryClient]) -> None:
    """Neither of the client, nor of the objects that it is made of."""
    client = kind("127.0.0.1:1", key="shk_secret")
    transport = client._transport  # noqa: SLF001
    metadata = transport._metadata  # noqa: SLF001
    for found in (client, vars(client), vars(transport), vars(metadata), header("shk_secret")):
        assert "shk_secret" not in repr(found)


@pytest.mark.parametrize("kind", [AsyncSessionHistoryClient, SessionHistoryClient])
def test_a_client_cannot_be_pickled(kind: type[SessionHistoryClient]) -> None:
    """So that no pickle contains the key."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(kind("127.0.0.1:1", key="shk_secret"))


@pytest_asyncio.fixture
async def admin(serve: Serve, database_url: str, connect: Connect) -> Client:
    """A client whose key may manage keys."""
    service = await serve(database_url, auth=("keys",))
    return connect(service.address, key=(await make_key(service))[1])


async def test_a_client_manages_keys(admin: Client) -> None:
    """All fields of a key are shown as they were given; its secret once."""
    expire_time = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    made = await admin.create_api_key(
        [Scope.READ, Scope.WRITE],
        display_name="job",
        user_id="ada",
        application_id="app",
        require_user_id=True,
        expire_time=expire_time,
    )
    key = made.api_key
    assert isinstance(made, ApiKeySecret)
    assert made.secret.startswith(f"shk_{key.api_key_id}_")
    assert made.secret not in repr(made)
    assert (key.scopes, key.display_name) == ((Scope.READ, Scope.WRITE), "job")
    assert (key.user_id, key.application_id, key.require_user_id) == ("ada", "app", True)
    assert (key.expire_time, key.revoke_time, key.last_use_time) == (expire_time, None, None)
    rotated = await admin.rotate_api_key(key.api_key_id, overlap=timedelta(hours=1))
    assert rotated.secret[:21] == made.secret[:21]
    assert rotated.secret != made.secret
    assert rotated.api_key.previous_secret_expire_time
    revoked = await admin.revoke_api_key(key.api_key_id)
    assert revoked.revoke_time
    assert revoked in [each async for each in admin.list_api_keys(show_revoked=True, page_size=1)]
    assert revoked not in [each async for each in admin.list_api_keys()]


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("api_key.scopes[0]", lambda c: c.create_api_key(["all"])),
        ("api_key.scopes[0]", lambda c: c.create_api_key([Scope.UNKNOWN])),
        ("api_key.scopes", lambda c: c.create_api_key([])),
        ("api_key.scopes", lambda c: c.create_api_key(5)),
        ("api_key.user_id", lambda c: c.create_api_key([Scope.READ], user_id="")),
        ("api_key.application_id", lambda c: c.create_api_key([Scope.READ], application_id="")),
        ("api_key.display_name", lambda c: c.create_api_key([Scope.READ], display_name=5)),
        ("api_key.expire_time", lambda c: c.create_api_key([Scope.READ], expire_time="soon")),
        ("overlap", lambda c: c.rotate_api_key("A" * 16, overlap=5)),
        ("expire_time", lambda c: c.rotate_api_key("A" * 16, expire_time=5)),
        ("api_key_id", lambda c: c.revoke_api_key(5)),
        ("page_size", lambda c: c.list_api_keys_page(page_size=2**31)),
    ],
)
async def test_a_wrong_argument_names_its_field(
    admin: Client, field: str, call: Callable[[Any], Awaitable[object]]
) -> None:
    """As the server would, or by the server."""
    with pytest.raises(errors.InvalidFieldError) as error:
        await call(admin)
    assert [violation.field for violation in error.value.violations] == [field]


async def test_a_client_refuses_tokens(admin: Client) -> None:
    """A refused token is shown as it was given, and the list has all of them."""
    expire_time = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    made = [await admin.refuse_token(f"id-{number}", expire_time=expire_time) for number in range(3)]
    assert [(each.token_id, each.user_id, each.expire_time) for each in made] == [
        (f"id-{number}", None, expire_time) for number in range(3)
    ]
    assert [each async for each in admin.list_refused_tokens(page_size=2)] == made[::-1]
    page = await admin.list_refused_tokens_page(page_size=1)
    assert page.refused_tokens == (made[2],)
    with pytest.raises(errors.InvalidFieldError):
        await admin.refuse_token("a b", expire_time=expire_time)
