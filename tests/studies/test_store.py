"""The results file: appended to, repaired, never written by two studies at once."""

import errno
import multiprocessing
from pathlib import Path

import pytest

from unbraid.errors import StorageError, UserError
from unbraid.studies.results import RunResult
from unbraid.studies.store import Store


def test_a_key_is_done_at_most_once_and_replaces_a_failure(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append({"key": "a", "status": "failed"})
    store.append({"key": "a", "status": "done", "score": 1})
    store.append({"key": "a", "status": "done", "score": 2})
    store.append({"key": "a", "status": "failed"})
    (result,) = store.results().values()
    assert result.table == {"key": "a", "status": "done", "score": 1}
    assert len(store.results_file.read_text().splitlines()) == 2


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_an_incomplete_line_is_removed_and_nothing_else_is_lost(cut: int, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append({"key": "a", "status": "done"})
    first_line = store.results_file.read_bytes()
    store.append({"key": "b", "status": "done"})
    store.results_file.write_bytes(store.results_file.read_bytes()[:-cut])
    with store.locked():
        store.append({"key": "c", "status": "done"})
    # A line that lacks only its line end is complete.
    assert list(store.results()) == (["a", "b", "c"] if cut == 1 else ["a", "c"])
    assert store.results_file.read_bytes().startswith(first_line)
    assert store.results_file.read_bytes().endswith(b"\n")


def test_a_damaged_line_is_ignored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.results_file.write_bytes(b'\xff\x00 noise\n[1]\n{"key": "a", "status": "done"}\n')
    assert list(store.results()) == ["a"]


def _try(path: Path, answer: "multiprocessing.Queue[str]") -> None:
    try:
        with Store(path).locked():
            answer.put("entered")
    except UserError as error:
        answer.put(str(error))


def test_two_studies_cannot_run_in_one_directory_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    with Store(tmp_path).locked():
        other = context.Process(target=_try, args=(tmp_path, answer))
        other.start()
        assert "another study is running in this directory; wait until it ends" in answer.get(
            timeout=60
        )
        other.join()
    _try(tmp_path, answer)
    assert answer.get(timeout=60) == "entered"


def test_a_directory_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot be written"),
        Store(tmp_path / "file").locked(),
    ):
        pass


def test_a_full_disk_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unbraid.studies.store.os.fsync", full)
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\); free"):
        Store(tmp_path).append({"key": "a", "status": "done"})


def test_a_result_of_version_0_1_has_todays_names(tmp_path: Path) -> None:
    line = (
        '{"key": "a", "status": "done", "method": "beta-vae", "budget": {"steps": 5, "batch": 4},'
        ' "hyperparameters": {"continuous": 3}, "elbo": -1.5, "new": 1}\n'
    )
    store = Store(tmp_path)
    store.results_file.write_text(line)
    (result,) = store.results().values()
    assert result.elbo == -1.5
    assert result.table["budget"] == {"steps": 5, "batch_size": 4}
    assert result.table["hyperparameters"] == {"latent_dim": 3}
    assert result.table["new"] == 1
    assert RunResult.from_line(result.as_line()) == result
