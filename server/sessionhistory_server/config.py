"""The settings: each is a flag and an environment variable of the same name."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from sessionhistory_server.credentials.jwt_rules import ALGORITHMS
from sessionhistory_server.limits import MAX_INT32, MAX_LEEWAY_SECONDS
from sessionhistory_server.model.tokens import CHARACTERS
from sessionhistory_server.observability import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    _Command = Callable[..., Any]
    _Decorator = Callable[[_Command], _Command]
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic since click 8.4

PREFIX: Final = "SESSION_HISTORY_"

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):([0-9]{1,5})")


class Address(NamedTuple):
    """A host and a port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the address as HOST:PORT."""
        return f"{self.host}:{self.port}"


class _AddressType(ParamType):
    name = "HOST:PORT"

    def __init__(self, *, off: bool = False) -> None:
        self._off = off

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Address | None:
        if isinstance(value, Address):
            return value
        if self._off and value == "off":
            return None
        match = _ADDRESS.fullmatch(value)
        if match is None or int(match[2]) > 65_535:
            self.fail("must be HOST:PORT, for example 127.0.0.1:50051 or [::1]:50051", param, ctx)
        return Address(match[1], int(match[2]))


class _Seconds(click.FloatRange):
    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):  # NaN is in every range, because no comparison with it is true
            self.fail(f"{value!r} is not a number", param, ctx)
        return seconds


class _BudgetsType(ParamType):
    name = "MODEL=TOKENS,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:  # noqa: ANN401 - click's signature
        if isinstance(value, dict):
            return value
        budgets = {}
        for item in filter(None, value.split(",")):
            model, _, tokens = item.rpartition("=")
            if not model or not tokens.isdecimal() or int(tokens) > MAX_INT32:
                self.fail(
                    "must be MODEL=TOKENS, separated by commas, for example gpt-4o=100000",
                    param,
                    ctx,
                )
            budgets[model] = int(tokens)
        return budgets


class _ListType(ParamType):
    """Some of these words, separated by commas."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words
        self.name = f"{','.join(words)},..."

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        words = tuple(filter(None, value.split(",")))
        if not set(words) <= set(self._words):
            self.fail(f"must be some of {', '.join(self._words)}, separated by commas", param, ctx)
        return words


def _default_data_dir() -> Path:
    """Return the default data directory of the embedded Postgres: the system's for root, else the user's."""
    if os.geteuid() == 0:
        return Path("/var/lib/session-history")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "session-history"


def _setting(default: Any, kind: Any, text: str) -> Any:  # noqa: ANN401 - of the field's own type
    return dataclasses.field(default=default, metadata={"kind": kind, "help": text})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the service."""

    database_url: str | None = _setting(
        None,
        str,
        "URL of a Postgres 15 to 18, as libpq takes it. Without it: an embedded Postgres 18 in the data"
        " directory.",
    )
    pooler: str | None = _setting(
        None,
        click.Choice(["transaction"]),
        "transaction: the database URL leads to a pooler such as PgBouncer in transaction mode.",
    )
    direct_database_url: str | None = _setting(
        None,
        str,
        "URL of the same database past the pooler, for migrations, which need a session of their own."
        " Default: --database-url.",
    )
    data_dir: Path | None = _setting(
        None,
        click.Path(file_okay=False, path_type=Path),
        "Data directory of the embedded Postgres. Default: ~/.local/share/session-history,"
        " for root /var/lib/session-history.",
    )
    listen: Address = _setting(Address("127.0.0.1", 50051), _AddressType(), "Address to serve gRPC on.")
    tls_cert: Path | None = _setting(
        None,
        click.Path(dir_okay=False, path_type=Path),
        "File with the server's certificate and its chain, in PEM, which is read again when it changes.",
    )
    tls_key: Path | None = _setting(
        None,
        click.Path(dir_okay=False, path_type=Path),
        "File with the key of that certificate, in PEM, without a password.",
    )
    tls_client_ca: Path | None = _setting(
        None,
        click.Path(dir_okay=False, path_type=Path),
        "File with the authorities of clients, in PEM. With it, every client needs a certificate of theirs.",
    )
    plaintext: bool = _setting(
        default=False,
        kind=bool,
        text="Serve other machines without TLS, because TLS ends before this server.",
    )
    insecure: bool = _setting(
        default=False,
        kind=bool,
        text="Serve other machines even if calls are not protected.",
    )
    metrics_listen: Address | None = _setting(
        Address("127.0.0.1", 9464),
        _AddressType(off=True),
        "Address to serve Prometheus metrics on, at /metrics; off disables them.",
    )
    auth: tuple[str, ...] = _setting(
        (),
        _ListType(("keys", "jwt", "certificates")),
        "Credentials that calls need: keys (API keys), jwt (JSON Web Tokens), certificates (of clients, with"
        " --tls-client-ca), or several. "
        "Default: none, so that each caller reads and changes all sessions.",
    )
    jwt_issuer: str | None = _setting(
        None, str, "Issuer of tokens: their claim iss must be this text, for example https://id.example.com/."
    )
    jwt_audience: str | None = _setting(
        None, str, "Audience of tokens: their claim aud must be this text, or a list that contains it."
    )
    jwt_jwks: str | None = _setting(
        None,
        str,
        "File or https:// URL of the issuer's public keys, a JSON Web Key Set, which is read again.",
    )
    jwt_algorithms: tuple[str, ...] = _setting(
        ("RS256", "ES256", "EdDSA"), _ListType(ALGORITHMS), "Algorithms with which tokens may be signed."
    )
    jwt_leeway_seconds: float = _setting(
        30.0,
        _Seconds(0, MAX_LEEWAY_SECONDS),
        "How much the clocks of the issuer and of this server may differ.",
    )
    jwt_claims: str = _setting(
        "user=sub,scopes=scope",
        str,
        "Claims of a token that say its tenant, user, application and scopes, as NAME=CLAIM. With user=CLAIM?"
        " a token may lack this claim; its holder then names the user in each call.",
    )
    reflection: str = _setting(
        "credentials",
        click.Choice(["credentials", "open", "off"]),
        "Calls of server reflection: credentials (as all calls), open (without credentials) or off.",
    )
    workers: int | None = _setting(
        None,
        click.IntRange(1, 64),
        "Number of worker processes. Default: one for each available core, at most 4; on systems other than"
        " Linux, 1.",
    )
    pool_size: int = _setting(8, click.IntRange(1, 1_000), "Connections of each worker to Postgres.")
    pool_timeout_seconds: float = _setting(
        5.0, _Seconds(0.01, 600), "How long a call waits for a connection."
    )
    default_deadline_seconds: float = _setting(30.0, _Seconds(0.1, 3_600), "Deadline of calls that set none.")
    stream_idle_seconds: float = _setting(
        600.0, _Seconds(0.1, 86_400), "How long a stream without a deadline may be idle."
    )
    max_concurrent_calls: int = _setting(
        2_000,
        click.IntRange(1, 1_000_000),
        "Calls that each worker has in progress, waiting ones included; more are refused.",
    )
    max_streams: int = _setting(
        2_000,
        click.IntRange(1, 1_000_000),
        "Streams, of calls or of a message, that each worker has open; more are refused.",
    )
    max_memory_mib: int = _setting(
        1_024,
        click.IntRange(64, 1_048_576),
        "Memory of each worker above which connections that do not read or do not finish are ended.",
    )
    history_max_messages: int = _setting(
        20,
        click.IntRange(0, MAX_INT32),
        "Maximum messages of a context window, unless the call or the session sets it.",
    )
    history_token_budget: int | None = _setting(
        None,
        click.IntRange(0, MAX_INT32),
        "Maximum tokens of a context window, unless something else sets it. Default: no limit.",
    )
    model_token_budgets: dict[str, int] | None = _setting(
        None,
        _BudgetsType(),
        "Maximum tokens of a context window for each model of a session; overrides --history-token-budget.",
    )
    history_step_tokens: int = _setting(
        0,
        click.IntRange(0, MAX_INT32),
        "Tokens by which the beginning of a context window moves if the token budget cuts it, unless the call"
        " or the session sets them; 0: it moves with every message.",
    )
    history_step_messages: int = _setting(
        0,
        click.IntRange(0, MAX_INT32),
        "Messages by which the beginning of a context window moves if the maximum of messages cuts it, unless"
        " the call or the session sets them; 0: it moves with every message.",
    )
    model_step_tokens: dict[str, int] | None = _setting(
        None,
        _BudgetsType(),
        "Tokens by which the beginning of a context window moves for each model of a session; overrides"
        " --history-step-tokens.",
    )
    history_unanswered_calls: str = _setting(
        "keep",
        click.Choice(["keep", "omit"]),
        "Whether a context window has messages with a tool call that has no result there, unless the call or"
        " the session says so.",
    )
    history_whole_responses: bool = _setting(
        default=False,
        kind=bool,
        text="Begin no context window inside a row of ASSISTANT messages, unless the call or the session says"
        " so.",
    )
    token_counter: str = _setting(
        CHARACTERS,
        str,
        "Counts the tokens of messages that are sent without a count: characters, tiktoken:ENCODING, or the"
        " name of a plug-in.",
    )
    tiktoken_dir: Path | None = _setting(
        None,
        click.Path(file_okay=False, path_type=Path),
        "Folder with the vocabularies of tiktoken; none is downloaded. Default: TIKTOKEN_CACHE_DIR.",
    )
    coalesce: bool = _setting(default=True, kind=bool, text="Execute concurrent calls in one statement.")
    require_user_id: bool = _setting(
        default=False, kind=bool, text="Refuse calls that do not name the user they act for."
    )
    limits: bool = _setting(
        default=False,
        kind=bool,
        text="Apply the limits of tenants and users that `session-history limits` sets.",
    )
    delete_retention_days: int = _setting(
        30, click.IntRange(0, 36_500), "How long a deleted or expired session can be restored."
    )
    drain_seconds: float = _setting(
        0.0,
        _Seconds(0, 600),
        "After SIGTERM or SIGINT, how long to report NOT_SERVING before calls are refused.",
    )
    grace_seconds: float = _setting(
        10.0,
        _Seconds(0, 600),
        "After SIGTERM or SIGINT, how long running calls may take to finish.",
    )
    slow_call_millis: int = _setting(
        1_000, click.IntRange(1, 3_600_000), "Calls that take longer are logged as slow."
    )
    log_level: str = _setting("info", click.Choice(logs.LEVELS), "Lowest level that is logged.")
    log_format: str = _setting(
        "auto", click.Choice(logs.FORMATS), "auto is readable text on a terminal, else JSON lines."
    )

    @property
    def pooled(self) -> bool:
        """Whether the URL leads to a pooler that may give each transaction another session of Postgres."""
        return self.pooler is not None

    @property
    def embedded_data_dir(self) -> Path:
        """The data directory of the embedded Postgres."""
        return self.data_dir or _default_data_dir()


_FIELDS: Final = {field.name: field for field in dataclasses.fields(Settings)}


def options() -> _Decorator:
    """Add all settings to a command as options."""

    def decorate(command: _Command) -> _Command:
        for name in reversed(_FIELDS):
            command = option(name)(command)
        return command

    return decorate


def option(name: str, text: str | None = None) -> _Decorator:
    """Add a setting to a command as an option, with another help text if the command uses it differently."""
    field = _FIELDS[name]
    # As text: the help would show an address and a list of words as lists of their parts.
    default = str(field.default) if isinstance(field.default, Address) else field.default
    default = ",".join(default) if isinstance(default, tuple) else default
    is_flag = field.metadata["kind"] is bool
    return click.option(
        f"{flag(name)}/--no-{flag(name)[2:]}" if is_flag else flag(name),
        name,
        type=field.metadata["kind"],
        default=default,
        envvar=variable(name),
        show_envvar=True,
        show_default=default not in (None, ""),
        help=text or field.metadata["help"],
    )


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()
