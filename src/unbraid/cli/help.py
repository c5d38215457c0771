"""The layout of --help: plain text in two columns, the same on a terminal and in a pipe."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

INDENT, COLUMN, WIDTH = "  ", 24, 80


def epilogue(example: str, *paragraphs: str) -> str:
    """Return what --help prints below the flags: paragraphs, then an example."""
    texts = [_filled(paragraph, WIDTH) for paragraph in paragraphs if paragraph.strip()]
    return "\n\n".join([*texts, f"Example: {example}"])


class HelpFormatter:
    """Formatter of cyclopts without colours and boxes."""

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the usage line."""
        _print(console, f"Usage: {usage_line(usage)}")

    def render_description(
        self, console: Console, options: ConsoleOptions, description: Any
    ) -> None:
        """Print what the command does."""
        for paragraph in plain(description).split("\n\n"):
            _print(console, "\n" + _filled(paragraph, _width(console)))

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print a group of commands or flags."""
        if panel.entries:
            _print(console, f"\n{plain(panel.title)}:")
            for entry in panel.entries:
                _print(console, _row(label(entry), text(entry), _width(console)))


def usage_line(usage: Any) -> str:
    """Return the usage of a command, with positional arguments before the flags."""
    words = " ".join(plain(usage).split())
    before, optional, after = words.partition(" [OPTIONS]")
    return f"{before}{after}{optional}"


def label(entry: HelpEntry) -> str:
    """Return a flag with its metavar, or the name of a command."""
    return ", ".join(entry.display_labels_with_metavar)


def text(entry: HelpEntry) -> str:
    """Return the help of a flag with its choices and default."""
    notes = []
    if entry.choices:
        notes.append(f"one of {', '.join(entry.choices)}")
    if entry.required:
        notes.append("required")
    elif entry.default not in (None, "False"):
        notes.append(f"default: {'yes' if entry.default == 'True' else entry.default}")
    description = " ".join(plain(entry.description).split())
    if notes and description.endswith(")"):
        return f"{description[:-1]}; {'; '.join(notes)})"
    return f"{description} ({'; '.join(notes)})" if notes else description


def plain(renderable: Any) -> str:
    """Return the text of a renderable without styles and line breaks of its own."""
    if isinstance(renderable, str):
        return renderable
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, color_system=None, width=10**6).print(renderable, end="")
    return file.getvalue().strip()


def _filled(paragraph: str, width: int) -> str:
    return textwrap.fill(" ".join(paragraph.split()), width, break_on_hyphens=False)


def _row(left: str, right: str, width: int) -> str:
    lines = textwrap.wrap(right, width - COLUMN, break_on_hyphens=False)
    first = f"{INDENT}{left}"
    if len(first) + 2 > COLUMN or not lines:
        return "\n".join([first, *(" " * COLUMN + line for line in lines)])
    return "\n".join([first.ljust(COLUMN) + lines[0], *(" " * COLUMN + x for x in lines[1:])])


def _width(console: Console) -> int:
    return max(40, min(console.width, WIDTH))


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
