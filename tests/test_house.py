"""The house rules that a machine can hold: direction of imports, vocabulary, the README."""

import ast
import re
from pathlib import Path

import pytest

from unbraid.methods import METHODS
from unbraid.metrics import METRICS

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "unbraid").rglob("*.py"))
# A room imports only from itself and from rooms before it.
ORDER = [
    "errors",
    "entropy",
    "files",
    "codes",
    "distributions",
    "data",
    "nets",
    "information",
    "methods",
]
ORDER += ["metrics", "runs", "engine", "evaluation", "studies", "report", "explore", "export"]
ORDER += ["cli", "__main__"]


def imported(source: Path) -> set[str]:
    """The rooms of unbraid that a file imports, wherever in the file."""
    rooms = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unbraid"):
            parts = (node.module or "").split(".")
            names = [parts[1]] if len(parts) > 1 else [a.name for a in node.names]
            rooms |= {n for n in names if n in ORDER}
    return rooms


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.relative_to(ROOT / "src").as_posix())
def test_nothing_imports_leftwards(source: Path) -> None:
    room = source.relative_to(ROOT / "src" / "unbraid").parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for other in imported(source):
        assert ORDER.index(other) <= ORDER.index(room), f"{room} imports {other}"


def test_methods_and_metrics_know_their_place() -> None:
    for source in SOURCES:
        room = source.relative_to(ROOT / "src" / "unbraid").parts[0]
        if room == "methods":
            assert not {"engine", "data"} & imported(source), source
        if room == "metrics":
            assert "import torch" not in source.read_text(), source
            assert not {"data", "methods", "runs"} & imported(source), source


def test_the_readme_has_a_row_for_every_method_and_protocol() -> None:
    readme = (ROOT / "README.md").read_text()
    protocols = {name for metric in METRICS.values() for name in metric.PROTOCOLS}
    for name in (*METHODS, *METRICS, *protocols):
        assert f"`{name}`" in readme, name
    for picture in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / picture).exists(), picture


def test_no_file_names_a_registry_or_a_machine() -> None:
    # Joined here, so that this file does not name one either.
    banned = [f"/{name}/" for name in ("root", "home", "work")] + ["-".join(("index", "url"))]
    rooms = [p for room in ("tests", "benchmarks") for p in (ROOT / room).rglob("*.py")]
    pages = [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("*.toml")]
    for source in [*SOURCES, *rooms, *pages, ROOT / "Makefile"]:
        text = source.read_text()
        assert not any(word in text for word in banned), source
