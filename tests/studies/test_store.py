"""The results file: added to, repaired, never torn by two studies."""

import errno
import multiprocessing
from pathlib import Path

import pytest

from unbraid.errors import StorageError, UserError
from unbraid.studies.store import Store


def test_a_key_is_done_at_most_once_and_a_failure_gives_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append({"key": "a", "status": "failed"})
    store.append({"key": "a", "status": "done", "score": 1})
    store.append({"key": "a", "status": "done", "score": 2})
    store.append({"key": "a", "status": "failed"})
    assert store.results() == {"a": {"key": "a", "status": "done", "score": 1}}
    assert len(store.results_file.read_text().splitlines()) == 2


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_half_written_line_is_cut_off_and_nothing_else_is_lost(cut: int, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append({"key": "a", "status": "done"})
    whole = store.results_file.read_bytes()
    store.append({"key": "b", "status": "done"})
    store.results_file.write_bytes(store.results_file.read_bytes()[:-cut])
    with store.locked():
        store.append({"key": "c", "status": "done"})
    # A line that lacks nothing but its end is whole.
    assert list(store.results()) == (["a", "b", "c"] if cut == 1 else ["a", "c"])
    assert store.results_file.read_bytes().startswith(whole)
    assert store.results_file.read_bytes().endswith(b"\n")


def test_a_line_of_noise_is_a_missing_run_not_a_crash(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.results_file.write_bytes(b'\xff\x00 noise\n[1]\n{"key": "a", "status": "done"}\n')
    assert list(store.results()) == ["a"]


def _try(path: Path, answer: "multiprocessing.Queue[str]") -> None:
    try:
        with Store(path).locked():
            answer.put("entered")
    except UserError as error:
        answer.put(str(error))


def test_two_studies_do_not_run_in_one_directory_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    with Store(tmp_path).locked():
        other = context.Process(target=_try, args=(tmp_path, answer))
        other.start()
        assert "a study is running there; wait for it" in answer.get(timeout=60)
        other.join()
    _try(tmp_path, answer)
    assert answer.get(timeout=60) == "entered"


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot be written"),
        Store(tmp_path / "file").locked(),
    ):
        pass


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unbraid.studies.store.os.fsync", full)
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\); free"):
        Store(tmp_path).append({"key": "a", "status": "done"})
