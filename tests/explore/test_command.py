"""`unbraid explore` where it cannot go on: one line, before anything is encoded."""

import sys

import pytest

from unbraid import cli
from unbraid.runs import Run


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["explore", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_without_gradio_the_extra_is_named(
    tiny_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "unbraid.explore.app", raising=False)
    told = refused(capsys, str(tiny_run.path))
    assert told.endswith(
        "unbraid: explore: the page needs Gradio; install it with pip install 'unbraid[explore]'\n"
    )


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_that_is_none_is_refused(
    port: str, tiny_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, str(tiny_run.path), "--port", port)
    assert told == (
        f"unbraid: port={port}: a port is 1 to 65535; give --port in there, or leave it out\n"
    )
