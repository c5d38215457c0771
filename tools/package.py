"""Build the wheel and the sdist, install each in an empty environment, and run a demo there.

`make package` runs it. Each environment gets its own PyTorch, so that an undeclared dependency is
found. With --reuse the wheel is installed where the packages of this environment are visible, which
needs no network.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Everything that the package is built from.
BUILT_FROM = ("pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "CITATION.cff")
BUILT_FROM += ("LICENSE", "src")
NOT_PACKAGED = ("__pycache__", "*.egg-info")
RUN, STEPS, IMAGES = "runs/demo", "50", "500"
DEMO = (
    "--version",
    "data dsprites",
    "study status table1-quick --out runs/none",
    f"train chart-vae --data dsprites-corner --steps {STEPS} --beta-anneal-steps 10"
    f" --survey-step 20 --threads 1 --out {RUN}",
    f"evaluate {RUN} --images {IMAGES} --metrics mig,factor-vae",
    f"traverse {RUN} --columns 3",
)
WRITTEN = ("checkpoint.safetensors", "config.toml", "traversal.png")


def build(out: Path, *, isolated: bool = True) -> list[Path]:
    """Build the sdist and, from it, the wheel; return both.

    They are built from a copy, because setuptools also packages what an earlier build left.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "unbraid"
        copy.mkdir()
        for name in BUILT_FROM:
            if (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns(*NOT_PACKAGED)
                shutil.copytree(ROOT / name, copy / name, ignore=ignore)
            else:
                shutil.copy(ROOT / name, copy / name)
        options = [] if isolated else ["--no-isolation"]
        run([sys.executable, "-m", "build", *options, "--outdir", str(out), str(copy)], ROOT)
    packages = sorted(out.iterdir())
    assert [p.suffix for p in packages] == [".whl", ".gz"], packages
    return packages


def files_of_sources() -> set[str]:
    """Return all files of the package in the repository."""
    files = {path for path in (ROOT / "src" / "unbraid").rglob("*") if path.is_file()}
    return {
        path.relative_to(ROOT / "src").as_posix()
        for path in files
        if "__pycache__" not in path.parts
    }


def files_of_wheel(wheel: Path) -> set[str]:
    """Return the files of the package in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def install(package: Path, environment: Path, *, reuse: bool) -> Path:
    """Create an environment, install the package, and return the folder of its commands.

    With `reuse` the package is a wheel, and its dependencies are those of this environment.
    """
    builder = venv.EnvBuilder(with_pip=True)
    builder.create(environment)
    context = builder.ensure_directories(environment)
    pip = [context.env_exe, "-m", "pip", "install", "--quiet"]
    if reuse:
        paths = {"base": str(environment), "platbase": str(environment)}
        site_packages = Path(sysconfig.get_path("purelib", "venv", paths))
        # Python reads no .pth file of a folder that is added by one, so an editable installation of
        # unbraid there stays hidden.
        others = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
        (site_packages / "others.pth").write_text("\n".join(sorted(others)), encoding="utf-8")
        pip += ["--no-deps", "--no-index"]
    run([*pip, str(package)], environment)
    code = "import pathlib, unbraid; print(pathlib.Path(unbraid.__file__).resolve())"
    imported = run([context.env_exe, "-c", code], environment)
    assert Path(imported.strip()).is_relative_to(environment.resolve()), imported
    return Path(context.bin_path)


def run_demo(commands: Path, folder: Path) -> None:
    """Train, evaluate and draw a small run in a folder outside the repository."""
    for line in DEMO:
        print(run([str(commands / "unbraid"), *line.split()], folder), end="", flush=True)
    for name in WRITTEN:
        assert (folder / RUN / name).stat().st_size > 0, name
    log = (folder / RUN / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(log[-1])["step"] == int(STEPS), log[-1]
    evaluation = json.loads((folder / RUN / f"scores-{IMAGES}.json").read_text(encoding="utf-8"))
    scores = [row["score"] for row in evaluation["scores"]]
    assert scores, evaluation
    assert all(math.isfinite(score) for score in scores), scores


def run(command: list[str], folder: Path) -> str:
    """Run a command without this process's Python settings; return its output."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UNBRAID_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"UNBRAID_CACHE": str(folder / "cache"), "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Check the wheel and the sdist."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--reuse", action="store_true", help="use the packages of this environment")
    reuse = parser.parse_args().reuse
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packages = build(folder / "dist", isolated=not reuse)
        difference = files_of_sources() ^ files_of_wheel(packages[0])
        assert not difference, f"in the sources or in the wheel only: {sorted(difference)}"
        for package in packages[:1] if reuse else packages:
            began = time.monotonic()
            print(f"{package.name}: installing it in an empty environment", flush=True)
            environment = folder / "environment"
            commands = install(package, environment, reuse=reuse)
            demo = folder / "demo"
            demo.mkdir()
            run_demo(commands, demo)
            print(f"{package.name}: works ({time.monotonic() - began:.0f} s)", flush=True)
            for used in (environment, demo):
                shutil.rmtree(used)


if __name__ == "__main__":
    main()
