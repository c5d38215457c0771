"""Keys of runs: what may not change them, what must, and those of some configurations."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.strategies import CHEAP

from unbraid.engine import seeds_of
from unbraid.errors import ArgumentError
from unbraid.studies.study import Job, Study
from unbraid.studies.study_file import read

STUDY = """
title = "Keys"
data = "dsprites"
precision = "fp32"
metrics = ["factor-vae"]
metric = "factor-vae"
protocol = "jeong2019"
seeds = {seeds}

[[rows]]
method = "{method}"
preset = "quick"
hyperparameters = {{ {hyperparameters} }}
"""
# Keys of seed 0 in results that users have: a key that changes makes their studies repeat the run.
COMMITTED = {
    ("vae", ""): "aee3daa0dbda913c",
    ("beta-vae", "beta = 8.0"): "f1dd5ab08ebc706c",
    ("factor-vae", "gamma = 20.0, discriminator_hidden_dim = 50"): "11b7230fc81d2f48",
    ("cascade-vae-c", "stage_steps = 300"): "efbaa0794e6c2911",
    ("cascade-vae", "beta_low = 0.5, pair_penalty = 0.01"): "c539462aa66d1d38",
    ("chart-vae", "gap = 1.2"): "60f35be4397b222e",
    ("qlae", "codebook_size = 5"): "874e020626d9f61e",
    ("joint-vae", "capacity = 30.0"): "a19831fa93e20e0b",
}


def study(method: str, hyperparameters: str, seeds: Any = 1) -> Study:
    """Read a study of one row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.toml"
        path.write_text(STUDY.format(method=method, hyperparameters=hyperparameters, seeds=seeds))
        return read(path)


def jobs(method: str, hyperparameters: str, seeds: Any = 1) -> list[Job]:
    """Return the jobs of a study of one row."""
    return list(study(method, hyperparameters, seeds).rows[0].jobs)


@pytest.mark.parametrize(("method", "hyperparameters"), COMMITTED)
def test_committed_keys_are_unchanged(method: str, hyperparameters: str) -> None:
    (job,) = jobs(method, hyperparameters)
    assert job.key == COMMITTED[method, hyperparameters]


@CHEAP
@given(order=st.permutations(["latent_dim", "beta", "learning_rate"]), left_out=st.booleans())
def test_order_and_defaults_written_out_do_not_change_a_key(
    order: list[str], left_out: bool
) -> None:
    """The default of `latent_dim` is 10, and `l2` is 0 unless it is set."""
    values = {"latent_dim": "10", "beta": "8.0", "learning_rate": "2e-4"}
    (plain,) = jobs("beta-vae", "beta = 8.0, learning_rate = 2e-4")
    text = ", ".join(f"{name} = {values[name]}" for name in order)
    if not left_out:
        text += ", l2 = 0.0"
    (job,) = jobs("beta-vae", text)
    assert (job.key, job.name) == (plain.key, plain.name)


def spellings(value: float) -> st.SearchStrategy[str]:
    """Texts of a number in TOML that mean the same float64; those of an integer among them."""
    texts = [repr(value), f"{value:.17g}", f"{value:.20e}", f"+{value!r}"]
    return st.sampled_from([*texts, f"{value:.3f}"] if value == int(value) else texts)


@CHEAP
@given(data=st.data(), value=st.floats(0.015625, 1e6) | st.integers(1, 1_000).map(float))
def test_the_text_of_a_number_does_not_change_a_key(data: st.DataObject, value: float) -> None:
    (plain,) = jobs("beta-vae", f"beta = {value!r}")
    (job,) = jobs("beta-vae", f"beta = {data.draw(spellings(value))}")
    assert job.config.method == plain.config.method
    assert job.key == plain.key


@CHEAP
@given(value=st.floats(0.015625, 1e6))
def test_the_next_number_has_another_key(value: float) -> None:
    """Nothing rounds a hyperparameter: two runs share a key only if all their bits are equal."""
    following = float(np.nextafter(value, np.inf))
    (job,) = jobs("beta-vae", f"beta = {value!r}")
    (other,) = jobs("beta-vae", f"beta = {following!r}")
    assert job.key != other.key


@CHEAP
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8, unique=True))
def test_the_seeds_of_a_row_are_those_of_the_file_in_its_order(seeds: list[int]) -> None:
    row = jobs("beta-vae", "beta = 8.0", seeds)
    assert [job.config.seed for job in row] == seeds
    assert len({job.key for job in row}) == len(seeds)
    # A seed has one key, whatever other seeds the row has.
    (alone,) = jobs("beta-vae", "beta = 8.0", [seeds[-1]])
    assert alone.key == row[-1].key


def test_a_number_of_seeds_counts_from_0() -> None:
    assert [job.config.seed for job in jobs("vae", "l2 = 0.0", 12)] == list(range(12))


def as_text(seeds: list[int], joins: list[bool], spaces: list[bool]) -> str:
    """Write seeds as a list; runs of consecutive seeds as ranges where `joins` says so."""
    pieces: list[list[int]] = []
    for seed, join in zip(seeds, joins, strict=True):
        if pieces and join and seed == pieces[-1][-1] + 1:
            pieces[-1].append(seed)
        else:
            pieces.append([seed])
    texts = [str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in pieces]
    return ",".join(" " * space + text for text, space in zip(texts, spaces, strict=False))


@st.composite
def seed_lists(draw: st.DrawFn) -> list[int]:
    """Different seeds in any order, with runs of consecutive ones."""
    starts = draw(st.lists(st.integers(0, 400), min_size=1, max_size=6, unique=True))
    seeds = [10 * s + i for s in starts for i in range(draw(st.integers(1, 10)))]
    return seeds if draw(st.booleans()) else draw(st.permutations(seeds))


@CHEAP
@given(data=st.data(), seeds=seed_lists())
def test_a_list_of_seeds_is_read_in_its_order(data: st.DataObject, seeds: list[int]) -> None:
    flags = st.lists(st.booleans(), min_size=len(seeds), max_size=len(seeds))
    text = as_text(seeds, data.draw(flags), data.draw(flags))
    assert seeds_of(text) == seeds


@CHEAP
@given(data=st.data(), seeds=seed_lists())
def test_a_repeated_seed_is_an_error(data: st.DataObject, seeds: list[int]) -> None:
    repeated = data.draw(st.sampled_from(seeds))
    text = ",".join(map(str, [*seeds, repeated]))
    with pytest.raises(ArgumentError, match="repeat a seed"):
        seeds_of(text)


@CHEAP
@given(text=st.text("0123456789-, x+.", max_size=12))
def test_any_text_is_a_list_of_seeds_or_an_error_of_one_line(text: str) -> None:
    try:
        seeds, message = seeds_of(text), ""
    except ArgumentError as error:
        seeds, message = [], str(error)
    assert "\n" not in message
    assert bool(seeds) != bool(message)
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    if seeds:
        # Every number of the text is a seed.
        numbers = [int(n) for n in text.replace("-", ",").split(",") if n.strip()]
        assert set(numbers) <= set(seeds)
