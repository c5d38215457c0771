"""Our docstrings are plain sentences with `names` in backticks; autodoc reads reStructuredText."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

SPAN = re.compile(r"(`[^`]+`)")
# What reStructuredText would take for emphasis, a substitution or a reference: |KL − C|, x_b, a*b.
MARKS = re.compile(r"([\\*|_])")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _translate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _translate(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst("\n".join(lines)).split("\n")


def as_rst(docstring: str) -> str:
    """The same words, every name in backticks as a literal and nothing else as markup."""
    pieces = SPAN.split(docstring)
    return "".join(
        f"`{piece}`" if SPAN.fullmatch(piece) else MARKS.sub(r"\\\1", piece) for piece in pieces
    )
