"""Docstrings are numpydoc with `names` in backticks; this makes them valid reStructuredText.

Napoleon then renders the sections. Doctest blocks stay as they are.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

SPAN = re.compile(r"(`[^`]+`)")
# Characters that reStructuredText would read as emphasis, a substitution or a reference: |KL − C|,
# x_b, a*b. Those in `names` are literal, and an asterisk at the start of a line is a bullet.
MARKS = re.compile(r"^( *\* )|([\\*|_])", re.MULTILINE)
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Other Parameters")
# "name : type" or "name, other : type", not indented.
ITEM = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*)( : .*)?")
# Before napoleon, whose priority is the default, 500.
PRIORITY = 400


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _translate, priority=PRIORITY)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _translate(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst("\n".join(lines)).split("\n")


def as_rst(docstring: str) -> str:
    """Return a docstring with every name in backticks as a literal and no other markup."""
    blocks = re.split(r"(\n\n+)", docstring)
    section = ""
    result = []
    for block in blocks:
        header = re.match(r"(\w[\w ]*)\n-{3,}(?:\n|$)", block)
        section = header[1] if header else section
        if block.lstrip().startswith(">>>"):
            result.append(block)
        elif header:
            result.append(block[: header.end()] + _body(block[header.end() :], section))
        else:
            result.append(_body(block, section))
    return "".join(result)


def _body(text: str, section: str) -> str:
    if text.lstrip().startswith(">>>"):
        return text
    if section not in SECTIONS:
        return _escaped(text)
    # A section's items: the name stays as it is, for napoleon.
    lines = []
    paragraph: list[str] = []
    for line in text.split("\n"):
        item = ITEM.fullmatch(line)
        if item and not line.startswith(" "):
            lines += [_escaped("\n".join(paragraph))] if paragraph else []
            paragraph = []
            lines.append(item[1] + _escaped(item[2] or ""))
        else:
            paragraph.append(line)
    lines += [_escaped("\n".join(paragraph))] if paragraph else []
    return "\n".join(lines)


def _escaped(text: str) -> str:
    pieces = SPAN.split(text)
    return "".join(
        f"`{piece}`" if SPAN.fullmatch(piece) else MARKS.sub(_escaped_mark, piece)
        for piece in pieces
    )


def _escaped_mark(match: re.Match[str]) -> str:
    return match[1] or "\\" + match[2]
