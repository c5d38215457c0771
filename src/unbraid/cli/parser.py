"""How a command line is read: a mistake is one line with its remedy."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line with its remedy."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def action(group: Any, name: str, command: Any, summary: str, description: str) -> Parser:
    """A command, or a part of one, with what it does."""
    parser = group.add_parser(name, help=summary, description=description)
    parser.set_defaults(command=command)
    return parser
