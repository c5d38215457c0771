"""Errors of `unbraid explore`: one line, before anything is encoded."""

import sys

import pytest

from unbraid import cli
from unbraid.runs import Run


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["explore", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_without_gradio_the_error_names_the_extra(
    tiny_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "unbraid.explore.app", raising=False)
    error = error_of(capsys, str(tiny_run.path))
    assert error.endswith(
        "explore: requires Gradio; install it with pip install 'unbraid[explore]'\n"
    )


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_out_of_range_is_an_error(
    port: str, tiny_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(capsys, str(tiny_run.path), "--port", port)
    assert f"{port}: must be between 1 and 65535; set" in error
    assert error.count("\n") == 1
