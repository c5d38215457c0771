"""Links from docs/ to other folders, for example to results, download the file."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

OUTSIDE = re.compile(r"\]\((\.\./[^)#]+)\)")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _as_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _as_files(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = OUTSIDE.sub(r"](path:\1)", source[0])
