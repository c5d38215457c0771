"""What the README and the docs show is run as it stands, on a small dataset and for few steps."""

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

from unbraid.cli import _parser, main
from unbraid.data import DATASETS, load
from unbraid.data.images import ImageTable
from unbraid.engine import train
from unbraid.methods import METHODS
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.metrics import METRICS
from unbraid.runs import Budget, Config, Run
from unbraid.studies.store import Store
from unbraid.studies.study_file import read
from unbraid.studies.table import measure

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("sh", "bash", "shell", "console")
# What a command gets in a test, after its own flags: a budget of seconds.
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
# Lines that no test here runs, by how they begin, and why.
NOT_RUN = {
    "pip install": "it would change the environment of the tests",
    "make": "each target sets up an environment of its own; CI is made of them",
    "unbraid study run": "hours of runs; tests/studies runs studies of its own, on Ray too",
    "unbraid study archive": "there is nothing to keep without runs; tests/studies keeps some",
    "unbraid explore": "it serves until it is stopped; tests/explore opens it in a browser",
    "unbraid data shapes3d": "no network in a test; tests/data reads small official files",
    "unbraid report": "there is no page of a study without runs; tests/report writes one",
    "ray": "it starts a cluster on the machine; tests/studies/test_ray.py starts one on loopback",
    "#!": "a script for a cluster's queue",
}


class Block(NamedTuple):
    """A fenced block of a page: its first line's number, its language, its text."""

    line: int
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """A page's blocks in order; one that has no language and begins with a command is a shell's."""
    found = []
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence" and token.map is not None:
            language = token.info.split(" ")[0]
            first = token.content.lstrip()
            if language in SHELL or (not language and first.startswith(("unbraid ", *NOT_RUN))):
                language = "sh"
            found.append(Block(token.map[0] + 1, language, token.content))
    return found


def commands(block: Block) -> list[str]:
    """The lines of a shell's block, continued ones joined, without comments."""
    text = block.text.replace("\\\n", " ")
    if text.startswith("#!"):
        return [text.splitlines()[0]]
    return [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]


def reason(line: str) -> str | None:
    """Why a line is not run here, or None if it is."""
    return next((why for start, why in NOT_RUN.items() if line.startswith(start)), None)


@pytest.fixture(scope="session")
def small_run(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What stands in for a run that a page takes as given."""
    method = CascadeVAE(latent_dim=3, stage_steps=1, warmup_stages=1)
    config = Config(method, "dsprites-corner", Budget(3, 4), 0, "fp32")
    return train(config, load(config.data), tmp_path_factory.mktemp("runs") / "x")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the studies and some images in it; lists that a page adds to are restored."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32), np.uint8)
    np.savez(tmp_path / "images.npz", images=images, factors=np.arange(8)[:, None] % 2)
    for item, image in enumerate(images):
        file = tmp_path / "photos" / f"kind-{item % 2}" / f"{item}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    lists: list[dict[str, Any]] = [METHODS, METRICS, DATASETS]
    before = [dict(one) for one in lists]
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)
    for one, held in zip(lists, before, strict=True):
        one.clear()
        one.update(held)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, workplace: Path, small_run: Run) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "python":
            # Its own line numbers, so that a failure points into the page.
            code = "\n" * block.line + block.text
            exec(compile(code, str(page), "exec"), names)
        elif block.language == "sh":
            for line in commands(block):
                assert run(line, workplace, small_run) == 0, f"{page.name}:{block.line}: {line}"


def run(line: str, workplace: Path, given: Run) -> int:
    """The exit code of a line in a test's budget; 0 for one that is not run, if it can be read."""
    why = reason(line)
    if not line.startswith("unbraid "):
        assert why is not None, f"neither run nor excused: {line}"
        return 0
    words = shlex.split(line, comments=True)[1:]
    if why is not None:
        return 0 if _parser().parse_args(words).command else 2
    if words[0] != "train":
        for word in words:
            if re.fullmatch(r"runs/[\w-]+", word) and not (workplace / word).exists():
                shutil.copytree(given.path, workplace / word)
    words = ["0" if before == "--seeds" else w for before, w in itertools.pairwise(["", *words])]
    if "--help" not in words:
        budgets = [BUDGETS.get(words[0], ""), BUDGETS.get(" ".join(words[:2]), "")]
        if words[0] == "train" and "--data" not in words:
            budgets.append("--data dsprites-corner")
        words += " ".join(budgets).split()
    try:
        return main(words)
    except SystemExit as stopped:
        return int(stopped.code or 0)


def test_every_excuse_is_needed() -> None:
    lines = [
        line for page in PAGES for b in blocks(page) if b.language == "sh" for line in commands(b)
    ]
    for start in NOT_RUN:
        assert any(line.startswith(start) for line in lines), start


def test_every_target_shown_is_one() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = "".join(page.read_text() for page in PAGES)
    targets = set(re.findall(r"(?:^|`)make (\w+)", text, re.M))
    assert targets >= {"demo", "test", "docs"}
    for target in targets:
        assert f"\n{target}:" in makefile


def test_every_command_is_shown_somewhere() -> None:
    text = "".join(page.read_text() for page in PAGES)
    (group,) = [a for a in _parser()._actions if a.choices and not a.option_strings]
    for command in group.choices or ():
        assert f"unbraid {command}" in text, command


def test_the_results_table_is_that_of_the_committed_scores() -> None:
    from benchmarks.quick import table

    committed = table(ROOT / "results" / "quick")
    assert committed.count("\n| ") >= 4
    assert (ROOT / "results" / "quick" / "table.md").read_text() == committed
    assert committed in (ROOT / "README.md").read_text()


def test_the_tables_of_chart_vae_are_those_of_the_committed_scores() -> None:
    from benchmarks.quick import table

    kept = ROOT / "results" / "speedrun"
    committed = table(kept / "attempt-1")
    assert (kept / "attempt-1" / "table.md").read_text() == committed
    assert committed in (ROOT / "README.md").read_text()
    assert committed in (kept / "README.md").read_text()


@pytest.mark.parametrize("name", ["ablation", "table1-quick", "table2-quick"])
def test_the_tables_of_studies_are_those_of_the_committed_results(name: str) -> None:
    from benchmarks.tables import page, summary

    kept, study = ROOT / "results" / "studies", read(ROOT / "studies" / f"{name}.toml")
    assert (kept / f"{name}.md").read_text() == page(study, kept)
    assert summary(study, kept) in (kept / "README.md").read_text()
    assert any(line.done for line in measure(study, Store(kept)))


def test_both_tables_of_the_lecture_are_those_of_the_committed_results() -> None:
    from benchmarks.tables import beside_published

    studies = [read(ROOT / "studies" / f"table{number}-quick.toml") for number in (1, 2)]
    kept = ROOT / "results" / "studies"
    assert beside_published(kept, *studies) in (ROOT / "README.md").read_text()
    for study in studies:
        for line in measure(study, Store(kept)):
            for member in (line.winner, line.median):
                assert member is not None, line.row.title
                assert Store(kept).run(member.job).checkpoint_file.exists(), member.job.name


def test_the_table_of_methods_is_that_of_the_committed_results() -> None:
    from benchmarks.methods import ELSEWHERE, table

    committed = table(ROOT / "results" / "methods")
    assert all(f"| `{name}` |" in committed for name in METHODS if name not in ELSEWHERE)
    assert (ROOT / "results" / "methods" / "table.md").read_text() == committed
    assert committed in (ROOT / "results" / "methods" / "README.md").read_text()
