"""A study file: what it says becomes jobs, and what it must not say is named."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unbraid.errors import UserError
from unbraid.methods.cascade_vae_c import CascadeVAEC
from unbraid.studies.study import Job, Published
from unbraid.studies.study_file import read

STUDIES = Path(__file__).parents[2] / "studies"
FILES = sorted(STUDIES.glob("table*.toml"))
ROW = '[[rows]]\nmethod = "beta-vae"\n'


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "study.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_study_is_read_and_has_ten_seeds_a_row(path: Path) -> None:
    study = read(path)
    assert [len(row.jobs) for row in study.rows] == [10] * (10 if "table1" in path.stem else 4)
    assert all(row.published for row in study.rows)
    assert "quick" in path.stem or min(j.config.budget.steps for j in study.jobs) >= 300_000


@pytest.mark.parametrize("suffix", ["", "-quick"])
def test_table_2_is_made_of_runs_of_table_1(suffix: str) -> None:
    one, two = [
        {job.key for job in read(FILES[0].with_name(f"table{n}{suffix}.toml")).jobs} for n in (1, 2)
    ]
    assert len(one) == 100
    assert len(two) == 40
    assert two < one


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_budget_opens_every_dimension_of_a_cascade(path: Path) -> None:
    for job in read(path).jobs:
        last = job.config.budget.steps - 1
        method = job.config.method
        if isinstance(method, CascadeVAEC):
            assert set(method.betas(last)) == {method.beta_low}
        else:
            assert not method.name.startswith("cascade")


def test_the_ablation_takes_away_one_ingredient_at_a_time_on_seeds_of_its_own() -> None:
    whole, *rows = read(STUDIES / "ablation.toml").rows
    assert {job.config.seed for job in whole.jobs} == {200, 201, 202}
    taken = {}
    for row in rows:
        for job, base in zip(row.jobs, whole.jobs, strict=True):
            assert dataclasses.replace(job.config, method=base.config.method) == base.config
            one, other = (dataclasses.asdict(j.config.method) for j in (job, base))
            taken[row.title] = {name for name in one if one[name] != other[name]}
    assert taken == {
        "β does not fall": {"beta_start"},
        "no charts": {"given"},
        "idle dimensions stay idle": {"reinit_inactive"},
        "one dimension for the angle": {"latent_dim"},
        "one rate throughout": {"lr_factor_after_survey", "lr_decay_start", "lr_decay_end"},
    }
    keys = {job.key for row in (whole, *rows) for job in row.jobs}
    assert len(keys) == 3 * (len(rows) + 1) == 18


def test_the_impossible_rows_are_the_two_known_ones() -> None:
    rows = (
        read(FILES[0].with_name("table1.toml")).rows + read(FILES[0].with_name("table2.toml")).rows
    )
    found = [row.title for row in rows if row.published and row.published.impossible]
    assert found == ["FactorVAE, m=10", "JointVAE, m=6"]


def test_a_best_within_reach_is_possible() -> None:
    """Nine zeros and a one: mean 0.1, std 0.3, the best exactly √9 stds above."""
    assert not Published(0.1, 0.3, 1.0).impossible
    assert Published(0.1, 0.3, 1.1).impossible


def test_a_best_far_below_the_mean_is_impossible_too() -> None:
    """Of distances the least is the best: nine ones and a zero, √9 stds below."""
    assert not Published(0.9, 0.3, 0.0).impossible
    assert Published(0.9, 0.3, -0.1).impossible


def test_a_list_of_values_is_a_grid(study_file: Callable[[str], Path]) -> None:
    study = read(
        study_file(
            'preset = "quick"\nseeds = [3, 5]\n'
            + ROW
            + "hyperparameters = { latent_dim = [4, 6], beta = [1.0, 2.0, 4.0] }\n"
        )
    )
    assert len(study.rows) == 6
    assert [row.title for row in study.rows[:2]] == [
        "β-VAE (beta=1.0), m=4",
        "β-VAE (beta=2.0), m=4",
    ]
    assert len(study.jobs) == 12
    assert {job.config.seed for job in study.jobs[:6]} == {3}


def test_rows_of_one_title_are_told_apart_by_what_they_differ_in(
    study_file: Callable[[str], Path],
) -> None:
    budgets = "steps = 20\n" + ROW + "steps = 30\n" + ROW + "steps = 30\nbatch = 16\n"
    study = read(study_file('preset = "quick"\n' + ROW + budgets))
    batch = study.jobs[0].config.budget.batch_size
    assert [row.title for row in study.rows] == [
        f"β-VAE, m=10 (steps=20, batch_size={batch})",
        f"β-VAE, m=10 (steps=30, batch_size={batch})",
        "β-VAE, m=10 (steps=30, batch_size=16)",
    ]
    assert len({job.key for job in study.jobs}) == len(study.jobs)
    presets = read(study_file(ROW + 'preset = "quick"\n' + ROW + 'preset = "paper"\n'))
    assert len({row.title for row in presets.rows}) == 2
    assert all("learning_rate=" in row.title for row in presets.rows)


def test_a_job_goes_to_a_worker_and_back(study_file: Callable[[str], Path]) -> None:
    job = read(
        study_file('preset = "quick"\nprecision = "fp32"\ncheckpoints = 3\nimages = 500\n' + ROW)
    ).jobs[4]
    same = Job.of_table(json.loads(json.dumps(job.as_table())))
    assert same == job
    assert same.key == job.key


def test_the_key_is_of_whatever_fixes_the_numbers(
    study_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = read(study_file(ROW)).jobs[0]
    config, scoring = job.config, job.scoring
    # A key from before `images` was there stays what it was.
    assert "images" not in job.as_table()["scoring"]
    others = [
        dataclasses.replace(job, config=dataclasses.replace(config, seed=1)),
        dataclasses.replace(job, config=dataclasses.replace(config, data="dsprites-corner")),
        dataclasses.replace(
            job,
            config=dataclasses.replace(config, budget=dataclasses.replace(config.budget, steps=9)),
        ),
        dataclasses.replace(
            job,
            config=dataclasses.replace(config, method=dataclasses.replace(config.method, l2=1.0)),
        ),
        dataclasses.replace(job, scoring=dataclasses.replace(scoring, checkpoints=2)),
        dataclasses.replace(job, scoring=dataclasses.replace(scoring, images=500)),
    ]
    keys = {job.key, *[other.key for other in others]}
    assert len(keys) == 7
    monkeypatch.setattr("unbraid.studies.study.NUMBERS", -1)
    assert job.key not in keys


def test_a_run_is_of_ones_own_images_as_they_are(
    study_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """Other images under the same name are other runs, here and in a worker."""
    path = tmp_path / "own.npz"
    text = f'data = "array:{path}"\nmetrics = ["unsupervised"]\nmetric = "unsupervised"\n'
    text += 'protocol = "locatello2019"\nseeds = 1\n' + ROW
    keys = []
    for seed in (0, 1, 0):
        np.savez(path, images=np.random.default_rng(seed).integers(0, 2, (20, 32, 32), np.uint8))
        (job,) = read(study_file(text)).jobs
        assert Job.of_table(json.loads(json.dumps(job.as_table()))).key == job.key
        keys.append(job.key)
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no rows, so nothing would run"),
        ("colour = 1\n" + ROW, "colour: no key of a study; give one of batch"),
        (ROW + "colour = 1\n", "colour: no key of a row; give one of batch"),
        (
            '[[rows]]\ntitle = "both"\nmethod = "beta-vae"\nhyperparameters = { beta = [1, 2] }\n',
            "title='both': its hyperparameters make several rows",
        ),
        ("[[rows]]\nseeds = 2\n", "a row without a method"),
        ('[[rows]]\nmethod = "gan"\n', "method 'gan': unknown; give one of"),
        (
            ROW + "hyperparameters = { gamma = 1.0 }\n",
            "hyperparameter 'gamma': unknown for beta-vae",
        ),
        ('data = "faces"\n' + ROW, "dataset 'faces': unknown; give one of dsprites"),
        ("seeds = [1, 1]\n" + ROW, "seeds=[1, 1]: a row has seeds, each once"),
        ("seeds = 0\n" + ROW, "seeds=0: a row has seeds"),
        ("checkpoints = -1\n" + ROW, "checkpoints=-1: too few; give a whole number, 0 or more"),
        ("images = 99\n" + ROW, "images=99: too few; give a whole number, 100 or more"),
        (
            'hang_timeout_minutes = "long"\n' + ROW,
            "hang_timeout_minutes='long': too few; give a number, 1 or more",
        ),
        ("sample = 1e3\n" + ROW, "sample=1000.0: too few; give a whole number, 100 or more"),
        ('seeds = "ten"\n' + ROW, "seeds=ten: a row has seeds"),
        (ROW + "published = { mean = 1.0 }\n", "mean, std and best, percent; give these"),
        (
            ROW + "published = { mean = 80.0, std = 1.0, best = 79.0 }\n",
            "the best of some scores is no worse than their mean",
        ),
        (
            ROW + "published = { mean = 0.8, std = 0.1, best = 0.9 }\n",
            "the table is in percent; give 74.41 where 0.7441 is meant",
        ),
        (
            ROW + "published = { mean = 80.0, std = 1.0, best = 81.0, n = 5 }\n",
            "n: no key of a published; give one of best, mean, seeds, std",
        ),
        (
            ROW + "published = { mean = 80.0, std = 1.0, best = 81.0, seeds = 9.5 }\n",
            "a std is of two seeds or more",
        ),
        (
            ROW
            + "hyperparameters = { beta = [1, 2] }\n"
            + "published = { mean = 80.0, std = 1.0, best = 81.0 }\n",
            "its hyperparameters make several rows, and figures are of one",
        ),
        (
            ROW + "published = { mean = 80.0, std = inf, best = 81.0 }\n",
            "mean, std and best, percent; give these three, each a finite number",
        ),
        (
            ROW + "published = { mean = 80.0, std = '1.0', best = 81.0 }\n",
            "mean, std and best, percent",
        ),
        (ROW + "seeds = [1]\n" + ROW + "seeds = [2]\n", "2 rows are called 'β-VAE, m=10'"),
        (ROW + "hyperparameters = { beta = 'x' }\n", "beta='x': give a value of type float"),
        ('metrics = ["best"]\n' + ROW, "metric 'best': unknown"),
        ('metric = "mig"\n' + ROW, "metric='mig', protocol='jeong2019': the table shows what is"),
        ('protocol = "mine"\n' + ROW, "metric='factor-vae', protocol='mine': the table shows"),
        ('score = "best"\n' + ROW, "score='best': no score of FactorVAE score; give none, as it"),
        (
            'metrics = ["dci"]\nmetric = "dci"\nprotocol = "eastwood2018"\nscore = "all"\n' + ROW,
            "score='all': no score of DCI; give one of disentanglement, completeness, inform",
        ),
        ("not TOML", "no study can be read from it"),
        (
            "hang_timeout_minutes = 0\n" + ROW,
            "hang_timeout_minutes=0: too few; give a number, 1 or more",
        ),
        (ROW + "hyperparameters = { beta = [] }\n", "beta=[]: no value makes no row"),
        (
            ROW + "published = { mean = 1.0, std = 0.0, best = 2.0 }\n",
            "a std is of two seeds or more, and above 0",
        ),
        ("seeds = 2.5\n" + ROW, "a value is of the wrong kind"),
        ("rows = 3\n", "a value is of the wrong kind"),
        (ROW + "hyperparameters = 3\n", "a value is of the wrong kind"),
        (ROW + "published = 3\n", "a value is of the wrong kind"),
        ("metrics = 3\n" + ROW, "a value is of the wrong kind"),
        ('steps = "x"\n' + ROW, "a value is of the wrong kind"),
        ("data = 3\n" + ROW, "a value is of the wrong kind"),
        ('[[rows]]\nmethod = ["vae"]\n', "a value is of the wrong kind"),
    ],
)
def test_a_mistake_in_a_study_is_named(
    text: str, message: str, study_file: Callable[[str], Path]
) -> None:
    with pytest.raises(UserError) as caught:
        read(study_file(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_study_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml: no study can be read"):
        read(tmp_path / "nowhere.toml")
