"""The table: statistics by hand, nothing dropped, the same in every format."""

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from unbraid import cli
from unbraid.codes import Codes
from unbraid.data import load
from unbraid.errors import UserError
from unbraid.metrics import suite
from unbraid.runs import Run
from unbraid.studies.criteria import CRITERIA, compared
from unbraid.studies.formats import FORMATS, table
from unbraid.studies.rendered_tables import notes, rendered_tables
from unbraid.studies.store import Store
from unbraid.studies.study import PrimaryScore, Published, Study
from unbraid.studies.study_file import read
from unbraid.studies.table import Statistics, measure
from unbraid.studies.worker import read_result, read_sample, save_sample, work

SCORES = {0: 0.50, 1: 0.60, 2: 0.70, 3: 0.64}
FILE = """
title = "A trial"
source = "A paper"
preset = "quick"
precision = "fp32"
seeds = 6
checkpoints = 2
[[rows]]
method = "factor-vae"
published = { mean = 82.15, std = 0.88, best = 88.25 }
[[rows]]
method = "cascade-vae"
seeds = [0]
"""


@pytest.fixture
def store(study_file: Path, tmp_path: Path) -> Store:
    """Seeds 0 to 3 done, 4 failed, 5 missing; the other row empty. ELBO falls with the seed."""
    store = Store(tmp_path / "out")
    store.path.mkdir()
    for job in read(study_file).rows[0].jobs[:5]:
        seed = job.config.seed
        result: dict[str, Any] = {"key": job.key, "attempts": 2}
        if seed in SCORES:
            called = {"name": "factor-vae", "metric": "FactorVAE score"}
            row = called | {"protocol": "jeong2019", "score": SCORES[seed]}
            other = called | {"protocol": "kim2018", "score": 0.0}
            marks = {"500": {"factor-vae jeong2019": 0.9}, "1000": {"factor-vae jeong2019": 0.1}}
            result |= {"status": "done", "scores": [other, row], "checkpoints": marks}
            result |= {"elbo": -100.0 - seed, "training_seconds": 1.0, "step": 1000}
        else:
            result |= {"status": "failed", "reasons": ["hung: no step for 30 minutes"]}
        store.append(result)
    return store


def test_statistics_by_hand() -> None:
    found = Statistics.of([50.0, 60.0, 70.0, 64.0])
    assert found.mean == pytest.approx(61.0)
    assert found.std == pytest.approx((212 / 3) ** 0.5)  # 11² + 1² + 9² + 3² = 212
    assert found.error == pytest.approx((212 / 12) ** 0.5)
    assert found.best == 70
    # (61 − 71)/√(212/12 + 10²/10)
    assert found.off(Published(71.0, 10.0, 80.0)) == pytest.approx(-10 / (212 / 12 + 10) ** 0.5)
    assert Statistics.of([]) == Statistics(0, None, None, None, None)
    one = Statistics.of([3.0])
    assert (one.mean, one.std, one.off(Published(1.0, 1.0, 1.0))) == (3.0, None, None)


def test_nothing_is_dropped_and_the_claim_is_the_last_checkpoint(
    study_file: Path, store: Store
) -> None:
    study = read(study_file)
    lines = measure(study, store)
    claim, paper, chosen, seeds = rendered_tables(study, lines)
    assert claim.rows[0] == (
        *("FactorVAE, m=10 †", "4 of 6, 1 failed", "61.00", "8.41", "4.20", "70.00"),
        *("82.15 (0.88)", "88.25", "-5.0"),
    )
    assert claim.rows[1][1:] == ("0 of 1", "—", "—", "—", "—", "—", "—", "—")
    assert claim.caption.startswith("Last checkpoint, the claim, on all images; FactorVAE score")
    assert paper.rows[0][1:6] == ("4", "90.00", "0.00", "0.00", "90.00")
    assert "Best of 2 checkpoints by the supervised score" in paper.caption
    assert chosen.rows[0][1:4] == ("50.00 (seed 0)", "—", "—")
    assert seeds.rows[0][1:] == ("50.00", "60.00", "70.00", "64.00", "failed", "missing")
    told = "\n".join(notes(study, lines))
    assert "Published: A paper." in told
    assert "the best lies 6.9 stds from the mean, and 10 numbers allow 2.85" in told
    assert "Failed: FactorVAE, m=10, seed 4: hung: no step for 30 minutes (2 attempts)." in told
    assert "2 of 7 runs are missing." in told
    assert lines[0].median is not None
    assert lines[0].median.seed == 1


def test_where_nothing_is_published_no_column_waits_for_it(study_file: Path, store: Store) -> None:
    text = FILE.replace('source = "A paper"\n', "").replace("published = {", "# published = {")
    study_file.write_text(text)
    study = read(study_file)
    claim, paper, *_ = rendered_tables(study, measure(study, store))
    assert claim.heads == paper.heads == ("row", "seeds", "mean", "std", "s.e.", "best")
    assert claim.rows[0] == (
        *("FactorVAE, m=10", "4 of 6, 1 failed", "61.00", "8.41", "4.20", "70.00"),
    )


def test_criteria_rank_members_without_labels() -> None:
    """Two members that agree up to order, sign and names, and one that knows nothing."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(3_000, 2)).astype(np.float32)
    std = np.full_like(mean, 0.1)
    category = rng.integers(0, 3, size=3_000)
    noise = rng.normal(size=mean.shape).astype(np.float32)
    members = {
        "a": Codes(mean, std, category, 3),
        "b": Codes(-mean[:, ::-1].copy(), std, (category + 1) % 3, 3),
        "c": Codes(noise, std, rng.integers(0, 3, size=3_000), 3),
        "d": Codes(mean, std, category, 3),
    }
    found = compared(members)
    for name in "abd":
        assert found[name]["udr"] > 0.9 > 0.6 > found["c"]["udr"]
        assert found[name]["agreement"] == pytest.approx(1)
    assert found["c"]["agreement"] == pytest.approx(0, abs=0.01)
    members["d"] = Codes(noise, std, rng.integers(0, 3, size=3_000), 3)  # One friend of three.
    assert compared(members)["a"]["agreement"] == pytest.approx(0, abs=0.01)
    assert compared({"a": members["a"]}) == {"a": {}}
    assert "agreement" not in compared({n: Codes(c.mean, c.std) for n, c in members.items()})["a"]


def test_agreement_puts_a_good_code_before_a_collapsed_one() -> None:
    """Nine images of ten as the other has them: 1 − H(0.9, 0.1)/log 3; all in one category: 0."""
    truth = np.arange(3_000) % 3
    off = np.where(np.arange(3_000) // 3 % 10 == 0, (truth + 1) % 3, truth)
    mean = np.arange(6_000, dtype=np.float32).reshape(3_000, 2)
    collapsed = np.zeros(3_000, dtype=np.int64)
    members = {
        name: Codes(mean, np.full_like(mean, 0.1), category, 3)
        for name, category in {
            "truth": truth,
            "off": off,
            "one": collapsed,
            "too": collapsed,
        }.items()
    }
    found = {name: criteria["agreement"] for name, criteria in compared(members).items()}
    assert found["one"] == found["too"] == 0
    del members["too"], members["one"]
    told = 1 + (0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(3)
    assert compared(members)["off"]["agreement"] == pytest.approx(told)


def test_of_many_codes_every_few_are_kept_to_compare(tmp_path: Path) -> None:
    mean = np.arange(5_001, dtype=np.float32)[:, None].repeat(2, axis=1) / 5_001
    category = np.arange(5_001) % 3
    run = Run(tmp_path / "run")
    save_sample(run, Codes(mean, mean + 1, category, 3))
    kept = read_sample(run)
    assert kept is not None
    assert kept.std is not None
    assert kept.category is not None
    assert len(kept.mean) == len(kept.std) == len(kept.category) == 1_667
    np.testing.assert_allclose(kept.mean, mean[::3], atol=1e-3)
    np.testing.assert_allclose(kept.std, mean[::3] + 1, atol=1e-3)
    assert (kept.category == category[::3]).all()
    assert kept.mean.dtype == np.float32
    assert read_sample(Run(tmp_path / "none")) is None
    for cut in (0, 10, -30):
        (tmp_path / "cut").mkdir(exist_ok=True)
        whole = (run.path / "sample.npz").read_bytes()
        (tmp_path / "cut" / "sample.npz").write_bytes(whole[:cut])
        assert read_sample(Run(tmp_path / "cut")) is None


def test_a_member_chosen_by_udr_comes_from_the_runs_own_codes(
    study_file: Path, store: Store
) -> None:
    study = read(study_file)
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(500, 2)).astype(np.float32)
    for job in study.rows[0].jobs[:3]:
        mean = shared if job.config.seed else rng.normal(size=(500, 2)).astype(np.float32)
        run = store.run(job)
        run.path.mkdir()
        save_sample(Run(run.path), Codes(mean, np.full_like(mean, 0.1)))
    chosen = measure(study, store)[0].chosen("udr")
    assert chosen is not None
    assert chosen.seed == 1


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_printed_or_written(
    form: str,
    study_file: Path,
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["study", "table", str(study_file), "--out", str(store.path), "--format", form]
    to = tmp_path / "table"
    assert cli.main([*arguments, "--to", str(to)]) == 0
    assert capsys.readouterr().out == f"written to {to}\n"
    if form == "parquet":
        rows = parquet.read_table(to).to_pylist()
    else:
        assert cli.main(arguments) == 0
        assert capsys.readouterr().out == to.read_text()
        rows = list(csv.DictReader(io.StringIO(to.read_text()))) if form == "csv" else []
    if rows:
        assert [str(row["status"]) for row in rows] == [*["done"] * 4, "failed", *["missing"] * 2]
        assert [float(row["score"]) for row in rows[:4]] == [50, 60, 70, 64]
        assert [float(row["elbo"]) for row in rows[:4]] == [-100, -101, -102, -103]
        assert float(rows[0]["best_of_checkpoints"]) == 90
        assert json.loads(rows[0]["hyperparameters"])["gamma"] == 35.0
    else:
        assert to.read_text().count("61.00") == 2
        assert to.read_text().count("failed") >= 2


def test_markdown_and_latex_are_well_formed(study_file: Path, store: Store) -> None:
    study: Study = read(study_file)
    markdown = [line for line in table(study, store, "md").splitlines() if line.startswith("|")]
    for rendered in rendered_tables(study, measure(study, store)):
        width = len(rendered.heads) + 1
        assert sum(line.count("|") == width for line in markdown) >= len(rendered.rows) + 2
    latex = table(study, store, "latex")
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4
    assert r"m=10 $^\dagger$ & 4 of 6, 1 failed & 61.00 & 8.41" in latex
    assert not set("†—β") & set("".join(s for s in latex.splitlines() if s[:1] != "%"))
    assert latex.count(r"{\footnotesize\noindent") == len(notes(study, measure(study, store)))
    assert r"\noindent $^\dagger$ FactorVAE, m=10: the published figures are impossible" in latex


def test_nothing_is_chosen_where_there_is_no_choice(study_file: Path, store: Store) -> None:
    """The ELBO chooses among four of them; of two, UDR and agreement are one number."""
    study = read(study_file)
    line = measure(study, store)[0]
    chosen = line.chosen("elbo")
    assert chosen is not None
    assert chosen.seed == 0
    two = [
        dataclasses.replace(m, criteria={"elbo": m.criteria["elbo"], "udr": 0.5, "agreement": 0.5})
        for m in line.members[:2]
    ]
    assert dataclasses.replace(line, members=tuple(two)).chosen("udr") is None
    assert dataclasses.replace(line, members=tuple(two)).chosen("agreement") is None
    assert dataclasses.replace(line, members=tuple(two)).chosen("elbo") is two[0]
    alike = [dataclasses.replace(m, criteria={"agreement": 0.0}) for m in line.members[:4]]
    assert dataclasses.replace(line, members=tuple(alike)).chosen("agreement") is None
    assert dataclasses.replace(line, members=tuple(two[:1])).chosen("elbo") is None


def test_a_row_without_a_code_to_classify_says_so(study_file: Path, store: Store) -> None:
    """Its runs are done and none has the score: told as that, neither missing nor failed."""
    study = read(study_file)
    accuracy = PrimaryScore(suite.MetricSpec("classification", "one_to_one"))
    study = dataclasses.replace(study, primary_score=accuracy)
    lines = measure(study, store)
    assert len(lines[0].trained) == 4
    claim, *_, seeds = rendered_tables(study, lines)
    assert claim.rows[0][1] == "0 of 6, 1 failed, 4 without a score"
    assert seeds.rows[0][1:] == ("no score",) * 4 + ("failed", "missing")
    told = "of 4 runs that are done none have a score: the method has no discrete code"
    assert f"FactorVAE, m=10: {told}" in "\n".join(notes(study, lines))


def test_what_needs_no_labels_is_not_said_to_need_them(study_file: Path, store: Store) -> None:
    study = read(study_file)
    distance = PrimaryScore(suite.MetricSpec("unsupervised", "locatello2019"), "gaussian_tc")
    for head, supervised in ((study.primary_score, True), (distance, False)):
        about = dataclasses.replace(study, primary_score=head)
        _, paper, chosen, _ = rendered_tables(about, measure(about, store))
        assert ("labels choose" in paper.caption) == supervised
        assert (chosen.heads[-1] == "best, by labels") == supervised


def test_a_title_breaks_no_table(study_file: Path, store: Store) -> None:
    text = study_file.read_text()
    text = text.replace('title = "A trial"', 'title = "A\\ntrial\\n\\\\input{x}"')
    study_file.write_text(text.replace("[[rows]]", '[[rows]]\ntitle = "a | b"', 1))
    study = read(study_file)
    assert study.title == r"A trial \input{x}"
    for line in table(study, store, "md").splitlines():
        if line.startswith("| a"):
            assert line.startswith(r"| a \| b")
    assert [s for s in table(study, store, "latex").splitlines() if s.startswith(r"\input")] == []


def test_latex_sets_a_title_as_it_is_written(study_file: Path, store: Store) -> None:
    text = study_file.read_text()
    study_file.write_text(text.replace("[[rows]]", '[[rows]]\ntitle = "a{b}~c^2 \\\\ 5% & #1"', 1))
    latex = table(read(study_file), store, "latex")
    set_as = r"a\{b\}\textasciitilde{}c\textasciicircum{}2 \textbackslash{} 5\% \& \#1"
    assert latex.count(set_as) == 6  # Twice in notes.


def test_parquet_needs_a_file(study_file: Path, store: Store) -> None:
    with pytest.raises(UserError, match="no text to print; give --to FILE"):
        table(read(study_file), store, "parquet")


def test_every_criterion_is_explained() -> None:
    assert set(CRITERIA) == {"elbo", "udr", "agreement"}


SEVERAL = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
metrics = ["METRIC"]
metric = "METRIC"
protocol = "PROTOCOL"
score = "PART"
seeds = 2
steps = 4
batch_size = 4
checkpoints = 2
sample = 300
[[rows]]
method = "vae"
"""


@pytest.mark.parametrize(
    ("metric", "protocol", "part"),
    [
        ("dci", "eastwood2018", "disentanglement"),
        ("dci", "eastwood2018", "completeness"),
        ("modularity", "locatello2019", "explicitness"),
        ("unsupervised", "locatello2019", "gaussian_tc"),
    ],
)
def test_a_table_is_about_one_score_of_several(
    metric: str, protocol: str, part: str, cache: Path, tmp_path: Path
) -> None:
    """It is named; distances from zero are not percent, and the least of them is the best."""
    path, store = tmp_path / "several.toml", Store(tmp_path / "out")
    text = SEVERAL.replace("METRIC", metric).replace("PROTOCOL", protocol)
    path.write_text(text.replace("PART", part))
    study = read(path)
    images = load("dsprites-corner")
    scores, on_the_way = [], []
    for job in study.jobs:
        assert not work({store.run(job): job}, images)
        result = read_result(store.run(job))
        store.append(result)
        wanted = (study.primary_score.title, protocol)
        scores += [r["score"] for r in result["scores"] if (r["metric"], r["protocol"]) == wanted]
        on_the_way.append(
            [marks[study.primary_score.name] for marks in result["checkpoints"].values()]
        )
    assert study.primary_score.title.endswith(f": {part.replace('_', ' ')}")
    (line,) = measure(study, store)
    share = metric != "unsupervised"
    scale, best = (100, max) if share else (1, min)
    assert [m.score for m in line.members] == pytest.approx([scale * s for s in scores], abs=1e-5)
    assert line.last.best == pytest.approx(scale * best(scores), abs=1e-5)
    assert [m.best for m in line.members] == pytest.approx(
        [scale * best(marks) for marks in on_the_way], abs=1e-5
    )
    assert line.winner is line.members[scores.index(best(scores))]
    unit = "percent" if share else "the less the better"
    assert f"{study.primary_score.title} under `{protocol}`, {unit}" in table(study, store)
