"""The directive `command-line`: every command with its flags, from the parser itself.

Our help is plain text, with marks such as |KL − C|, so nothing here is read as markup.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from unbraid.cli import _parser

# Wide enough for a usage, narrow enough for a page.
WIDTH = 84


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class CommandLine(SphinxDirective):
    """A section a command, with what it does, its usage and its flags."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(_parser.__code__.co_filename)
        return [self._section(parser) for parser in leaves(_parser())]

    def _section(self, parser: argparse.ArgumentParser) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(parser.prog)], names=[parser.prog])
        section += nodes.title(text=parser.prog)
        section += [nodes.paragraph(text=text) for text in _paragraphs(parser.description)]
        section += nodes.literal_block(text=usage(parser), language="text")
        for title, actions in groups(parser):
            section += nodes.rubric(text=title)
            section += _flags(parser, actions)
        section += [nodes.paragraph(text=text) for text in _paragraphs(parser.epilog)]
        return section


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of commands that do something, in the order of the help."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        yield parser
    for one in below:
        for child in one.choices.values():
            yield from leaves(child)


def usage(parser: argparse.ArgumentParser) -> str:
    """The usage, set to the page's width whatever the terminal's is."""
    formatter = argparse.HelpFormatter(parser.prog, width=WIDTH)
    formatter.add_usage(parser.usage, parser._actions, [], prefix="")
    return formatter.format_help().strip()


def groups(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """The parser's groups that have flags, but for --help alone."""
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if not isinstance(a, argparse._HelpAction)]
        if actions:
            yield group.title or "flags", actions


def _flags(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> nodes.Node:
    formatter = parser._get_formatter()
    listed = nodes.definition_list()
    for action in actions:
        item = nodes.definition_list_item()
        name = formatter._format_action_invocation(action)
        item += nodes.term("", "", nodes.literal(text=name))
        text = formatter._expand_help(action) if action.help else ""
        item += nodes.definition("", nodes.paragraph(text=text))
        listed += item
    return listed


def _paragraphs(text: str | None) -> list[str]:
    blocks = (text or "").split("\n\n")
    return [" ".join(block.split()) for block in blocks if block.strip()]
