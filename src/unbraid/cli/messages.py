"""One line for every mistake: of the command line itself, and of what it asks the library to do."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Mapping

from cyclopts import App, CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from unbraid.cli.flags import printable

FLAG = re.compile(r"-[^\W\d]|--")


def command_names(app: App) -> list[str]:
    """Return the names of an app's commands, without --help and --version."""
    return [name for name in app if not name.startswith("-")]


def usage_error(error: CycloptsError) -> str:
    """Return the line for a command line that cannot be read."""
    return " ".join(_problem(error).split())


def missing_command(app: App) -> str:
    """Return the line for a group of commands that was called without one."""
    return f"a command is required; give one of {', '.join(command_names(app))}"


def with_flags(message: str, flags: Mapping[str, str]) -> str:
    """Return an error message of the library with flags in place of arguments.

    Parameters
    ----------
    message : str
        Message that names arguments in backticks, and may begin with "argument=value: ".
    flags : mapping from str to str
        Flag of each argument of the command, for example "--batch-size" of "batch_size".

    Returns
    -------
    str
        The message with flags in place of the arguments and without backticks, on one line.

    Examples
    --------
    >>> with_flags("steps=0: must be at least 1; set `steps` to 1 or more", {"steps": "--steps"})
    '--steps 0: must be at least 1; set --steps to 1 or more'
    """
    message = " ".join(message.split())
    message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
    if (head := re.match(r"(\w+)=(.*?): ", message)) and head[1] in flags:
        message = f"{flags[head[1]]} {head[2].strip() or repr(head[2])}: {message[head.end() :]}"
    return re.sub(r"`([^`]*)`", lambda quoted: flags.get(quoted[1], quoted[1]), message)


def flags_of(app: App) -> dict[str, str]:
    """Return the flag, or the label in the usage, of every argument of a command.

    An argument is found by its name in Python and by that of its flag.
    """
    flags: dict[str, str] = {}
    if app.default_command is not None:
        for argument in app.assemble_argument_collection():
            name = argument.name if argument.name.startswith("-") else argument.name.upper()
            flags[argument.field_info.name] = flags[_argument(name)] = name
    return flags


def _argument(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_").lower()


def _problem(error: CycloptsError) -> str:
    tokens = error.unused_tokens or [""]
    known = _known(error.app)
    unknown = [x for x in tokens if FLAG.match(x) and x.partition("=")[0] not in known]
    match error:
        case UnknownOptionError():
            return _unknown_flag(error.token.keyword or error.token.value, error.app)
        case UnknownCommandError() if not tokens[0].startswith("-"):
            names = command_names(error.app) if error.app else []
            return f"{printable(tokens[0])}: unknown command; give one of {', '.join(names)}"
        case UnknownCommandError() | MissingArgumentError() if unknown:
            return _unknown_flag(unknown[0], error.app)
        case UnusedCliTokensError():
            return f"{printable(tokens[0])}: unexpected argument"
        case MissingArgumentError():
            return f"{_name(error)}: {'needs a value' if error.keyword else 'required'}"
        case CoercionError():
            return f"{_name(error)} {_value(error)}: {_rule(error)}"
    return str(error)


def _unknown_flag(token: str, app: App | None) -> str:
    flag = token.partition("=")[0]
    known = [name.removeprefix("--") for name in _known(app)]
    closest = difflib.get_close_matches(flag.removeprefix("--"), known, n=1)
    return f"{printable(flag)}: unknown flag" + "".join(f" (closest: --{x})" for x in closest)


def _known(app: App | None) -> list[str]:
    if app is None or app.default_command is None:
        return []
    names = []
    for argument in app.assemble_argument_collection():
        # Negative names that the command does not define are those of cyclopts' defaults.
        defaults = () if argument.parameter.negative else argument.negatives
        names += [x for x in argument.names if x.startswith("--") and x not in defaults]
    return names


def _name(error: CycloptsError) -> str:
    assert error.argument is not None
    name = error.argument.name
    return name if name.startswith("-") else name.upper()


def _value(error: CoercionError) -> str:
    assert error.argument is not None
    tokens = error.argument.tokens or ([error.token] if error.token else [])
    return printable(" ".join(token.value for token in tokens))


def _rule(error: CoercionError) -> str:
    assert error.argument is not None
    if bool in (error.argument.hint, *typing.get_args(error.argument.hint)):
        return "is not a value of this flag; give the flag without a value"
    if choices := error.argument.get_choices():
        return f"give one of {', '.join(choices)}"
    return str(error.msg) if error.msg else "invalid value"
