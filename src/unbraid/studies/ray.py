"""Train a study on a Ray cluster (extra `cluster`).

Ray places the runs and moves those of a node that dies. Only the driver writes results.
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
from unbraid.runs import Run, checkpoint
from unbraid.studies.executors import max_members
from unbraid.studies.results import DONE
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study, populations
from unbraid.studies.supervise import failed_result, supervise

# The death of a node is not a failure of the run, so it does not count as one of its retries.
MAX_NODE_DEATHS = 20
MARKER = "shared"
CONNECT_SECONDS = 10.0
# Largest memory of a worker in bytes; a test checks that training stays below it. Ray retries a
# task without end that it kills for its memory, so it must not place too many on a node.
MEMORY = 3 * 2**29
# The same for a worker with a GPU: estimated, not measured.
MEMORY_WITH_GPU = 4 * 2**30

# Result of each run of a population, and its files if the driver does not see them.
Answer = list[tuple[dict[str, Any], dict[str, bytes]]]


class RayExecutor:
    """Runs as tasks of a Ray cluster: one core each, or one GPU for a population.

    Parameters
    ----------
    address : str
        Address of the cluster, or "auto".
    device : str, optional
        Device of torch, default "cpu".
    members : int, optional
        Number of members of a population, by default 1 on a CPU and 10 on a GPU.

    Raises
    ------
    UserError
        If Ray is not installed, or if there is no cluster at the address.
    """

    def __init__(self, address: str, device: str = "cpu", members: int | None = None) -> None:
        self.device, self._members = device, max_members(device, members)
        self.runs_on_this_cpu = False
        try:
            import ray
            from ray.exceptions import RayError
        except ImportError as error:
            raise UserError(
                f"ray={address}: Ray is not installed; pip install 'unbraid[cluster]'"
            ) from error
        self._ray, self._error = ray, RayError
        # Ray itself waits for minutes for an address without a server.
        _require_server(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise _no_cluster(address, reason) from error
        self._resources = {"num_cpus": 1, "memory": MEMORY}
        if device != "cpu":
            self._resources |= {"num_gpus": 1, "memory": MEMORY_WITH_GPU}
        self.place = _describe_cluster(ray, self._resources)
        self.workers = int(ray.cluster_resources().get("CPU" if device == "cpu" else "GPU", 0))
        self._populations: dict[Any, list[Job]] = {}

    def start(self, jobs: list[Job], study: Study, store: Store) -> None:
        """Start the jobs in their order."""
        marker = uuid.uuid4().hex
        (store.path / MARKER).write_text(marker, encoding="utf-8")
        self._store = store
        task = self._ray.remote(max_retries=MAX_NODE_DEATHS, **self._resources)(run_task)
        path = str(store.path.resolve())
        kwargs = {
            "device": self.device,
            "retries": study.retries,
            "hang_timeout_minutes": study.hang_timeout_minutes,
        }
        for population in populations(jobs, self._members):
            tables = [job.as_table() for job in population]
            reference = task.remote(tables, path, marker, **kwargs)
            self._populations[reference] = population

    def collect(self, seconds: float) -> list[dict[str, Any]]:
        """Return the results since the last call; wait at most this long for one."""
        ready, _ = self._ray.wait(list(self._populations), num_returns=1, timeout=seconds)
        return [
            result
            for reference in ready
            for result in self._results(reference, self._populations.pop(reference))
        ]

    def stop(self) -> None:
        """Stop every task, with a checkpoint."""
        for reference in self._populations:
            self._ray.cancel(reference)
        self._ray.shutdown()

    def _results(self, reference: Any, population: list[Job]) -> list[dict[str, Any]]:
        try:
            answer = self._ray.get(reference)
        except self._error as error:
            reason = f"Ray: {(str(error).splitlines() or [''])[0]}"
            return [failed_result(job, [reason]) for job in population]
        results = []
        for job, (result, files) in zip(population, answer, strict=True):
            if result["key"] != job.key:
                reason = "its node has another version of unbraid: install the same everywhere"
                results.append(failed_result(job, [reason]))
                continue
            run = self._store.run(job)
            # The files of a failed run must not replace those of a run that was trained before.
            if result["status"] != DONE and checkpoint.exists(run.checkpoint_file):
                log = run.worker_log_file.name
                files = {name: data for name, data in files.items() if name == log}
            for name, data in files.items():
                with written_atomically(run.path / name) as file:
                    file.write(data)
            results.append(result)
        return results


def _require_server(address: str) -> None:
    """Raise if an address with a port accepts no connection; Ray itself finds all others."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError, ValueError) as error:
        raise _no_cluster(address, getattr(error, "strerror", None) or str(error)) from error


def _no_cluster(address: str, reason: str) -> UserError:
    return UserError(
        f"ray={address}: no cluster answers there ({reason}); start one with ray start --head, or"
        " set `ray` to its address"
    )


def _describe_cluster(ray: Any, resources: dict[str, int]) -> str:
    """Describe the cluster's size, and what is missing if no node has a worker's resources."""
    kind, name = ("GPU", "GPUs") if "num_gpus" in resources else ("CPU", "cores")
    number = ray.cluster_resources().get(kind, 0)
    place = f"a Ray cluster of {number:.0f} {name} now"
    needed = {kind: 1, "CPU": 1, "memory": resources["memory"]}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0) >= least for name, least in needed.items()) for node in nodes):
        return place
    missing = "a core" if kind == "CPU" else "a core, a GPU"
    return (
        f"{place}; the runs wait for a node with {missing} and {resources['memory'] / 2**30:g} GiB"
        " of memory for Ray's tasks"
    )


def run_task(tables: list[dict[str, Any]], path: str, marker: str, **kwargs: Any) -> Answer:
    """Run a job or a population on the node that Ray chose.

    A node that sees the study directory, recognised by its marker, writes the runs there, and
    resumes them after the death of another node. Any other starts them in a temporary directory.

    Parameters
    ----------
    tables : list of dict
        The jobs, as plain values.
    path : str
        Study directory on the driver.
    marker : str
        Content of the marker file in it.
    **kwargs
        Further arguments of `supervise`.

    Returns
    -------
    list of tuple
        Result of each job, and the files of its run directory unless the driver sees them.
    """
    jobs = [Job.from_table(table) for table in tables]
    if _sees(Path(path), marker):
        return [(result, {}) for result in supervise(jobs, Path(path), **kwargs)]
    with tempfile.TemporaryDirectory(prefix="unbraid-") as folder:
        results = supervise(jobs, Path(folder), **kwargs)
        runs = [Run(Path(folder) / job.name) for job in jobs]
        return [(result, _files(run)) for result, run in zip(results, runs, strict=True)]


def _files(run: Run) -> dict[str, bytes]:
    """Return the content of the files that the driver needs, by their path in the directory."""
    return {f.relative_to(run.path).as_posix(): f.read_bytes() for f in run.portable_files}


def _sees(path: Path, marker: str) -> bool:
    try:
        return (path / MARKER).read_text(encoding="utf-8") == marker
    except OSError:
        return False
