"""The settings: given by flag, given by environment variable, and refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sessionhistory_cli.commands import cli
from sessionhistory_server import config
from sessionhistory_server.config import Address, Settings, options, variable

# Each setting with a value other than its default, and with an invalid value.
_GOOD: dict[str, tuple[str, object]] = {
    "database_url": ("postgresql://u@h/d", "postgresql://u@h/d"),
    "pooler": ("transaction", "transaction"),
    "direct_database_url": ("postgresql://u@h/e", "postgresql://u@h/e"),
    "data_dir": ("/some where/data", Path("/some where/data")),
    "listen": ("[::1]:0", Address("[::1]", 0)),
    "tls_cert": ("/some where/cert.pem", Path("/some where/cert.pem")),
    "tls_key": ("/some where/key.pem", Path("/some where/key.pem")),
    "tls_client_ca": ("/some where/ca.pem", Path("/some where/ca.pem")),
    "plaintext": ("true", True),
    "insecure": ("true", True),
    "metrics_listen": ("off", None),
    "auth": ("keys,jwt", ("keys", "jwt")),
    "jwt_issuer": ("https://id.example.com/", "https://id.example.com/"),
    "jwt_audience": ("session-history", "session-history"),
    "jwt_jwks": ("https://id.example.com/keys", "https://id.example.com/keys"),
    "jwt_algorithms": ("PS256,EdDSA", ("PS256", "EdDSA")),
    "jwt_leeway_seconds": ("300", 300.0),
    "jwt_claims": ("scopes=scp", "scopes=scp"),
    "reflection": ("open", "open"),
    "workers": ("64", 64),
    "pool_size": ("1000", 1_000),
    "pool_timeout_seconds": ("0.01", 0.01),
    "default_deadline_seconds": ("3600", 3_600.0),
    "stream_idle_seconds": ("86400", 86_400.0),
    "max_concurrent_calls": ("1", 1),
    "max_streams": ("1000000", 1_000_000),
    "max_memory_mib": ("64", 64),
    "history_max_messages": ("0", 0),
    "history_token_budget": ("2147483647", 2**31 - 1),
    "model_token_budgets": ("gpt-4o=100000,a=b=0", {"gpt-4o": 100_000, "a=b": 0}),
    "history_step_tokens": ("1000", 1_000),
    "history_step_messages": ("2147483647", 2**31 - 1),
    "model_step_tokens": ("gpt-4o=25000,a=b=0", {"gpt-4o": 25_000, "a=b": 0}),
    "history_unanswered_calls": ("omit", "omit"),
    "history_whole_responses": ("true", True),
    "token_counter": ("tiktoken:o200k_base", "tiktoken:o200k_base"),
    "tiktoken_dir": ("/some where/vocabularies", Path("/some where/vocabularies")),
    "coalesce": ("false", False),
    "require_user_id": ("true", True),
    "limits": ("true", True),
    "delete_retention_days": ("0", 0),
    "drain_seconds": ("0.5", 0.5),
    "grace_seconds": ("0", 0.0),
    "slow_call_millis": ("1", 1),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
}
_BAD: dict[str, tuple[str, ...]] = {
    "pooler": ("session", "yes", "pgbouncer"),
    "data_dir": (str(Path(__file__)),),
    "tiktoken_dir": (str(Path(__file__)),),
    "listen": ("", "50051", "host", "host:", ":1", "host:65536", "a:b:1", "http://host:1", "off", "h:-1"),
    "tls_cert": (str(Path(__file__).parent),),
    "tls_key": (str(Path(__file__).parent),),
    "tls_client_ca": (str(Path(__file__).parent),),
    "plaintext": ("maybe",),
    "insecure": ("maybe",),
    "metrics_listen": ("", "9464", "on", "h:99999"),
    "auth": ("key", "keys,passwords", "KEYS"),
    "jwt_algorithms": ("none", "HS256", "RS256,HS512", "rs256", "RSA", "ES256K", "RS256 ES256"),
    "jwt_leeway_seconds": ("-1", "301", "nan", "inf", "x"),
    "reflection": ("on", "closed"),
    "workers": ("0", "65", "-1", "auto", "1.5"),
    "pool_size": ("0", "1001", "-1", "eight", "1.5"),
    "pool_timeout_seconds": ("0", "601", "nan", "inf", "soon"),
    "default_deadline_seconds": ("0", "3601", "nan", "never"),
    "stream_idle_seconds": ("0", "86401", "nan", "never"),
    "max_concurrent_calls": ("0", "1000001", "all"),
    "max_streams": ("0", "1000001", "all"),
    "max_memory_mib": ("63", "1048577", "1.5", "all"),
    "history_max_messages": ("-1", "2147483648", "x"),
    "history_token_budget": ("-1", "2147483648", "x"),
    "model_token_budgets": ("gpt-4o", "=1", "m=-1", "m=2147483648", "m=x"),
    "history_step_tokens": ("-1", "2147483648", "x"),
    "history_step_messages": ("-1", "2147483648", "x"),
    "model_step_tokens": ("gpt-4o", "=1", "m=-1", "m=2147483648", "m=x"),
    "history_unanswered_calls": ("maybe", "OMITTED"),
    "history_whole_responses": ("maybe",),
    "coalesce": ("maybe",),
    "require_user_id": ("maybe",),
    "limits": ("maybe",),
    "delete_retention_days": ("-1", "36501", "x"),
    "drain_seconds": ("-1", "601", "nan", "x"),
    "grace_seconds": ("-1", "601", "nan", "x"),
    "slow_call_millis": ("0", "3600001", "x"),
    "log_level": ("loud", "DEBUGGING"),
    "log_format": ("xml",),
}
_SWITCHES = {
    "coalesce": "--no-coalesce",
    "insecure": "--insecure",
    "plaintext": "--plaintext",
    "limits": "--limits",
    "require_user_id": "--require-user-id",
    "history_whole_responses": "--history-whole-responses",
}
_ANYTHING_GOES = {
    "database_url",
    "direct_database_url",
    "jwt_audience",
    "jwt_claims",
    "jwt_issuer",
    "jwt_jwks",
    "token_counter",
}  # checked when it is used
# An empty variable counts as not set, and a switch takes no value.
_BAD_BY = [
    (by, name, value)
    for name, values in _BAD.items()
    for value in values
    for by in ("flag", "variable")
    if (by == "variable" or name not in _SWITCHES) and (by, value) != ("variable", "")
]


@click.command
@options()
@click.pass_context
def _command(context: click.Context, **values: Any) -> None:
    context.obj.append(Settings(**values))


def _settings(*arguments: str, **variables: str) -> Settings:
    found: list[Settings] = []
    environment = {field.name: None for field in dataclasses.fields(Settings)} | variables
    by_variable = {variable(name): value for name, value in environment.items()}
    result = CliRunner(env=by_variable).invoke(_command, arguments, obj=found)
    assert result.exit_code == 0, result.output
    return found[0]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def test_every_setting_is_tested() -> None:
    """Every setting is in the test's table."""
    names = {field.name for field in dataclasses.fields(Settings)}
    assert set(_GOOD) == names
    assert set(_BAD) == names - _ANYTHING_GOES


def test_nothing_set_is_the_defaults() -> None:
    """Without flags and variables the settings are the defaults of the class."""
    assert _settings() == Settings()


@pytest.mark.parametrize("name", _GOOD)
def test_a_flag_and_a_variable_say_the_same(name: str) -> None:
    """Each setting is read from its flag, and from the variable of the same name."""
    text, value = _GOOD[name]
    by_flag = _settings(_SWITCHES[name]) if name in _SWITCHES else _settings(_flag(name), text)
    assert by_flag == dataclasses.replace(Settings(), **{name: value})
    assert _settings(**{name: text}) == by_flag


def test_a_flag_beats_a_variable() -> None:
    """A flag takes precedence over the variable."""
    assert _settings("--pool-size", "3", pool_size="4").pool_size == 3
    assert not _settings("--no-require-user-id", require_user_id="true").require_user_id


@pytest.mark.parametrize(("by", "name", "value"), _BAD_BY)
def test_nonsense_is_refused_in_one_line(by: str, name: str, value: str) -> None:
    """An invalid value ends the command with code 2 and one line that names its source."""
    arguments = [f"{_flag(name)}={value}"] if by == "flag" else []
    variables = {} if by == "flag" else {variable(name): value}
    result = CliRunner(env=variables).invoke(_command, arguments, obj=[])
    assert result.exit_code == 2, result.output
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("Error"))
    assert result.stderr.endswith(f"{line}\n")
    assert _flag(name) in line
    assert variable(name) in line


def test_an_empty_variable_counts_as_none() -> None:
    """A variable that is set to nothing, as compose files do, leaves the default."""
    assert _settings(**dict.fromkeys(_GOOD, "")) == Settings()


def test_an_unknown_flag_is_refused() -> None:
    """A misspelt flag is not ignored."""
    result = CliRunner().invoke(_command, ["--pool-sizes", "3"], obj=[])
    assert result.exit_code == 2
    assert "--pool-size" in result.stderr


@pytest.mark.parametrize(
    ("uid", "data_home", "expected"),
    [
        (0, None, "/var/lib/session-history"),
        (0, "/elsewhere", "/var/lib/session-history"),
        (1_000, None, "/home/ada/.local/share/session-history"),
        (1_000, "/elsewhere", "/elsewhere/session-history"),
        (1_000, "", "/home/ada/.local/share/session-history"),
    ],
)
def test_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, uid: int, data_home: str | None, expected: str
) -> None:
    """The embedded database is in the system's data folder for root, else in the user's."""
    monkeypatch.setattr(config.os, "geteuid", lambda: uid)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if data_home is not None:
        monkeypatch.setenv("XDG_DATA_HOME", data_home)
    assert Settings().embedded_data_dir == Path(expected)
    assert Settings(data_dir=Path("mine")).embedded_data_dir == Path("mine")


def test_help_shows_every_setting_and_no_value() -> None:
    """The help names each flag with its variable, and never shows a variable's value."""
    result = CliRunner(env={variable("database_url"): "postgresql://u:secret@h/d"}).invoke(
        _command, ["--help"], terminal_width=200
    )
    for field in dataclasses.fields(Settings):
        assert _flag(field.name) in result.output
        assert variable(field.name) in result.output
    assert "secret" not in result.output


def test_help_shows_addresses_as_they_are_given() -> None:
    """The help shows the default of an address as HOST:PORT, not as its parts."""
    result = CliRunner().invoke(_command, ["--help"], terminal_width=200)
    assert "default: 127.0.0.1:50051" in result.output
    assert "default: 127.0.0.1:9464" in result.output


@pytest.mark.parametrize("arguments", [["serve", "--pool-size", "0"], ["serve", "--no-such"], ["no-such"]])
def test_the_command_says_it_in_one_line_alone(arguments: list[str]) -> None:
    """Invalid arguments of the command itself print one line, without the usage."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
