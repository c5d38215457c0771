"""Windows and macOS, as far as Linux can imitate them: `other_system/sitecustomize.py` says how."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unbraid.engine import workers
from unbraid.engine.workers import running_worker

OTHER_SYSTEM = Path(__file__).parent / "other_system"
Start = Callable[..., "subprocess.Popen[str]"]
CASCADE = "cascade-vae --data dsprites-corner --batch-size 4 --stage-steps 2 --warmup-stages 1"
TRAINING = (
    f"train {CASCADE} --steps 5 --threads 1 --out runs/Größe",
    f"train {CASCADE} --steps 6 --threads 1 --out runs/Größe --resume",
)
# Every command that writes files.
COMMANDS = (
    *TRAINING,
    "train vae --data dsprites-corner --batch-size 4 --steps 2 --seeds 0-1 --out runs/vae",
    "evaluate runs/Größe --images 200 --metrics mig",
    "evaluate runs/Größe --images 200 --metrics mig,sap",
    "information runs/Größe --images 64",
    "traverse runs/Größe --columns 3",
    "compare runs/Größe runs/vae/seed-0 --columns 3",
    "codes runs/Größe",
    "export runs/Größe --onnx",
    "study run study.toml --out runs/study --workers 1",
    "study table study.toml --out runs/study",
    "report study.toml --out runs/study",
)
RUN_COMMANDS = """
import sys
from unbraid.cli import main
for line in sys.argv[1:]:
    code = main(line.split())
    if code != 0:
        sys.exit(f"exit code {code}: {line}")
"""
STUDY = """
title = "β and size"
data = "dsprites-corner"
seeds = 1
metric = "mig"
protocol = "chen2018"
metrics = ["mig"]
[[rows]]
method = "vae"
title = "β = 1"
steps = 2
batch_size = 4
"""
HOLD = """
import sys
from pathlib import Path
from unbraid.files import directory_lock
with directory_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """A function that starts Python as on another system, in a temporary folder."""
    if sys.platform != "linux":
        pytest.skip("only Linux imitates other systems")
    environment = {
        **os.environ,
        "OTHER_SYSTEM_ROOT": str(tmp_path_factory.getbasetemp()),
        "PYTHONPATH": str(OTHER_SYSTEM),
        "PYTHONWARNDEFAULTENCODING": "1",
        # Warnings of other packages; those of unbraid stay errors.
        "PYTHONWARNINGS": "ignore",
        "UNBRAID_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
    }

    def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return start


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("open('a', 'w').close(); open('b', 'w').close(); os.replace('a', 'b')", ""),
        ("open('log 12:30', 'w')", "not a file name on Windows"),
        ("os.mkdir('aux.d')", "not a file name on Windows"),
        ("open('name.', 'w')", "not a file name on Windows"),
        ("open('Run', 'w').close(); open('run', 'w')", "the same file as Run"),
        ("file = open('a', 'w'); os.remove('a')", "removed while it is open"),
        (
            "open('a', 'w').write('x'); f = open('a', 'rb'); import mmap;"
            " m = mmap.mmap(f.fileno(), 1, access=mmap.ACCESS_READ); f.close(); os.remove('a')",
            "while it is mapped into memory",
        ),
        ("os.fork()", "has no attribute 'fork'"),
        ("__name__ = 'unbraid.files'; import fcntl", "No module named 'fcntl'"),
    ],
)
def test_the_imitation_refuses_what_the_other_systems_refuse(
    code: str, error: str, start: Start
) -> None:
    _, errors = start(f"import os\n{code}").communicate(timeout=60)
    assert error in errors
    assert bool(errors) is bool(error)


def test_training_resumes(start: Start) -> None:
    process = start(RUN_COMMANDS, *TRAINING)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_every_command_works(start: Start, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    process = start(RUN_COMMANDS, *COMMANDS)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "β = 1" in (tmp_path / "runs" / "study" / "study.html").read_text(encoding="utf-8")


def test_lock_without_locks_of_the_operating_system(start: Start, tmp_path: Path) -> None:
    holder = start(HOLD, str(tmp_path / "run"))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    second = start(HOLD, str(tmp_path / "run"))
    _, errors = second.communicate(timeout=60)
    assert "another process is using it; wait until it ends" in errors
    holder.communicate(timeout=60)
    third = start(HOLD, str(tmp_path / "run"))
    assert third.communicate(timeout=60)[0] == "locked\n"


def test_worker_stops_without_a_signal_of_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows `terminate` would end it before it has written its checkpoint."""
    monkeypatch.setattr(workers, "HAS_SIGNALS", False)
    body = (
        "import time\n"
        "from unbraid.engine.workers import start_worker\n"
        "from unbraid.runs.interrupt import deferred_signals\n"
        "with deferred_signals() as stop:\n"
        "    start_worker(); print('started', flush=True)\n"
        "    while not stop: time.sleep(0.01)\n"
        "print('saved', flush=True)\n"
    )
    output = tmp_path / "worker.log"
    with running_worker([sys.executable, "-c", body], b"", output) as worker:
        deadline = time.monotonic() + 60
        while output.read_text() != "started\n":
            assert time.monotonic() < deadline, "the worker did not start"
            time.sleep(0.02)
    assert worker.exit_code == 0
    assert output.read_text() == "started\nsaved\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
