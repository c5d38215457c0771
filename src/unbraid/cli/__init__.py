"""The command `unbraid`.

The commands are in one file each, with their flags beside what they do.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from unbraid.errors import UnbraidError, UserError

# Commands that resume if interrupted.
RESUMABLE = ("train", "evaluate", "study")
# Texts by which torch reports that there is too little memory, or that a size overflows.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "Storage size calculation overflowed",
    "Overflow when unpacking long",
)


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
    _prepare_streams()
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(tokens)
    except KeyboardInterrupt:
        saved = "; progress saved" if tokens and tokens[0] in RESUMABLE else ""
        return _fail(f"unbraid: interrupted{saved}", 130)
    except BrokenPipeError:
        # The reader of a pipe, as `head`, has ended.
        _discard_output()
        return 1
    except OSError as error:
        return _system_failure(error)
    except (MemoryError, RuntimeError, TypeError) as error:
        if not _is_out_of_memory(error):
            raise
        return _fail(
            "unbraid: memory: this machine has too little for the command; use smaller networks,"
            " batches or numbers of images",
            1,
        )


def _run(tokens: list[str]) -> int:
    from cyclopts import CycloptsError

    from unbraid.cli import messages, parser

    app = parser.build()
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
    return code


def _prepare_streams() -> None:
    """Replace closed streams, and escape characters that the encoding of the output lacks."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Discard what is not printed yet, as Python would report it at exit again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _system_failure(error: OSError) -> int:
    """Report an error of the operating system: of a path, or else of the standard output."""
    from unbraid.cli.flags import printable
    from unbraid.files import write_error

    if error.filename is None:
        _discard_output()
        return _fail(f"unbraid: {write_error(Path('standard output'), error)}", 1)
    name = printable(os.fsdecode(error.filename)) if not isinstance(error.filename, int) else "file"
    code = 2 if isinstance(write_error(Path(name), error), UserError) else 1
    reason = error.strerror or "cannot be used"
    return _fail(f"unbraid: {name}: {reason}; give a path that exists and that you may use", code)


def _is_out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(text in str(error) for text in OUT_OF_MEMORY)
    )


def _fail(line: str, code: int = 2) -> int:
    print(line, file=sys.stderr)
    return code
