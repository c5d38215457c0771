"""The command `unbraid`.

The commands are in one file each, with their flags beside what they do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from unbraid.errors import UnbraidError, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command, subcommand and flags, by default those of the process.

    Returns
    -------
    int
        Exit code: 0 on success, 2 for a mistake of the user, 1 for another failure, 130 after
        Ctrl-C.

    Examples
    --------
    >>> main(["--version"])
    unbraid 0.1.0
    0
    """
    from cyclopts import CycloptsError

    from unbraid.cli import messages, parser

    app = parser.build()
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    names, path, rest = app.parse_commands(tokens)
    prefix = " ".join(["unbraid", *(name for name in names if not name.startswith("-"))])
    if path[-1].default_command is None and not rest:
        return _fail(f"{prefix}: {messages.missing_command(path[-1])}; see {prefix} --help")
    try:
        command, bound, _ = app.parse_args(tokens, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        return _fail(f"{prefix}: {messages.usage_error(error)}; see {prefix} --help")
    try:
        code = command(*bound.args, **bound.kwargs) or 0
        sys.stdout.flush()
    except UnbraidError as error:
        code = 2 if isinstance(error, UserError) else 1
        flags = messages.flags_of(path[-1])
        return _fail(f"unbraid: {messages.with_flags(str(error), flags)}", code)
    except KeyboardInterrupt:
        return _fail("unbraid: interrupted; progress saved", 130)
    except BrokenPipeError:
        # The reader of a pipe, as `head`, has ended; else Python would report it at exit again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _fail(line: str, code: int = 2) -> int:
    print(line, file=sys.stderr)
    return code
