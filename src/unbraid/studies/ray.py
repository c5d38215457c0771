"""The same study on a Ray cluster (extra `cluster`): Ray places the runs, and moves what a node
that dies leaves behind; only the driver writes results.
"""

from __future__ import annotations

import logging
import tempfile
import uuid
from pathlib import Path
from typing import Any

from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study
from unbraid.studies.supervise import failed, supervise

# A node's death is not the run's fault, so it does not count among a study's retries.
NODES_THAT_MAY_DIE = 20
MARK = "shared"
# Of a run directory that only its node can see, what comes back to the driver.
BROUGHT = ("config.toml", "log.jsonl", "checkpoint.safetensors", "provenance.json", "scores*.json")
BROUGHT += ("survey.json", "stages/*.safetensors")
BROUGHT += ("result.json", "checkpoints.json", "sample.npz", "worker.log")
# What a worker takes at most (a test holds training below it), so that Ray places no more of them
# on a node than its memory has room for: what it kills for memory it tries again for ever.
MEMORY = 3 * 2**29

Answer = tuple[dict[str, Any], dict[str, bytes]]


class OnRay:
    """Runs as tasks of a Ray cluster, one core each."""

    def __init__(self, address: str) -> None:
        try:
            import ray
            from ray.exceptions import RayError
        except ImportError as error:
            raise UserError(
                f"ray={address}: Ray is not installed; pip install 'unbraid[cluster]'"
            ) from error
        self._ray, self._error = ray, RayError
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"ray={address}: no cluster answers there ({reason}); start one with ray start"
                " --head, or give its address"
            ) from error
        self.place = f"a Ray cluster of {ray.cluster_resources().get('CPU', 0):.0f} cores now"
        self._jobs: dict[Any, Job] = {}

    def start(self, jobs: list[Job], study: Study, store: Store) -> None:
        mark = uuid.uuid4().hex
        (store.path / MARK).write_text(mark)
        self._store = store
        task = self._ray.remote(num_cpus=1, memory=MEMORY, max_retries=NODES_THAT_MAY_DIE)(
            carry_out
        )
        path = str(store.path.resolve())
        for job in jobs:
            reference = task.remote(job.as_table(), path, mark, study.retries, study.patience)
            self._jobs[reference] = job

    def collect(self, seconds: float) -> list[dict[str, Any]]:
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        return [self._gathered(reference, self._jobs.pop(reference)) for reference in ready]

    def stop(self) -> None:
        for reference in self._jobs:
            self._ray.cancel(reference)
        self._ray.shutdown()

    def _gathered(self, reference: Any, job: Job) -> dict[str, Any]:
        try:
            result, files = self._ray.get(reference)
        except self._error as error:
            return failed(job, [f"Ray: {(str(error).splitlines() or [''])[0]}"])
        for name, data in files.items():
            with written_atomically(self._store.run(job).path / name) as file:
                file.write(data)
        return result


def carry_out(table: dict[str, Any], path: str, mark: str, retries: int, patience: float) -> Answer:
    """One run, on whichever node Ray chose; its result, and its files if the driver needs them.

    Where the node sees the study's directory, known by its mark, the run is written there and goes
    on from its checkpoint after a node's death. Elsewhere it starts anew in a folder of its own.
    """
    job = Job.of_table(table)
    if _sees(Path(path), mark):
        result = supervise(job, Path(path) / job.name, retries=retries, patience=patience)
        return result, {}
    with tempfile.TemporaryDirectory(prefix="unbraid-") as folder:
        out = Path(folder) / job.name
        result = supervise(job, out, retries=retries, patience=patience)
        return result, brought(out)


def brought(out: Path) -> dict[str, bytes]:
    """The files of a run directory that go back to the driver, by their path in it."""
    kept = [file for pattern in BROUGHT for file in sorted(out.glob(pattern))]
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in kept}


def _sees(path: Path, mark: str) -> bool:
    try:
        return (path / MARK).read_text() == mark
    except OSError:
        return False
