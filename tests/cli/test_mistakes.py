"""Every mistake is one line that names the flag, with exit code 2 and without a traceback."""

import errno
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cyclopts import App

from unbraid.cli.messages import command_names, flags_of, with_flags
from unbraid.cli.parser import build

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The working directory is empty, and a mistake leaves it so."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


def line_of(run: Command, *arguments: str) -> str:
    code, printed, error = run(*arguments)
    assert code == 2
    assert printed == ""
    assert error.count("\n") == 1
    assert len(error) < 800
    return error.removesuffix("\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("bake", "unbraid: bake: unknown command; give one of data, train, evaluate, metrics,"),
        ("--foo", "unbraid: --foo: unknown flag; see unbraid --help"),
        ("train gan --out x", "unbraid train: gan: unknown command; give one of vae, beta-vae,"),
        ("data faces", "unbraid data: faces: unknown command; give one of dsprites, dsprites-col"),
        ("study stop", "unbraid study: stop: unknown command; give one of run, status, table,"),
        (
            "study",
            "unbraid study: a command is required; give one of run, status, table, archive, me",
        ),
        ("train vae --gamma 3", "unbraid train vae: --gamma: unknown flag; see unbraid train vae"),
        ("train vae --out x --step=3", "--step: unknown flag (closest: --steps); see unbraid tra"),
        ("evaluate x --seeds 3", "--seeds: unknown flag (closest: --seed); see unbraid evaluate"),
        ("train vae", "unbraid train vae: --out: required; see unbraid train vae --help"),
        ("study archive x --no-weights", "unbraid study archive: --to: required; see"),
        ("study merge x", "unbraid study merge: --from: required; see"),
        ("train vae --out", "unbraid train vae: --out: needs a value; see unbraid train vae"),
        ("train vae x --out x", "unbraid train vae: x: unexpected argument; see unbraid train vae"),
        ("export nowhere", "unbraid export: --onnx: required; see unbraid export --help"),
        ("explore", "unbraid explore: RUN: required; see unbraid explore --help"),
        ("train vae --steps many --out x", "--steps many: must be an integer; see unbraid train"),
        ("evaluate nowhere --repeats 2.5", "--repeats 2.5: must be an integer; see unbraid eval"),
        ("traverse nowhere --extent x", "--extent x: must be a number; see unbraid traverse"),
        ("codes nowhere --format csv", "--format csv: give one of npz, parquet; see unbraid codes"),
        ("train vae --preset best --out x", "--preset best: give one of paper, quick; see unbra"),
        ("evaluate x --precision fp8", "--precision fp8: give one of fp32, bf16; see unbraid"),
        ("train vae -o x", "unbraid train vae: -o: unknown flag; see unbraid train vae --help"),
        ("train vae --no-resume --out x", "--no-resume: unknown flag (closest: --resume); see unb"),
        ("train vae --resume=on --out x", "--resume on: is not a value of this flag; give the fl"),
        ("train cascade-vae --restart-adam=2 --out x", "--restart-adam 2: is not a value of this"),
        ("evaluate x --seed -1", "--seed -1: must be at least 0; see unbraid evaluate --help"),
        ("information x --seed -1", "--seed -1: must be at least 0; see unbraid information --he"),
        ("traverse x --seed -1", "--seed -1: must be at least 0; see unbraid traverse --help"),
        ("compare x y --seed -1", "--seed -1: must be at least 0; see unbraid compare --help"),
        ("completion tcsh", "SHELL tcsh: give one of bash, zsh, fish; see unbraid completion"),
    ],
)
def test_a_mistake_of_the_command_line(arguments: str, line: str, run: Command) -> None:
    assert line in line_of(run, *arguments.split())


def test_without_a_command_all_are_named(run: Command) -> None:
    line = line_of(run)
    assert line.startswith("unbraid: a command is required; give one of data, train,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train vae --steps 0 --out x", "--steps 0: must be at least 1; set --steps"),
        ("train vae --batch-size 0 --out x", "--batch-size 0: must be at least 1;"),
        ("train vae --seed -1 --out x", "--seed -1: must be"),
        ("train vae --threads 0 --out x", "--threads 0: must be between 1 and 1024;"),
        ("train vae --seed 1 --seeds 1-2 --out x", "--seed 1: cannot be combined with --seeds;"),
        ("train vae --seeds 0-99999999999 --out x", "--seeds 0-99999999999"),
        ("train vae --seeds 0-10000 --out x", "--seeds 0-10000: must be at most 10,000 seeds;"),
        ("train vae --data faces --out x", "faces"),
        ("train vae --data folder:y --out x", "no such folder"),
        ("train vae --data mnist --out x", "unbraid data mnist"),
        ("train vae --precision fp8 --out x", "fp8"),
        ("train vae --device tpu9 --out x", "tpu9"),
        ("train cascade-vae --latent-dim 1 --out x", "--latent-dim 1: "),
        ("train cascade-vae --categories 1 --out x", "--categories 1: "),
        ("train cascade-vae --beta-low 11 --out x", "--beta-low 11.0: "),
        ("train factor-vae --gamma nan --out x", "--gamma nan: "),
        ("train joint-vae --capacity-discrete 2 --out x", "--capacity-discrete 2.0: "),
        ("train beta-tcvae --dataset-size 99 --out x", "--batch-size 2048: "),
        ("train dip-vae-ii --lambda-diagonal -1 --out x", "--lambda-diagonal -1.0: "),
        ("train qlae --codebook-size 1 --out x", "--codebook-size 1: "),
        ("evaluate nowhere", "nowhere: "),
        ("evaluate nowhere --metrics best", "best"),
        ("evaluate nowhere --metrics udr", "udr"),
        ("traverse nowhere", "nowhere: "),
        ("information nowhere", "nowhere: "),
        ("export nowhere --onnx", "nowhere: "),
        ("codes nowhere", "nowhere: "),
        ("compare nowhere x", "nowhere: "),
        ("explore nowhere", "nowhere: "),
        ("explore nowhere --host=", "--host '': is empty; set --host to an address of this mach"),
        ("explore nowhere --host no.invalid", "--host no.invalid: is not a known address; set"),
        ("study run nowhere", "nowhere: "),
        ("study run table1 --ray auto --workers 2", "--workers 2: cannot be combined with --ray"),
        ("study run table1 --rows 11", "--rows 11: unknown row; set --rows to numbers from 1 to"),
        ("study run table1 --rows x", "--rows x: unknown row; set --rows to numbers from 1 to 10"),
        ("study status table1 --only seed=10", "--only seed=10: no run has seed=10; set --only to"),
        ("study status table1 --only x", "--only x: must be a setting and its value; set --only"),
        ("study merge table1 --from nowhere", "nowhere: no such directory; set --from to a study"),
        ("report nowhere", "nowhere: "),
        ("data dsprites --official nowhere.npz", "nowhere.npz: cannot be read"),
        ("data mnist --local-path nowhere", "train-images-idx3-ubyte.gz: no such file"),
        ("data dsprites-scream", "unbraid data dsprites-scream --picture FILE"),
        ("data folder nowhere", "no such folder"),
    ],
)
def test_a_mistake_that_the_library_finds(arguments: str, words: str, run: Command) -> None:
    line = line_of(run, *arguments.split())
    assert line.startswith("unbraid: ")
    assert words in line
    assert "`" not in line


def commands(app: App, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in command_names(app):
        if app[name].default_command is None:
            yield from commands(app[name], (*words, name))
        else:
            yield (*words, name)


COMMANDS = sorted(commands(build()))


def required(words: tuple[str, ...]) -> list[str]:
    """The arguments that a command needs, with values that are right so far."""
    positional = {"data folder": ["x"], "data array": ["x"], "compare": ["x", "y"]}
    positional |= {"completion": ["bash"]}
    flags = {"train": ["--out", "x"], "export": ["--onnx"], "study archive": ["--to", "x"]}
    flags |= {"study merge": ["--from", "x"]}
    name, group = " ".join(words), words[0]
    needs_one = group in ("evaluate", "traverse", "information", "explore", "export", "codes")
    needs_one |= group in ("study", "report")
    return [
        *positional.get(name, ["x"] if needs_one else []),
        *flags.get(name, flags.get(group, [])),
    ]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", "null byte"),
        (" ", "' ': is empty; give a"),
        ("a" * 256, "256 bytes"),
        ("a/" * 2500, "bytes; give a path of"),
    ],
)
def test_no_path_flag_takes_what_is_no_path(
    words: tuple[str, ...], value: str, message: str, run: Command
) -> None:
    app = build()
    command = app
    for word in words:
        command = command[word]
    arguments = command.assemble_argument_collection()
    tested = 0
    for argument in arguments:
        if "Path" not in str(argument.hint) and (
            argument.name.upper() not in ("--DATA", "FILE", "PATH")
        ):
            continue
        tested += 1
        if argument.name.startswith("-"):
            line = line_of(run, *words, *required(words), argument.name, value)
        else:
            needed = required(words)
            position = argument.index or 0
            line = line_of(run, *words, *needed[:position], value, *needed[position + 1 :])
        assert message in line
        assert argument.name.upper() in line.upper()
    expected = words[0] not in ("metrics", "completion")
    expected &= words not in (("data", "dsprites-colour"), ("data", "dsprites-noisy"))
    assert (tested > 0) == expected


@pytest.mark.parametrize("flag", ["--seed", "--steps", "--latent-dim", "--threads"])
@pytest.mark.parametrize("digits", [20, 5_000])
def test_an_integer_with_too_many_digits(flag: str, digits: int, run: Command) -> None:
    line = line_of(run, "train", "vae", "--out", "x", flag, "9" * digits)
    assert f"has {digits:,} digits; give at most 18" in line


@pytest.mark.parametrize(
    "seeds", ["0-99999999999", "9" * 5_000, f"0-{'9' * 5_000}", "0-9999999999"]
)
def test_a_population_that_is_too_large(seeds: str, run: Command) -> None:
    assert "--seeds" in line_of(run, "train", "vae", "--out", "x", "--seeds", seeds)


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "--a\nb", "a\0b"])
def test_what_the_user_typed_does_not_break_the_line(text: str, run: Command) -> None:
    for arguments in ([text], ["train", text], ["evaluate", "x", "--metrics", text]):
        assert line_of(run, *arguments).isprintable()


def test_an_empty_value_is_shown_in_quotes(run: Command) -> None:
    assert line_of(run, "").startswith("unbraid: '': unknown command;")
    assert "--seeds '': must be" in line_of(run, "train", "vae", "--out", "x", "--seeds", "")
    assert "--seed '': must be" in line_of(run, "train", "vae", "--out", "x", "--seed", "")
    assert "--out '': is empty" in line_of(run, "train", "vae", "--out=")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError(errno.ENOSPC, "No space"), 1, "standard output: cannot be written (No space);"),
        (PermissionError(errno.EACCES, "Denied", "a\nb"), 2, "a\\nb: Denied; give a path that"),
        (OSError(errno.EIO, "Broken disk", "a"), 1, "a: Broken disk; give a path that"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (MemoryError(), 1, "memory: this machine has too little for the command; use smaller"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: …"), 1, "memory: this machine"),
    ],
)
def test_an_error_of_the_system_is_one_line(
    error: BaseException, code: int, line: str, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("unbraid.metrics.suite.describe_metrics", fail)
    monkeypatch.setattr("unbraid.cli._discard_output", lambda: None)
    actual, printed, message = run("metrics")
    assert (actual, printed, message.count("\n")) == (code, "", 1)
    assert message.startswith(f"unbraid: {line}")


def test_another_runtime_error_is_not_hidden(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr("unbraid.metrics.suite.describe_metrics", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        run("metrics")


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ("metrics >&-", 0, ""),
        ("metrics >/dev/full", 1, "unbraid: standard output: cannot be written (No space left on"),
        ("metrics | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", None, ""),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full of Linux")
def test_standard_output_that_cannot_be_written(command: str, code: int | None, error: str) -> None:
    script = f"{shlex.quote(sys.executable)} -m unbraid {command}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.startswith(error) if error else ended.stderr == ""
    assert ended.stderr.count("\n") == bool(error)
    assert ended.returncode in ((0, 1) if code is None else (code,))


def test_characters_that_the_output_cannot_encode_are_escaped() -> None:
    command = [sys.executable, "-m", "unbraid", "metrics"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert ended.returncode == 0
    assert b"\\u03b2-VAE" in ended.stdout


def test_arguments_become_flags() -> None:
    flags = {"batch_size": "--batch-size", "steps": "--steps", "run": "RUN"}
    message = "batch_size=0: must be at least 1; set `batch_size` to 1 or more, or call `load`"
    expected = "--batch-size 0: must be at least 1; set --batch-size to 1 or more, or call load"
    assert with_flags(message, flags) == expected
    assert with_flags("`run`: no run; see `steps`", flags) == "RUN: no run; see --steps"
    assert with_flags("gamma=0: rule", flags) == "gamma=0: rule"
    assert with_flags("steps=a: b: rule", flags) == "--steps a: b: rule"
    assert with_flags("one\n  line", flags) == "one line"
    assert with_flags("steps=: rule", flags) == "--steps '': rule"


def test_flags_of_a_command_are_those_that_it_takes() -> None:
    flags = flags_of(build()["train"]["cascade-vae"])
    assert flags["batch_size"] == "--batch-size"
    assert flags["restart_adam"] == "--restart-adam"
    explore = flags_of(build()["explore"])
    assert explore["browser"] == explore["open"] == "--open"
    assert explore["runs"] == explore["run"] == "RUN"
    assert flags_of(build()["train"]) == {}
