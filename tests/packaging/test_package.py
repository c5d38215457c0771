"""The wheel: its files, and a demo of 50 steps in an environment where only it is installed."""

import subprocess
import sys
from pathlib import Path

import pytest
from tools import package

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel and the sdist."""
    return package.build(tmp_path_factory.mktemp("dist"), isolated=False)


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package(packages: list[Path]) -> None:
    files = package.files_of_wheel(packages[0])
    assert files == package.files_of_sources()
    assert {"unbraid/py.typed", "unbraid/studies/definitions/table1.toml"} <= files
    assert {"unbraid/report/page.html.jinja", "unbraid/explore/style.css"} <= files


@pytest.mark.slow
def test_the_demo_works_where_only_the_wheel_is_installed(
    packages: list[Path], tmp_path: Path
) -> None:
    commands = package.install(packages[0], tmp_path / "environment", reuse=True)
    (tmp_path / "demo").mkdir()
    package.run_demo(commands, tmp_path / "demo")


@pytest.mark.slow
@pytest.mark.parametrize("system", ["Windows", "Darwin"])
def test_types_of_another_system(system: str) -> None:
    """pyright reports functions and modules that Python lacks on this system."""
    command = [sys.executable, "-m", "pyright", "--pythonplatform", system, "src"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout
