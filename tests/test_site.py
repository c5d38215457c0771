"""The documentation site: built without warnings, complete, and usable without a network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from unbraid.cli.messages import command_names
from unbraid.cli.parser import build
from unbraid.methods import METHODS
from unbraid.metrics import METRICS

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; every warning is an error."""
    to = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run([*command, "docs", str(to)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return to


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    for page in site.rglob("*.html"):
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
        assert not [tag for tag in tags if re.search(r"(?:src|href)=\"(?:https?:)?//", tag)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", style.read_text()), style


def test_formulas_are_mathml(site: Path) -> None:
    lecture = (site / "lecture.html").read_text()
    assert lecture.count("<math") > 25
    assert "$" not in re.sub(r"<pre.*?</pre>|<script.*?</script>", "", lecture, flags=re.DOTALL)


def test_the_site_documents_every_command_method_and_metric(site: Path) -> None:
    page = (site / "cli.html").read_text()
    for command in command_names(build()):
        assert f'id="unbraid-{command}' in page, command
    for method in METHODS.values():
        assert f'id="unbraid-train-{method.name}"' in page
    reference = "".join(file.read_text() for file in (site / "api").glob("*.html"))
    for method in METHODS.values():
        assert f'id="{method.__module__}.{method.__name__}"' in reference
    for metric in METRICS.values():
        assert f'id="{metric.__name__}.score"' in reference
