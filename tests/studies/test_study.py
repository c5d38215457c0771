"""Study files: they become jobs, and mistakes in them are reported."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unbraid.errors import UserError
from unbraid.methods.cascade_vae_c import CascadeVAEC
from unbraid.studies.study import Job, Published
from unbraid.studies.study_file import DEFINITIONS, read, shipped_studies

TABLES = [name for name in shipped_studies() if name.startswith("table")]
ROW = '[[rows]]\nmethod = "beta-vae"\n'


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "study.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_ten_seeds_per_row(name: str) -> None:
    study = read(name)
    assert [len(row.jobs) for row in study.rows] == [10] * (10 if "table1" in name else 4)
    assert all(row.published for row in study.rows)
    assert "quick" in name or min(j.config.budget.steps for j in study.jobs) >= 300_000


@pytest.mark.parametrize("suffix", ["", "-quick"])
def test_the_runs_of_table_2_are_among_those_of_table_1(suffix: str) -> None:
    one, two = [{job.key for job in read(f"table{number}{suffix}").jobs} for number in (1, 2)]
    assert len(one) == 100
    assert len(two) == 40
    assert two < one


@pytest.mark.parametrize("name", TABLES)
def test_every_dimension_of_a_cascade_is_active_at_the_end_of_the_budget(name: str) -> None:
    for job in read(name).jobs:
        last = job.config.budget.steps - 1
        method = job.config.method
        if isinstance(method, CascadeVAEC):
            assert set(method.betas(last)) == {method.beta_low}
        else:
            assert not method.name.startswith("cascade")


def test_the_ablation_removes_one_component_at_a_time_on_seeds_of_its_own() -> None:
    whole, *rows = read("ablation").rows
    assert {job.config.seed for job in whole.jobs} == {200, 201, 202}
    changed = {}
    for row in rows:
        for job, base in zip(row.jobs, whole.jobs, strict=True):
            assert dataclasses.replace(job.config, method=base.config.method) == base.config
            one, other = (dataclasses.asdict(j.config.method) for j in (job, base))
            changed[row.title] = {name for name in one if one[name] != other[name]}
    assert changed == {
        "β does not fall": {"beta_start"},
        "no charts": {"pseudo_label_fraction"},
        "idle dimensions stay idle": {"reinit_inactive"},
        "one dimension for the angle": {"latent_dim"},
        "one rate throughout": {"lr_factor_after_survey", "lr_decay_start", "lr_decay_end"},
    }
    keys = {job.key for row in (whole, *rows) for job in row.jobs}
    assert len(keys) == 3 * (len(rows) + 1) == 18


def test_two_published_rows_are_impossible() -> None:
    rows = read("table1").rows + read("table2").rows
    impossible = [row.title for row in rows if row.published and row.published.is_impossible]
    assert impossible == ["FactorVAE, m=10", "JointVAE, m=6"]


def test_a_best_at_the_largest_deviation_is_possible() -> None:
    """Nine zeros and a one: mean 0.1, std 0.3, the best exactly √9 stds above."""
    assert not Published(0.1, 0.3, 1.0).is_impossible
    assert Published(0.1, 0.3, 1.1).is_impossible


def test_a_best_far_below_the_mean_is_impossible() -> None:
    """The best distance is the lowest: nine ones and a zero, √9 stds below."""
    assert not Published(0.9, 0.3, 0.0).is_impossible
    assert Published(0.9, 0.3, -0.1).is_impossible


def test_lists_of_values_make_a_grid_of_rows(study_file: Callable[[str], Path]) -> None:
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


def test_rows_with_the_same_title_get_their_differing_settings_added(
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


def test_a_job_is_the_same_after_json(study_file: Callable[[str], Path]) -> None:
    job = read(
        study_file('preset = "quick"\nprecision = "fp32"\ncheckpoints = 3\nimages = 500\n' + ROW)
    ).jobs[4]
    same = Job.from_table(json.loads(json.dumps(job.as_table())))
    assert same == job
    assert same.key == job.key


def test_the_key_depends_on_everything_that_determines_the_numbers(
    study_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = read(study_file(ROW)).jobs[0]
    config, scoring = job.config, job.scoring
    # Keys from before the option `images` are unchanged.
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
    monkeypatch.setattr("unbraid.studies.study.RESULTS_VERSION", -1)
    assert job.key not in keys


def test_a_run_of_custom_images_depends_on_their_content(
    study_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """Other images of the same name make other runs, here and in a worker."""
    path = tmp_path / "own.npz"
    text = f'data = "array:{path}"\nmetrics = ["unsupervised"]\nmetric = "unsupervised"\n'
    text += 'protocol = "locatello2019"\nseeds = 1\n' + ROW
    keys = []
    for seed in (0, 1, 0):
        np.savez(path, images=np.random.default_rng(seed).integers(0, 2, (20, 32, 32), np.uint8))
        (job,) = read(study_file(text)).jobs
        assert Job.from_table(json.loads(json.dumps(job.as_table()))).key == job.key
        keys.append(job.key)
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the study has no rows; add [[rows]]"),
        ("colour = 1\n" + ROW, "colour: unknown key of a study; use batch_size, checkpoints"),
        (ROW + "colour = 1\n", "colour: unknown key of a row; use batch_size, hyperparameters"),
        (
            '[[rows]]\ntitle = "both"\nmethod = "beta-vae"\nhyperparameters = { beta = [1, 2] }\n',
            "title='both': the lists of hyperparameters make several rows",
        ),
        ("[[rows]]\nseeds = 2\n", "a row has no method; add method ="),
        (
            '[[rows]]\nmethod = "gan"\n',
            "study.toml: [[rows]] number 1: method 'gan': unknown; give one of",
        ),
        (
            ROW + "hyperparameters = { gamma = 1.0 }\n",
            "hyperparameter 'gamma': unknown for beta-vae",
        ),
        ('data = "faces"\n' + ROW, "study.toml: data=faces: unknown dataset; set data to dsprites"),
        (
            "seeds = [1, 1]\n" + ROW,
            "seeds=[1, 1]: must be a number of seeds, or a list of different seeds",
        ),
        ("seeds = 0\n" + ROW, "seeds=0: must be a number of seeds"),
        (
            "checkpoints = -1\n" + ROW,
            "checkpoints=-1: must be a whole number of at least 0; set checkpoints to 0 or more",
        ),
        ("images = 99\n" + ROW, "images=99: must be a whole number of at least 100"),
        (
            'hang_timeout_minutes = "long"\n' + ROW,
            "hang_timeout_minutes='long': must be a number of at least 1",
        ),
        ("sample = 1e3\n" + ROW, "sample=1000.0: must be a whole number of at least 100"),
        ('seeds = "ten"\n' + ROW, "seeds=ten: must be a number of seeds"),
        (
            ROW + "published = { mean = 1.0 }\n",
            "mean, std and best must be finite numbers (percent)",
        ),
        (
            ROW + "published = { mean = 80.0, std = 1.0, best = 79.0 }\n",
            "best must not be worse than mean",
        ),
        (
            ROW + "published = { mean = 0.8, std = 0.1, best = 0.9 }\n",
            "must be in percent; write 74.41 instead of 0.7441",
        ),
        (
            ROW + "published = { mean = 80.0, std = 1.0, best = 81.0, n = 5 }\n",
            "n: unknown key of a published row; use best, mean, seeds, std",
        ),
        (
            ROW + "published = { mean = 80.0, std = 1.0, best = 81.0, seeds = 9.5 }\n",
            "a std must be positive and of at least 2 seeds",
        ),
        (
            ROW
            + "hyperparameters = { beta = [1, 2] }\n"
            + "published = { mean = 80.0, std = 1.0, best = 81.0 }\n",
            "make several rows, and published figures belong to one",
        ),
        (
            ROW + "published = { mean = 80.0, std = inf, best = 81.0 }\n",
            "mean, std and best must be finite numbers (percent); set all three",
        ),
        (
            ROW + "published = { mean = 80.0, std = '1.0', best = 81.0 }\n",
            "mean, std and best must be finite numbers (percent)",
        ),
        (ROW + "seeds = [1]\n" + ROW + "seeds = [2]\n", "2 rows have the title 'β-VAE, m=10'"),
        (
            ROW + "hyperparameters = { beta = 'x' }\n",
            "beta='x': wrong type; set beta to a value of type float",
        ),
        ('metrics = ["best"]\n' + ROW, "metrics=best: unknown metric"),
        (
            'metric = "mig"\n' + ROW,
            "metric='mig', protocol='jeong2019': the table must report a score",
        ),
        (
            'protocol = "mine"\n' + ROW,
            "metric='factor-vae', protocol='mine': the table must report",
        ),
        ('score = "best"\n' + ROW, "score='best': not a score of FactorVAE score; remove the key"),
        (
            'metrics = ["dci"]\nmetric = "dci"\nprotocol = "eastwood2018"\nscore = "all"\n' + ROW,
            "score='all': not a score of DCI; choose one of disentanglement, completeness, inform",
        ),
        ("not TOML", "cannot be read as a study"),
        (
            "hang_timeout_minutes = 0\n" + ROW,
            "hang_timeout_minutes=0: must be a number of at least 1",
        ),
        (ROW + "hyperparameters = { beta = [] }\n", "beta=[]: an empty list makes no row"),
        (
            ROW + "published = { mean = 1.0, std = 0.0, best = 2.0 }\n",
            "a std must be positive and of at least 2 seeds",
        ),
        ("seeds = 2.5\n" + ROW, "seeds=2.5: must be a number of seeds"),
        ("seeds = true\n" + ROW, "seeds=True: must be a number of seeds"),
        ("seeds = [-1]\n" + ROW, "study.toml: [[rows]] number 1: seed=-1: must be 0 to"),
        (ROW + ROW + "steps = 0\n", "study.toml: [[rows]] number 2: steps=0: must be at least 1"),
        ("hang_timeout_minutes = inf\n" + ROW, "hang_timeout_minutes=inf: must be a number of"),
        ("hang_timeout_minutes = nan\n" + ROW, "hang_timeout_minutes=nan: must be a number of"),
        ("batch_size = true\n" + ROW, "batch_size=True: must be a whole number"),
        (ROW + "steps = 1e4\n", "steps=10000.0: must be a whole number"),
        ("retries = true\n" + ROW, "retries=True: must be a whole number"),
        ("title = 3\n" + ROW, "title=3: must be a text in quotes"),
        (ROW + "title = 3\n", "title=3: must be a text in quotes"),
        ("precision = 16\n" + ROW, "precision=16: must be a text in quotes"),
        ("metrics = 'mig'\n" + ROW, "metrics='mig': must be a list of names in brackets"),
        ("metrics = [3]\n" + ROW, "a value has the wrong type"),
        ("rows = 3\n", "a value has the wrong type"),
        (ROW + "hyperparameters = 3\n", "a value has the wrong type"),
        (ROW + "published = 3\n", "a value has the wrong type"),
        ("metrics = 3\n" + ROW, "metrics=3: must be a list of names"),
        ('steps = "x"\n' + ROW, "steps='x': must be a whole number"),
        ("data = 3\n" + ROW, "data=3: must be a text in quotes"),
        ('[[rows]]\nmethod = ["vae"]\n', "a value has the wrong type"),
    ],
)
def test_a_mistake_in_a_study_is_reported(
    text: str, message: str, study_file: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        read(study_file(text))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "study.toml"))
    assert "\n" not in str(caught.value)
    assert "`" not in str(caught.value)


def test_a_study_is_read_by_its_name_or_from_a_file(tmp_path: Path) -> None:
    assert shipped_studies() == ["ablation", "table1", "table1-quick", "table2", "table2-quick"]
    by_name = read("table1-quick")
    assert by_name == read(Path("table1-quick")) == read(DEFINITIONS / "table1-quick.toml")
    copy = tmp_path / "copy.toml"
    copy.write_text(by_name.text)
    assert read(copy) == by_name


def test_a_file_takes_precedence_over_a_name(
    study_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_file("seeds = 1\n" + ROW).rename(tmp_path / "ablation")
    monkeypatch.chdir(tmp_path)
    assert len(read("ablation").jobs) == 1


def test_an_unknown_study_is_reported_with_all_names(tmp_path: Path) -> None:
    names = "ablation, table1, table1-quick, table2, table2-quick"
    with pytest.raises(UserError, match=f"^table3: no such study; choose a TOML file.*{names}$"):
        read("table3")
    with pytest.raises(UserError, match=r"none\.toml: cannot be read as a study"):
        read(tmp_path / "none.toml")
