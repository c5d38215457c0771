"""The same study on a Ray cluster (extra `cluster`): Ray places the runs, and moves what a node
that dies leaves behind; only the driver writes results.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import uuid
from pathlib import Path
from typing import Any

from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.runs import checkpoint
from unbraid.studies.executors import members_of
from unbraid.studies.store import DONE, Store
from unbraid.studies.study import Job, Study, populations
from unbraid.studies.supervise import OUTPUT, failed, supervise

# A node's death is not the run's fault, so it does not count among a study's retries.
NODES_THAT_MAY_DIE = 20
MARK = "shared"
CONNECT_SECONDS = 10.0
# Of a run directory that only its node can see, what comes back to the driver.
BROUGHT = ("config.toml", "log.jsonl", "checkpoint.safetensors", "provenance.json", "scores*.json")
BROUGHT += ("survey.json", "stages/*.safetensors")
BROUGHT += ("result.json", "checkpoints.json", "sample.npz", "worker.log")
# What a worker takes at most (a test holds training below it), so that Ray places no more of them
# on a node than its memory has room for: what it kills for memory it tries again for ever.
MEMORY = 3 * 2**29
# The same of a worker with a GPU: computed, not measured.
MEMORY_BESIDE_A_GPU = 4 * 2**30

# Of each run of a population its result, and its files if the driver needs them.
Answer = list[tuple[dict[str, Any], dict[str, bytes]]]


class RayExecutor:
    """Runs as tasks of a Ray cluster: one core each, or one GPU for a population."""

    def __init__(self, address: str, device: str = "cpu", members: int | None = None) -> None:
        self._device, self._members = device, members_of(device, members)
        try:
            import ray
            from ray.exceptions import RayError
        except ImportError as error:
            raise UserError(
                f"ray={address}: Ray is not installed; pip install 'unbraid[cluster]'"
            ) from error
        self._ray, self._error = ray, RayError
        # Ray itself waits for minutes for an address where nothing is.
        _require_answer(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise _no_cluster(address, reason) from error
        self._takes = {"num_cpus": 1, "memory": MEMORY}
        if device != "cpu":
            self._takes |= {"num_gpus": 1, "memory": MEMORY_BESIDE_A_GPU}
        self.place = _place(ray, self._takes)
        self._populations: dict[Any, list[Job]] = {}

    def start(self, jobs: list[Job], study: Study, store: Store) -> None:
        mark = uuid.uuid4().hex
        (store.path / MARK).write_text(mark)
        self._store = store
        task = self._ray.remote(max_retries=NODES_THAT_MAY_DIE, **self._takes)(carry_out)
        path = str(store.path.resolve())
        how = {
            "device": self._device,
            "retries": study.retries,
            "hang_timeout_minutes": study.hang_timeout_minutes,
        }
        for population in populations(jobs, self._members):
            reference = task.remote([job.as_table() for job in population], path, mark, **how)
            self._populations[reference] = population

    def collect(self, seconds: float) -> list[dict[str, Any]]:
        ready, _ = self._ray.wait(list(self._populations), num_returns=1, timeout=seconds)
        return [
            result
            for reference in ready
            for result in self._gathered(reference, self._populations.pop(reference))
        ]

    def stop(self) -> None:
        for reference in self._populations:
            self._ray.cancel(reference)
        self._ray.shutdown()

    def _gathered(self, reference: Any, population: list[Job]) -> list[dict[str, Any]]:
        try:
            answer = self._ray.get(reference)
        except self._error as error:
            why = f"Ray: {(str(error).splitlines() or [''])[0]}"
            return [failed(job, [why]) for job in population]
        results = []
        for job, (result, files) in zip(population, answer, strict=True):
            if result["key"] != job.key:
                why = "its node has another version of unbraid: install the same everywhere"
                results.append(failed(job, [why]))
                continue
            run = self._store.run(job)
            # What failed on its node takes nothing from what was trained before.
            if result["status"] != DONE and checkpoint.exists(run.checkpoint_file):
                files = {name: data for name, data in files.items() if name == OUTPUT}
            for name, data in files.items():
                with written_atomically(run.path / name) as file:
                    file.write(data)
            results.append(result)
        return results


def _require_answer(address: str) -> None:
    """UserError if an address with a port takes no connection; any other is for Ray to find."""
    given = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, _, port = given.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError, ValueError) as error:
        raise _no_cluster(given, getattr(error, "strerror", None) or str(error)) from error


def _no_cluster(address: str, reason: str) -> UserError:
    return UserError(
        f"ray={address}: no cluster answers there ({reason}); start one with ray start --head, or"
        " give its address"
    )


def _place(ray: Any, takes: dict[str, int]) -> str:
    """What the cluster has now, and whether one of its nodes has what a worker takes."""
    kind, name = ("GPU", "GPUs") if "num_gpus" in takes else ("CPU", "cores")
    number = ray.cluster_resources().get(kind, 0)
    place = f"a Ray cluster of {number:.0f} {name} now"
    wanted = {kind: 1, "CPU": 1, "memory": takes["memory"]}
    having = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(what, 0) >= least for what, least in wanted.items()) for node in having):
        return place
    lacking = "a core" if kind == "CPU" else "a core, a GPU"
    return (
        f"{place}; they wait until it has a node with {lacking} and {takes['memory'] / 2**30:g} GiB"
        " of memory for Ray's tasks"
    )


def carry_out(tables: list[dict[str, Any]], path: str, mark: str, **how: Any) -> Answer:
    """A run or a population, on whichever node Ray chose; `how` as `supervise`.

    Where the node sees the study's directory, known by its mark, a run is written there and goes
    on from its checkpoint after a node's death. Elsewhere it starts anew in a folder of its own.
    """
    jobs = [Job.from_table(table) for table in tables]
    if _sees(Path(path), mark):
        return [(result, {}) for result in supervise(jobs, Path(path), **how)]
    with tempfile.TemporaryDirectory(prefix="unbraid-") as folder:
        results = supervise(jobs, Path(folder), **how)
        outs = [Path(folder) / job.name for job in jobs]
        return [(result, brought(out)) for result, out in zip(results, outs, strict=True)]


def brought(out: Path) -> dict[str, bytes]:
    """The files of a run directory that go back to the driver, by their path in it."""
    kept = [file for pattern in BROUGHT for file in sorted(out.glob(pattern))]
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in kept}


def _sees(path: Path, mark: str) -> bool:
    try:
        return (path / MARK).read_text() == mark
    except OSError:
        return False
