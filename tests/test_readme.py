"""What the README and the docs show is run as it stands."""

import re
from pathlib import Path

import pytest

from unbraid.data.images import ImageTable

ROOT = Path(__file__).parent.parent
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_python_block_runs(block: str, table: ImageTable) -> None:
    exec(compile(block, "block", "exec"), {})


def test_every_command_shown_is_one() -> None:
    from unbraid.cli import _parser

    readme = (ROOT / "README.md").read_text()
    pages = [readme, *[page.read_text() for page in (ROOT / "docs").glob("*.md")]]
    commands = "data|train|evaluate|traverse|information|compare|explore|metrics|study|report"
    shown = re.findall(rf"^unbraid ((?:{commands}).*?)(?:\s+#.*)?$", "\n".join(pages), re.M)
    assert len(shown) >= 6
    for line in shown:
        assert _parser().parse_args(line.split()).command
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)", readme):
        assert f"\n{target}:" in makefile


def test_the_results_table_is_that_of_the_committed_scores() -> None:
    from benchmarks.quick import table

    committed = table(ROOT / "results" / "quick")
    assert committed.count("\n| ") >= 4
    assert (ROOT / "results" / "quick" / "table.md").read_text() == committed
    assert committed in (ROOT / "README.md").read_text()
