"""The directive `command-line`: every command with its flags, as `--help` shows them.

The texts are plain, with marks such as |KL − C|, so nothing in them is read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cyclopts import App
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from unbraid.cli import help as layout
from unbraid.cli import parser
from unbraid.cli.messages import command_names


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Recorder:
    """Formatter of cyclopts that keeps what it is given, instead of printing it."""

    def __init__(self) -> None:
        self.usage, self.description = "", ""
        self.panels: list[tuple[str, list[tuple[str, str]]]] = []

    def render_usage(self, console: Any, options: Any, usage: Any) -> None:
        self.usage = layout.usage_line(usage)

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        self.description = layout.plain(description)

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        rows = [(layout.label(entry), layout.text(entry)) for entry in panel.entries]
        if rows:
            self.panels.append((layout.plain(panel.title), rows))


class CommandLine(SphinxDirective):
    """A section for each command: what it does, its usage and its flags."""

    def run(self) -> list[nodes.Node]:
        for module in (parser, layout, *parser.COMMANDS):
            self.env.note_dependency(str(module.__file__))
        return [_section(words) for words in commands(parser.build())]


def commands(app: App, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command that does something, in the order of the help."""
    for name in command_names(app):
        if app[name].default_command is None:
            yield from commands(app[name], (*words, name))
        else:
            yield (*words, name)


def _section(words: tuple[str, ...]) -> nodes.section:
    recorder = Recorder()
    app = parser.build(recorder)
    command = app
    for word in words:
        command = command[word]
    # What is below the flags is printed, not passed to the formatter.
    epilogue, command.help_epilogue = command.help_epilogue, ""
    app.help_print(list(words))
    title = " ".join(["unbraid", *words])
    section = nodes.section(ids=[nodes.make_id(title)], names=[title])
    section += nodes.title(text=title)
    section += [nodes.paragraph(text=text) for text in _paragraphs(recorder.description)]
    section += nodes.literal_block(text=recorder.usage, language="text")
    for group, rows in recorder.panels:
        section += nodes.rubric(text=group)
        listed = nodes.definition_list()
        for label, text in rows:
            term = nodes.term("", "", nodes.literal(text=label))
            listed += nodes.definition_list_item(
                "", term, nodes.definition("", nodes.paragraph(text=text))
            )
        section += listed
    for text in _paragraphs(epilogue or ""):
        if text.startswith("Example: "):
            section += nodes.rubric(text="Example")
            section += nodes.literal_block(text=text.removeprefix("Example: "), language="sh")
        else:
            section += nodes.paragraph(text=text)
    return section


def _paragraphs(text: str) -> list[str]:
    return [" ".join(block.split()) for block in text.split("\n\n") if block.strip()]
