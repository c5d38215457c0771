"""The blocks of the README and the docs run as shown, on small data and for few steps."""

import itertools
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image

from unbraid.cli import main
from unbraid.cli.messages import command_names
from unbraid.cli.parser import build
from unbraid.data import DATASETS, load
from unbraid.data.images import ImageTable
from unbraid.engine import train
from unbraid.methods import METHODS
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.metrics import METRICS
from unbraid.registry import LazyRegistry
from unbraid.runs import Budget, Config, Run
from unbraid.studies.store import Store
from unbraid.studies.study_file import read
from unbraid.studies.table import measure

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RESULTS_PAGE = ROOT / "docs" / "results.md"
CHART_VAE = ROOT / "results" / "speedrun" / "attempt-1"
ACCURACY = "classification accuracy"
MAX_README_LINES = 130
SHELL = ("sh", "bash", "shell", "console")
REGISTRIES: list[LazyRegistry[Any]] = [METHODS, METRICS, DATASETS]
# Flags that a test appends to a command, so that it finishes in seconds.
BUDGETS = {
    "train": "--steps 4 --batch-size 4 --threads 1",
    "train cascade-vae": "--stage-steps 1 --warmup-stages 1",
    "train cascade-vae-c": "--stage-steps 1",
    "train chart-vae": "--beta-anneal-steps 1 --survey-step 2",
    "evaluate": "--metrics mig",
    "information": "--images 64",
    "traverse": "--columns 3",
    "compare": "--columns 3",
}
# Commands that are only parsed, by their beginning, and the reason.
NOT_RUN = {
    "pip install": "it would change the environment of the tests",
    "make": "each target sets up an environment of its own; CI runs them",
    "unbraid study run": "it would train for hours; tests/studies runs small studies, also on Ray",
    "unbraid study archive": "it needs finished runs; tests/studies archives some",
    "unbraid study merge": "it needs runs of two machines; tests/studies merges some",
    "unbraid explore": "it serves until it is stopped; tests/explore opens it in a browser",
    "unbraid data shapes3d": "tests have no network; tests/data reads small official files",
    "unbraid report": "it needs finished runs; tests/report writes a page",
    "ray": "it starts a cluster on the machine; tests/studies/test_ray.py starts one on loopback",
    "#!": "a script for a cluster's queue",
    "git": "it would change the repository",
    "python -m pytest": "the tests are running already",
    "python -m tests.mutation": "it runs the tests thousands of times",
    "pre-commit": "it installs a hook",
}


class Block(NamedTuple):
    """A fenced block of a page: the number of its first line, its language and its text."""

    line: int
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page; one without a language that begins with a command is shell."""
    result = []
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence" and token.map is not None:
            language = token.info.split(" ")[0]
            first = token.content.lstrip()
            if language in SHELL or (not language and first.startswith(("unbraid ", *NOT_RUN))):
                language = "sh"
            result.append(Block(token.map[0] + 1, language, token.content))
    return result


def commands(block: Block) -> list[str]:
    """Return the lines of a shell block without comments, with continued lines joined."""
    text = block.text.replace("\\\n", " ")
    if text.startswith("#!"):
        return [text.splitlines()[0]]
    return [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]


def reason_not_to_run(line: str) -> str | None:
    return next((reason for start, reason in NOT_RUN.items() if line.startswith(start)), None)


@pytest.fixture(scope="session")
def small_run(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that is copied to every run directory that a page assumes to exist."""
    method = CascadeVAE(latent_dim=3, stage_steps=1, warmup_stages=1)
    config = Config(method, "dsprites-corner", Budget(3, 4), 0, "fp32")
    return train(config, load(config.data), tmp_path_factory.mktemp("runs") / "x")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with some images; entries that a page adds to a registry are removed."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32), np.uint8)
    np.savez(tmp_path / "images.npz", images=images, factors=np.arange(8)[:, None] % 2)
    for item, image in enumerate(images):
        file = tmp_path / "photos" / f"kind-{item % 2}" / f"{item}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    names = [set(registry) for registry in REGISTRIES]
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)
    for registry, before in zip(REGISTRIES, names, strict=True):
        for name in set(registry) - before:
            del registry[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, workplace: Path, small_run: Run) -> None:
    namespace: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "python":
            # With its own line numbers, so that a traceback points into the page.
            code = "\n" * block.line + block.text
            exec(compile(code, str(page), "exec"), namespace)
        elif block.language == "sh":
            for line in commands(block):
                assert run(line, workplace, small_run) == 0, f"{page.name}:{block.line}: {line}"


def run(line: str, workplace: Path, small_run: Run) -> int:
    """Return the exit code of a line with a small budget; lines of NOT_RUN are only parsed."""
    reason = reason_not_to_run(line)
    if not line.startswith("unbraid "):
        assert reason is not None, f"neither run nor in NOT_RUN: {line}"
        return 0
    arguments = shlex.split(line, comments=True)[1:]
    if reason is not None:
        build().parse_args(arguments, print_error=False, exit_on_error=False)
        return 0
    if arguments[0] != "train":
        for value in arguments:
            if re.fullmatch(r"runs/[\w-]+", value) and not (workplace / value).exists():
                shutil.copytree(small_run.path, workplace / value)
    pairs = itertools.pairwise(["", *arguments])
    arguments = ["0" if before == "--seeds" else value for before, value in pairs]
    if "--help" not in arguments:
        budgets = [BUDGETS.get(arguments[0], ""), BUDGETS.get(" ".join(arguments[:2]), "")]
        if arguments[0] == "train" and "--data" not in arguments:
            budgets.append("--data dsprites-corner")
        arguments += " ".join(budgets).split()
    return main(arguments)


def test_every_entry_of_not_run_matches_a_command() -> None:
    lines = [
        line for page in PAGES for b in blocks(page) if b.language == "sh" for line in commands(b)
    ]
    for start in NOT_RUN:
        assert any(line.startswith(start) for line in lines), start


def test_the_makefile_has_every_target_that_a_page_shows() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = "".join(page.read_text() for page in PAGES)
    targets = set(re.findall(r"(?:^|`)make (\w+)", text, re.M))
    assert targets >= {"demo", "test", "docs"}
    for target in targets:
        assert f"\n{target}:" in makefile


def test_a_page_shows_every_command() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for command in command_names(build()):
        assert f"unbraid {command}" in text, command


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MAX_README_LINES


def test_the_result_in_the_readme_equals_the_committed_scores() -> None:
    header, *_, means = (CHART_VAE / "table.md").read_text().splitlines()
    rows = [_cells(line) for line in README.read_text().splitlines() if line.startswith("|")]
    shown = {cells[1]: cells[2] for cells in rows if cells[0] in ("FactorVAE score", ACCURACY)}
    # The first and the last column are the seed and the minutes.
    assert shown == dict(zip(_cells(header)[1:-1], _cells(means)[1:-1], strict=True))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_results_table_equals_the_committed_scores() -> None:
    from benchmarks.quick import table

    committed = table(ROOT / "results" / "quick")
    assert committed.count("\n| ") >= 4
    assert (ROOT / "results" / "quick" / "table.md").read_text() == committed
    assert committed in RESULTS_PAGE.read_text()


def test_the_tables_of_chart_vae_equal_the_committed_scores() -> None:
    from benchmarks.quick import table

    committed = table(CHART_VAE)
    assert (CHART_VAE / "table.md").read_text() == committed
    assert committed in RESULTS_PAGE.read_text()
    assert committed in (CHART_VAE.parent / "README.md").read_text()


@pytest.mark.parametrize("name", ["ablation", "table1-quick", "table2-quick"])
def test_the_tables_of_studies_equal_the_committed_results(name: str) -> None:
    from benchmarks.tables import page, summary

    archive, study = ROOT / "results" / "studies", read(name)
    assert (archive / f"{name}.md").read_text() == page(study, archive)
    assert summary(study, archive) in (archive / "README.md").read_text()
    assert any(row.scored for row in measure(study, Store(archive)))


def test_both_tables_of_the_lecture_equal_the_committed_results() -> None:
    from benchmarks.tables import beside_published

    studies = [read(f"table{number}-quick") for number in (1, 2)]
    archive = ROOT / "results" / "studies"
    assert beside_published(archive, *studies) in RESULTS_PAGE.read_text()
    for study in studies:
        for row in measure(study, Store(archive)):
            member = row.median_member
            assert member is not None, row.row.title
            assert Store(archive).run(member.job).checkpoint_file.exists(), member.job.name


def test_the_table_of_methods_equals_the_committed_results() -> None:
    from benchmarks.methods import ELSEWHERE, table

    committed = table(ROOT / "results" / "methods")
    assert all(f"| `{name}` |" in committed for name in METHODS if name not in ELSEWHERE)
    assert (ROOT / "results" / "methods" / "table.md").read_text() == committed
    assert committed in (ROOT / "results" / "methods" / "README.md").read_text()
