"""Damaged files of a run directory are reported in one line, and never overwritten."""

import shutil
from pathlib import Path

import pytest

from unbraid.data.images import ImageTable
from unbraid.engine import seeds_of, train
from unbraid.errors import ArgumentError, UserError
from unbraid.runs import Run
from unbraid.runs.device import usable_device


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    """A copy of a finished run."""
    return Run(Path(shutil.copytree(tiny_run.path, tmp_path / "run")))


@pytest.mark.parametrize("resume", [False, True])
def test_checkpoint_without_a_configuration_is_not_trained_over(
    run: Run, table: ImageTable, resume: bool
) -> None:
    config, content = run.read_config(), run.checkpoint_file.read_bytes()
    run.config_file.unlink()
    with pytest.raises(UserError, match=r"contains a checkpoint without a config\.toml; restore"):
        train(config, table, run.path, resume=resume)
    assert run.checkpoint_file.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('data = "dsprites"', "data = 7"),
        ("[budget]", "[[budget]]"),
        ("[hyperparameters]", "[[hyperparameters]]"),
        ('data = "dsprites"', 'data = "dsprites"\nfingerprint = 4'),
        ("seed = 0", "seed = -1"),
        ('method = "cascade-vae"', 'method = "gan"'),
    ],
)
def test_error_in_a_configuration_names_the_file(run: Run, old: str, new: str) -> None:
    text = run.config_file.read_text()
    assert old in text
    run.config_file.write_text(text.replace(old, new))
    with pytest.raises(UserError) as raised:
        run.read_config()
    message = str(raised.value)
    assert message.startswith(f"{run.config_file}: ")
    assert "`" not in message


@pytest.mark.parametrize("line", ["3", "[1]", "null", "{}", '{"step": "x"}', "[" * 100_000])
def test_log_ends_before_a_line_that_is_no_record(run: Run, line: str) -> None:
    records = run.read_log()
    with run.log_file.open("a") as file:
        file.write(f"{line}\n")
    assert run.read_log() == records


def test_binary_log_has_no_records(run: Run) -> None:
    run.log_file.write_bytes(bytes(range(256)))
    assert run.read_log() == []


@pytest.mark.parametrize("content", [b"", b"3", b"null", b"[1]", bytes(range(256))])
def test_damaged_provenance_is_reported_before_training(
    run: Run, table: ImageTable, content: bytes
) -> None:
    run.provenance_file.write_bytes(content)
    with pytest.raises(UserError, match=r"provenance\.json: cannot be read"):
        train(run.read_config(), table, run.path, resume=True)
    assert run.provenance_file.read_bytes() == content


@pytest.mark.parametrize("name", ["meta", "mps", "tpu"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"device={name}: must be cpu, cuda or cuda:N"):
        usable_device(name)


def test_seed_of_a_list_is_in_range() -> None:
    with pytest.raises(ArgumentError, match="seeds=4294967296: must be seeds from 0 to 4294967295"):
        seeds_of("4294967296")
