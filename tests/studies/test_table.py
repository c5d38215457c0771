"""Tables: statistics computed by hand, no run left out, the same numbers in every format."""

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
from unbraid.studies.criteria import CRITERIA, compare_members
from unbraid.studies.formats import FORMATS, table
from unbraid.studies.rendered_tables import rendered_tables, table_notes
from unbraid.studies.samples import read_sample, save_sample
from unbraid.studies.store import Store
from unbraid.studies.study import PrimaryScore, Published, Study
from unbraid.studies.study_file import read
from unbraid.studies.table import Statistics, measure
from unbraid.studies.worker import read_result, work

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
    """Seeds 0 to 3 done, 4 failed, 5 missing; the other row empty. The ELBO falls with the seed."""
    store = Store(tmp_path / "out")
    store.path.mkdir()
    for job in read(study_file).rows[0].jobs[:5]:
        seed = job.config.seed
        result: dict[str, Any] = {"key": job.key, "attempts": 2}
        if seed in SCORES:
            metric = {"name": "factor-vae", "metric": "FactorVAE score"}
            row = metric | {"protocol": "jeong2019", "score": SCORES[seed]}
            other = metric | {"protocol": "kim2018", "score": 0.0}
            checkpoints = {
                "500": {"factor-vae jeong2019": 0.9},
                "1000": {"factor-vae jeong2019": 0.1},
            }
            result |= {"status": "done", "scores": [other, row], "checkpoints": checkpoints}
            result |= {"elbo": -100.0 - seed, "training_seconds": 1.0, "step": 1000}
        else:
            result |= {"status": "failed", "reasons": ["hung: no step for 30 minutes"]}
        store.append(result)
    return store


def test_statistics_by_hand() -> None:
    statistics = Statistics.from_scores([50.0, 60.0, 70.0, 64.0])
    assert statistics.mean == pytest.approx(61.0)
    assert statistics.std == pytest.approx((212 / 3) ** 0.5)  # 11² + 1² + 9² + 3² = 212
    assert statistics.standard_error == pytest.approx((212 / 12) ** 0.5)
    assert statistics.best == 70
    # (61 − 71)/√(212/12 + 10²/10)
    assert statistics.difference_in_se(Published(71.0, 10.0, 80.0)) == pytest.approx(
        -10 / (212 / 12 + 10) ** 0.5
    )
    assert Statistics.from_scores([]) == Statistics(0, None, None, None, None)
    one = Statistics.from_scores([3.0])
    assert (one.mean, one.std, one.difference_in_se(Published(1.0, 1.0, 1.0))) == (3.0, None, None)


def test_no_run_is_left_out_and_the_first_table_is_of_last_checkpoints(
    study_file: Path, store: Store
) -> None:
    study = read(study_file)
    results = measure(study, store)
    last, best, selected, seeds = rendered_tables(study, results)
    assert last.rows[0] == (
        *("FactorVAE, m=10 † ‡", "4 of 6, 1 failed", "61.00", "8.41", "4.20", "70.00"),
        *("82.15 (0.88)", "88.25", "-5.0"),
    )
    assert last.rows[1][1:] == ("0 of 1", "—", "—", "—", "—", "—", "—", "—")
    assert last.caption.startswith("Last checkpoint, on all images; FactorVAE score")
    assert best.rows[0][1:6] == ("4", "90.00", "0.00", "0.00", "90.00")
    assert "Best of 2 checkpoints by the supervised score" in best.caption
    assert selected.rows[0][1:4] == ("50.00 (seed 0)", "—", "—")
    assert seeds.rows[0][1:] == ("50.00", "60.00", "70.00", "64.00", "failed", "missing")
    notes = "\n".join(table_notes(study, results))
    assert "Published: A paper." in notes
    assert "the best lies 6.9 stds from the mean, and 10 numbers allow 2.85" in notes
    assert "Failed: FactorVAE, m=10, seed 4: hung: no step for 30 minutes (2 attempts)." in notes
    assert "2 of 7 runs are missing." in notes
    assert results[0].median_member is not None
    assert results[0].median_member.seed == 1


def test_the_order_of_the_seeds_in_a_study_changes_no_table(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "another_order.toml"
    file.write_text(FILE.replace("seeds = 6", "seeds = [3, 0, 2, 1]"))
    study = read(file)
    results = measure(study, store)
    *_, seeds = rendered_tables(study, results)
    assert seeds.headers == ("row", "seed 0", "seed 1", "seed 2", "seed 3")
    assert seeds.rows[0][1:] == ("50.00", "60.00", "70.00", "64.00")
    # Of 50, 60, 64 and 70, the lower of the middle two.
    assert results[0].median_member is not None
    assert results[0].median_member.seed == 1


def test_without_published_figures_there_are_no_columns_for_them(
    study_file: Path, store: Store
) -> None:
    text = FILE.replace('source = "A paper"\n', "").replace("published = {", "# published = {")
    study_file.write_text(text)
    study = read(study_file)
    last, best, *_ = rendered_tables(study, measure(study, store))
    assert last.headers == best.headers == ("row", "seeds", "mean", "std", "s.e.", "best")
    assert last.rows[0] == (
        *("FactorVAE, m=10 ‡", "4 of 6, 1 failed", "61.00", "8.41", "4.20", "70.00"),
    )


def test_budgets_below_the_papers_are_labelled_in_every_table(
    study_file: Path, store: Store, tmp_path: Path
) -> None:
    """In all formats; a row with the steps of its paper's preset is not."""
    label = "quick: not comparable with the paper"
    text = study_file.read_text()
    study_file.write_text(text.replace('preset = "quick"\n', "") + "steps = 299_999\n")
    study = read(study_file)
    assert [row.is_quick for row in study.rows] == [False, True]
    results = measure(study, store)
    for rendered in rendered_tables(study, results):
        assert rendered.caption.endswith(f"; ‡ {label}")
        assert ["‡" in row[0] for row in rendered.rows] == [False, True]
    (note,) = [note for note in table_notes(study, results) if label in note]
    assert note == (
        f"‡ CascadeVAE, m=6: {label} (299,999 of 300,000 steps of the paper's budget, preset"
        " paper)."
    )
    for form in ("text", "md"):
        assert table(study, store, form).count(f"‡ {label}") == 4
    assert table(study, store, "latex").count(rf"$^\ddagger$ {label}") == 4
    records = list(csv.DictReader(io.StringIO(table(study, store, "csv"))))
    assert [record["budget"] for record in records] == [""] * 6 + [label]
    assert {record["paper_steps"] for record in records} == {"300000"}
    table(study, store, "parquet", tmp_path / "t.parquet")
    rows = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["budget"] for row in rows] == [None] * 6 + [label]
    study_file.write_text(text.replace('preset = "quick"\n', ""))
    assert label not in table(read(study_file), store)
    # With enough steps, but hyperparameters that no paper has.
    study_file.write_text(text + "steps = 300_000\n")
    study = read(study_file)
    assert all(row.is_quick for row in study.rows)
    assert f"‡ CascadeVAE, m=4: {label} (preset quick)." in table(study, store)
    # Nobody published ChartVAE but us, so there is nothing to compare with.
    assert not any(row.is_quick for row in read("ablation").rows)


def test_criteria_rank_members_without_labels() -> None:
    """Three members that agree up to order, sign and names, and one with a random code."""
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
    criteria = compare_members(members)
    for name in "abd":
        assert criteria[name]["udr"] > 0.9 > 0.6 > criteria["c"]["udr"]
        assert criteria[name]["agreement"] == pytest.approx(1)
    assert criteria["c"]["agreement"] == pytest.approx(0, abs=0.01)
    # Now only one of the other three agrees with "a".
    members["d"] = Codes(noise, std, rng.integers(0, 3, size=3_000), 3)
    assert compare_members(members)["a"]["agreement"] == pytest.approx(0, abs=0.01)
    assert compare_members({"a": members["a"]}) == {"a": {}}
    continuous = {name: Codes(codes.mean, codes.std) for name, codes in members.items()}
    assert "agreement" not in compare_members(continuous)["a"]


def test_agreement_puts_a_good_code_before_a_collapsed_one() -> None:
    """90 % of the images as in the other member: 1 − H(0.9, 0.1)/log 3; one category: 0."""
    truth = np.arange(3_000) % 3
    nearly = np.where(np.arange(3_000) // 3 % 10 == 0, (truth + 1) % 3, truth)
    mean = np.arange(6_000, dtype=np.float32).reshape(3_000, 2)
    collapsed = np.zeros(3_000, dtype=np.int64)
    members = {
        name: Codes(mean, np.full_like(mean, 0.1), category, 3)
        for name, category in {
            "truth": truth,
            "nearly": nearly,
            "collapsed": collapsed,
            "collapsed too": collapsed,
        }.items()
    }
    criteria = {name: values["agreement"] for name, values in compare_members(members).items()}
    assert criteria["collapsed"] == criteria["collapsed too"] == 0
    del members["collapsed too"], members["collapsed"]
    expected = 1 + (0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(3)
    assert compare_members(members)["nearly"]["agreement"] == pytest.approx(expected)


def test_a_large_sample_is_thinned_evenly(tmp_path: Path) -> None:
    mean = np.arange(5_001, dtype=np.float32)[:, None].repeat(2, axis=1) / 5_001
    category = np.arange(5_001) % 3
    run = Run(tmp_path / "run")
    save_sample(run, Codes(mean, mean + 1, category, 3))
    sample = read_sample(run)
    assert sample is not None
    assert sample.std is not None
    assert sample.category is not None
    assert len(sample.mean) == len(sample.std) == len(sample.category) == 1_667
    np.testing.assert_allclose(sample.mean, mean[::3], atol=1e-3)
    np.testing.assert_allclose(sample.std, mean[::3] + 1, atol=1e-3)
    assert (sample.category == category[::3]).all()
    assert sample.mean.dtype == np.float32
    assert read_sample(Run(tmp_path / "none")) is None
    for cut in (0, 10, -30):
        (tmp_path / "cut").mkdir(exist_ok=True)
        complete = run.sample_file.read_bytes()
        (tmp_path / "cut" / "sample.npz").write_bytes(complete[:cut])
        assert read_sample(Run(tmp_path / "cut")) is None


def test_udr_selects_a_member_by_the_codes_of_the_runs(study_file: Path, store: Store) -> None:
    study = read(study_file)
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(500, 2)).astype(np.float32)
    for job in study.rows[0].jobs[:3]:
        mean = shared if job.config.seed else rng.normal(size=(500, 2)).astype(np.float32)
        run = store.run(job)
        run.path.mkdir()
        save_sample(Run(run.path), Codes(mean, np.full_like(mean, 0.1)))
    selected = measure(study, store)[0].selected_by("udr")
    assert selected is not None
    assert selected.seed == 1


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
        width = len(rendered.headers) + 1
        assert sum(line.count("|") == width for line in markdown) >= len(rendered.rows) + 2
    latex = table(study, store, "latex")
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4
    assert r"m=10 $^\dagger$ $^\ddagger$ & 4 of 6, 1 failed & 61.00 & 8.41" in latex
    assert not set("†‡—β") & set("".join(s for s in latex.splitlines() if s[:1] != "%"))
    assert latex.count(r"{\footnotesize\noindent") == len(table_notes(study, measure(study, store)))
    assert r"\noindent $^\dagger$ FactorVAE, m=10: the published figures are impossible" in latex


def test_no_member_is_selected_where_the_criterion_cannot_rank(
    study_file: Path, store: Store
) -> None:
    """The ELBO ranks two members; UDR and agreement are equal for two."""
    study = read(study_file)
    line = measure(study, store)[0]
    selected = line.selected_by("elbo")
    assert selected is not None
    assert selected.seed == 0
    two = [
        dataclasses.replace(m, criteria={"elbo": m.criteria["elbo"], "udr": 0.5, "agreement": 0.5})
        for m in line.members[:2]
    ]
    assert dataclasses.replace(line, members=tuple(two)).selected_by("udr") is None
    assert dataclasses.replace(line, members=tuple(two)).selected_by("agreement") is None
    assert dataclasses.replace(line, members=tuple(two)).selected_by("elbo") is two[0]
    equal = [dataclasses.replace(m, criteria={"agreement": 0.0}) for m in line.members[:4]]
    assert dataclasses.replace(line, members=tuple(equal)).selected_by("agreement") is None
    assert dataclasses.replace(line, members=tuple(two[:1])).selected_by("elbo") is None


def test_a_row_without_a_discrete_code_has_a_note(study_file: Path, store: Store) -> None:
    """Its runs are completed without a score: neither missing nor failed."""
    study = read(study_file)
    accuracy = PrimaryScore(suite.MetricSpec("classification", "one_to_one"))
    study = dataclasses.replace(study, primary_score=accuracy)
    results = measure(study, store)
    assert len(results[0].completed) == 4
    last, *_, seeds = rendered_tables(study, results)
    assert last.rows[0][1] == "0 of 6, 1 failed, 4 without a score"
    assert seeds.rows[0][1:] == ("no score",) * 4 + ("failed", "missing")
    note = "none of 4 completed runs have a score: the method has no discrete code"
    assert f"FactorVAE, m=10: {note}" in "\n".join(table_notes(study, results))


def test_scores_without_labels_are_not_called_supervised(study_file: Path, store: Store) -> None:
    study = read(study_file)
    distance = PrimaryScore(suite.MetricSpec("unsupervised", "locatello2019"), "gaussian_tc")
    for primary_score, supervised in ((study.primary_score, True), (distance, False)):
        about = dataclasses.replace(study, primary_score=primary_score)
        _, best, selected, _ = rendered_tables(about, measure(about, store))
        assert ("selected by labels" in best.caption) == supervised
        assert (selected.headers[-1] == "best, by labels") == supervised


def test_special_characters_in_a_title_break_no_table(study_file: Path, store: Store) -> None:
    text = study_file.read_text()
    text = text.replace('title = "A trial"', 'title = "A\\ntrial\\n\\\\input{x}"')
    study_file.write_text(text.replace("[[rows]]", '[[rows]]\ntitle = "a | b"', 1))
    study = read(study_file)
    assert study.title == r"A trial \input{x}"
    for line in table(study, store, "md").splitlines():
        if line.startswith("| a"):
            assert line.startswith(r"| a \| b")
    assert [s for s in table(study, store, "latex").splitlines() if s.startswith(r"\input")] == []


def test_latex_shows_a_title_as_it_is_written(study_file: Path, store: Store) -> None:
    text = study_file.read_text()
    study_file.write_text(text.replace("[[rows]]", '[[rows]]\ntitle = "a{b}~c^2 \\\\ 5% & #1"', 1))
    latex = table(read(study_file), store, "latex")
    escaped = r"a\{b\}\textasciitilde{}c\textasciicircum{}2 \textbackslash{} 5\% \& \#1"
    assert latex.count(escaped) == 7  # Three times in notes.


def test_parquet_needs_a_file(study_file: Path, store: Store) -> None:
    with pytest.raises(UserError, match="a binary format cannot be printed; set `to` to a file"):
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
hyperparameters = { latent_dim = 2 }
"""


@pytest.mark.parametrize(
    ("metric", "protocol", "part"),
    [
        ("dci", "eastwood2018", "disentanglement"),
        pytest.param("dci", "eastwood2018", "completeness", marks=pytest.mark.slow),
        ("modularity", "locatello2019", "explicitness"),
        ("unsupervised", "locatello2019", "gaussian_tc"),
    ],
)
def test_a_table_is_about_one_score_of_several(
    metric: str, protocol: str, part: str, cache: Path, tmp_path: Path
) -> None:
    """Its name is in the caption; distances are not in percent, and the lowest is the best."""
    path, store = tmp_path / "several.toml", Store(tmp_path / "out")
    text = SEVERAL.replace("METRIC", metric).replace("PROTOCOL", protocol)
    path.write_text(text.replace("PART", part))
    study = read(path)
    images = load("dsprites-corner")
    scores, checkpoint_scores = [], []
    for job in study.jobs:
        assert not work({store.run(job): job}, images)
        result = read_result(store.run(job))
        store.append(result)
        wanted = (study.primary_score.title, protocol)
        scores += [r["score"] for r in result["scores"] if (r["metric"], r["protocol"]) == wanted]
        checkpoint_scores.append(
            [
                scores_by_name[study.primary_score.name]
                for scores_by_name in result["checkpoints"].values()
            ]
        )
    assert study.primary_score.title.endswith(f": {part.replace('_', ' ')}")
    (row,) = measure(study, store)
    is_percent = metric != "unsupervised"
    scale, best = (100, max) if is_percent else (1, min)
    assert [m.score for m in row.members] == pytest.approx([scale * s for s in scores], abs=1e-5)
    assert row.last_checkpoint.best == pytest.approx(scale * best(scores), abs=1e-5)
    assert [m.best_checkpoint_score for m in row.members] == pytest.approx(
        [scale * best(values) for values in checkpoint_scores], abs=1e-5
    )
    assert row.best_member is row.members[scores.index(best(scores))]
    unit = "percent" if is_percent else "lower is better"
    assert f"{study.primary_score.title} under `{protocol}`, {unit}" in table(study, store)
