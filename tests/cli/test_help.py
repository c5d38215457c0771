"""Help: fast to start, plain, complete, with an example that works."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclopts import App
from tests.cli.test_mistakes import COMMANDS

from unbraid.cli.messages import command_names
from unbraid.cli.parser import build
from unbraid.methods import METHODS

Command = Callable[..., tuple[int, str, str]]
HEAVY = {"torch", "numpy", "scipy", "matplotlib", "PIL", "tqdm", "jaxtyping", "jinja2", "h5py"}
HEAVY |= {"tensorboard", "safetensors", "gradio", "ray", "onnx", "pyarrow", "pandas"}
GROUPS = [(), ("train",), ("data",), ("study",)]


def command(words: tuple[str, ...]) -> App:
    app = build()
    for word in words:
        app = app[word]
    return app


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "train --help", "data --help", "study run --help", "evaluate --help"],
)
def test_nothing_heavy_is_imported_for_help(arguments: str) -> None:
    code = (
        "import sys\nfrom unbraid.cli import main\n"
        f"code = main({arguments.split()!r})\nprint('modules', *sys.modules)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.rpartition("modules ")[2].split()
    assert not HEAVY & {*modules}


def test_only_the_chosen_method_is_imported() -> None:
    code = "import sys\nfrom unbraid.cli import main\nmain(['train', 'vae', '--help'])\n"
    code += "print('modules', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.rpartition("modules ")[2].split()
    others = {METHODS[name].__module__ for name in METHODS} - {METHODS["vae"].__module__}
    assert METHODS["vae"].__module__ in modules
    assert not others & {*modules}


@pytest.mark.parametrize("words", [*GROUPS, *COMMANDS], ids=" ".join)
def test_help_is_plain_and_has_an_example(words: tuple[str, ...], run: Command) -> None:
    code, printed, error = run(*words, "--help")
    assert code == 0
    assert error == ""
    lines = printed.splitlines()
    assert lines[0].startswith(f"Usage: {' '.join(['unbraid', *words])}")
    assert not any(mark in printed for mark in ("\x1b", "│", "╭"))
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line.startswith("Example: unbraid ")] == lines[-1:]
    assert lines[-1].startswith(f"Example: {' '.join(['unbraid', *words])}".rstrip())


@pytest.mark.parametrize("words", [*GROUPS, *COMMANDS], ids=" ".join)
def test_an_example_can_be_parsed(words: tuple[str, ...]) -> None:
    example = (command(words).help_epilogue or "").rpartition("Example: unbraid ")[2]
    arguments = shlex.split(example)
    build().parse_args(arguments, print_error=False, exit_on_error=False)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_flag_has_a_help_text(words: tuple[str, ...]) -> None:
    app = command(words)
    assert app.help
    for argument in app.assemble_argument_collection(parse_docstring=True):
        text = argument.parameter.help
        if argument.show:
            assert text, argument.name
            assert text[0].isupper() or not text[0].isascii(), argument.name


def test_every_command_of_a_group_is_listed_with_a_summary(run: Command) -> None:
    for words in GROUPS:
        lines = run(*words, "--help")[1].splitlines()
        listed = dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)
        for name in command_names(command(words)):
            assert listed[name]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_completion_is_printed(shell: str, run: Command) -> None:
    code, script, _ = run("completion", shell)
    assert code == 0
    for word in ("unbraid", "evaluate", "cascade-vae", "warmup-stages", "mnist", "table"):
        assert word in script


def test_bash_completes_commands_methods_and_flags(run: Command, tmp_path: Path) -> None:
    (tmp_path / "unbraid.bash").write_text(run("completion", "bash")[1])

    def completions(line: str) -> set[str]:
        script = (
            f"source unbraid.bash; COMP_WORDS=({line} ''); COMP_CWORD={len(line.split())}\n"
            if line.endswith(" ")
            else f"source unbraid.bash; COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}\n"
        )
        script += "_unbraid; printf '%s\\n' \"${COMPREPLY[@]}\""
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    assert {"evaluate", "explore", "export"} <= completions("unbraid e")
    assert completions("unbraid train cascade") == {"cascade-vae", "cascade-vae-c"}
    assert {"--repeats", "--metrics"} <= completions("unbraid evaluate x --")
    assert completions("unbraid codes x --format p") == {"parquet"}


def test_completion_is_installed_in_the_home_directory(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    code, printed, _ = run("completion", "bash", "--install")
    assert code == 0
    (script,) = (tmp_path / ".local").rglob("unbraid")
    assert printed.startswith(f"written to {script}")
    assert str(script) in (tmp_path / ".bashrc").read_text()


def test_a_closed_pipe_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "unbraid", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.stderr == b""
