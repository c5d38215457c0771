"""Plain words and standard names: phrases and names of version 0.1 that must not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "unbraid").rglob("*.py"))
TEXTS = [
    *SOURCES,
    *sorted((ROOT / "src" / "unbraid").rglob("*.toml")),
    *sorted((ROOT / "src" / "unbraid").rglob("*.jinja")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "results").rglob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "Makefile",
]
# The names that version 0.1 wrote.
EXEMPT = {ROOT / "src" / "unbraid" / "runs" / "version_0_1.py"}

# Regular expressions, without regard to case; white space matches line breaks too.
PHRASES = (
    r"how far it got",
    r"every (?:seed|one) that was run",
    r"stopped, it continues",
    r"a look, in a tenth",
    r"held to (?:torch|PyTorch)",
    r"begun from charts",
    r"\btold\b",
    r"\btells\b",
    r"what was reached",
    r"how it is spread",
    r"stand for the dataset",
    r"multiplied with",
    r"a step sees",
    r"none of them varies",
    r"names? a category of",
    r"more steps are done",
    r"hangs? on them",
    r"differ in nothing else",
    r"words a method may say",
    r"what is small",
    r"Of a run it is",
    r"is explicit to",
    r"to the same bits",
    r"goes on, to",
    r"one after another\b.{0,20}\bis relieved",
)
OLD_FLAGS_AND_KEYS = (
    r"--continuous\b",
    r"--batch(?![-\w])",
    r"--discriminator-(?:rate|width)\b",
    r"--pairwise\b",
    r"--beta-(?:first|last)\b",
    r"--fall-steps\b",
    r"--anew\b",
    r"--given\b",
    r"--quicken\b",
    r"--cool-(?:from|to)\b",
    r"--quantise\b",
    r"--commit(?![-\w])",
    r"\bpatience\b",
    r"\bcontinuous = \d",
    r"\bpairwise = ",
    r"\b(?:beta_first|beta_last|fall_steps|quicken|cool_from|cool_to)\b",
    r"study keep\b",
    r"(?<!definitions/)\btable[12](?:-quick)?\.toml\b",
)
OLD_MODULES = (
    r"unbraid\.(?:latents|charts|schedules|assignment|commands|parser)\b",
    r"data[./](?:own|facts|fetch|pictures|dsprites|mpi3d|shapes3d)\b(?!/)",
    r"engine[./](?:run|configure|checkpoint|encode|noise|precision|kept|stages|stacked|together|pictures)\b",
    r"metrics[./]evaluate\b",
    r"(?:unbraid\.|\b)report[./](?:information|stages|cascade)\.py",
    r"studies[./](?:read|run|keep|sheets)\b(?!\()",
    r"explore[./](?:page|explored|gate|pictures|shown)\b",
    r"\bcli_(?:data|explore|export|studies)\b",
)

# Old names and the package where they are banned, by its path; "" is the whole package.
OLD_NAMES = {
    "": """
        continuous pace surveys restarts batches critics weighed categorise pairwise anew given
        quicken cool_from cool_to beta_first beta_last fall_steps bernoulli_nats told told_of
        Sitting sitting admit together kept Stack Pictures alone alone_in Own Facts Continued
        painted Headline patience keep Line Sheet OnRay Gate hindrance USUAL checked taken counted
        smeared area strength
        """,
    "methods/": "choose span Group Pass Dataset opened Names Named named",
    "metrics/": "Job columns nearest Named named",
    "studies/": "marks",
}
OLD_FILES = """
    latents.py schedules.py assignment.py charts.py cli.py cli_data.py cli_explore.py cli_export.py
    cli_studies.py commands.py parser.py data/own.py data/facts.py data/fetch.py data/pictures.py
    engine/kept.py engine/stacked.py engine/together.py engine/pictures.py engine/stages.py
    metrics/evaluate.py report/information.py report/stages.py report/cascade.py studies/keep.py
    studies/read.py studies/run.py studies/sheets.py explore/page.py explore/pictures.py
    explore/explored.py explore/shown.py explore/gate.py
    """
# A name, the file that may define it, and the reason.
ALLOWED_NAMES = {
    ("columns", "metrics/_scipy.py"): "column indices of a sparse matrix, as SciPy names them",
}


def occurrences(patterns: tuple[str, ...], file: Path) -> list[str]:
    """Return the matches of the patterns in a file, with their lines."""
    text = file.read_text()
    result = []
    for pattern in patterns:
        expression = re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE)
        for match in expression.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            result.append(f"{file.relative_to(ROOT)}:{line}: {match[0]!r}")
    return result


def definitions(source: Path) -> Iterator[tuple[str, int]]:
    """Yield the names of functions, classes, parameters and fields, and of the module itself."""
    yield source.stem, 1
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                arguments = node.args
                yield node.name, node.lineno
                for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                    yield a.arg, a.lineno
            case ast.ClassDef():
                yield node.name, node.lineno
                for statement in node.body:
                    if isinstance(statement, ast.AnnAssign) and isinstance(
                        statement.target, ast.Name
                    ):
                        yield statement.target.id, statement.lineno


@pytest.mark.parametrize("file", TEXTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_phrases_and_names_of_version_0_1_do_not_occur(file: Path) -> None:
    if file not in EXEMPT:
        found = occurrences((*PHRASES, *OLD_FLAGS_AND_KEYS, *OLD_MODULES), file)
        assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "source", SOURCES, ids=lambda p: p.relative_to(ROOT / "src/unbraid").as_posix()
)
def test_no_definition_has_an_old_name(source: Path) -> None:
    path = source.relative_to(ROOT / "src" / "unbraid").as_posix()
    found = [
        f"{path}:{line}: {name}"
        for name, line in definitions(source)
        if _is_old(name.lstrip("_"), path) and (name.lstrip("_"), path) not in ALLOWED_NAMES
    ]
    assert not found, "\n" + "\n".join(found)


def _is_old(name: str, path: str) -> bool:
    return any(
        name in names.split() for start, names in OLD_NAMES.items() if path.startswith(start)
    )


def test_no_file_has_an_old_name() -> None:
    for path in OLD_FILES.split():
        assert not (ROOT / "src" / "unbraid" / path).exists(), path


@pytest.mark.parametrize("allowed", ALLOWED_NAMES, ids=" in ".join)
def test_every_exemption_is_used(allowed: tuple[str, str]) -> None:
    name, path = allowed
    names = {defined for defined, _ in definitions(ROOT / "src" / "unbraid" / path)}
    assert name in names
