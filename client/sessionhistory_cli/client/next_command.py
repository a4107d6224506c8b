"""Suggest the next command line."""

from __future__ import annotations

import shlex

import click
from click.core import ParameterSource


def next_command(
    context: click.Context, *changes: str, name: str | None = None, without: tuple[str, ...] = ()
) -> str:
    """Return the current command line, with other words at its end.

    Args:
        context: The context of the command.
        changes: The words to add.
        name: The name of another command that takes the same arguments; ``None``: the same command.
        without: The names of the parameters to leave out.
    """
    arguments: list[str] = []
    options: list[str] = []
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and isinstance(parameter, click.Argument):
            arguments.append(str(context.params[parameter.name or ""]))
        elif given and parameter.name not in without:
            options += _option(parameter, context.params[parameter.name or ""])
    words = [*arguments, *options, *changes]
    if any(argument.startswith("-") for argument in arguments):
        words = [*options, *changes, "--", *arguments]
    return shlex.join(["session-history", name or context.command.name or "", *words])


def _option(option: click.Parameter, value: object) -> list[str]:
    flag = option.opts[0]
    if isinstance(value, bool):
        return [flag if value else option.secondary_opts[0]]
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (flag, str(one))]
