"""Imports between packages, completeness of README and docs, and validity of project files."""

import ast
import re
from pathlib import Path

import pytest
import yaml

import unbraid
from unbraid.data import DATASETS
from unbraid.methods import METHODS
from unbraid.metrics import METRICS

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "unbraid").rglob("*.py"))
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
# A package imports only from itself and from packages before it.
ORDER = [
    "errors",
    "registry",
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
    """Return the packages of unbraid that a file imports, anywhere in the file."""
    packages = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unbraid"):
            parts = (node.module or "").split(".")
            names = [parts[1]] if len(parts) > 1 else [a.name for a in node.names]
            packages |= {n for n in names if n in ORDER}
    return packages


def package_of(source: Path) -> str:
    return source.relative_to(ROOT / "src" / "unbraid").parts[0].removesuffix(".py")


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.relative_to(ROOT / "src").as_posix())
def test_no_module_imports_a_later_package(source: Path) -> None:
    package = package_of(source)
    if package == "__init__":
        return
    for other in imported(source):
        assert ORDER.index(other) <= ORDER.index(package), f"{package} imports {other}"


def test_methods_and_metrics_are_independent() -> None:
    for source in SOURCES:
        if package_of(source) == "methods":
            assert not {"engine", "data", "runs"} & imported(source), source
        if package_of(source) == "metrics":
            assert "import torch" not in source.read_text(), source
            assert not {"data", "methods", "runs"} & imported(source), source


def test_the_readme_has_a_row_for_every_method_and_protocol() -> None:
    readme = (ROOT / "README.md").read_text()
    protocols = {name for metric in METRICS.values() for name in metric.PROTOCOLS}
    for name in (*METHODS, *METRICS, *protocols):
        assert f"`{name}`" in readme, name


def test_a_page_names_every_dataset() -> None:
    page = (ROOT / "docs" / "datasets.md").read_text()
    for name in set(DATASETS) - {"dsprites-corner"}:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_relative_links_point_to_existing_files(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target


def test_the_architecture_page_lists_every_module_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    listing = page.partition("src/unbraid/\n")[2].partition("```")[0]
    listed = set(re.findall(r"\w+\.py\b", listing))
    methods_and_metrics = {m.__module__ for m in METHODS.values()}
    methods_and_metrics |= {m.__name__ for m in METRICS.values()}
    names = {
        source.name
        for source in SOURCES
        if "datasets" not in source.parts
        and f"unbraid.{source.parent.name}.{source.stem}" not in methods_and_metrics
    }
    assert names - {"__init__.py", "__main__.py"} - listed == set()
    assert listed - {source.name for source in SOURCES} == set()


def test_version_and_changelog_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == unbraid.__version__
    assert f"## {unbraid.__version__}" in changelog
    assert "## Unreleased" in changelog


def test_templates_and_workflows_are_valid_yaml() -> None:
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]
    assert len(files) >= 4
    for file in files:
        assert yaml.safe_load(file.read_text()), file
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "run: .ci/run" in workflow


def test_no_file_names_a_registry_or_a_machine() -> None:
    # Joined from parts, so that this file does not contain them either.
    banned = [f"/{name}/" for name in ("root", "home", "work")] + ["-".join(("index", "url"))]
    scripts = [p for name in ("tests", "benchmarks") for p in (ROOT / name).rglob("*.py")]
    pages = [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("*.toml")]
    for source in [*SOURCES, *scripts, *pages, ROOT / "Makefile"]:
        text = source.read_text()
        assert not any(path in text for path in banned), source
