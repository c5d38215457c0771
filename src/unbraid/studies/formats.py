"""A study's table as text, Markdown, LaTeX, CSV or Parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.studies.rendered_tables import RenderedTable, notes, records, rendered_tables
from unbraid.studies.store import Store
from unbraid.studies.study import Study
from unbraid.studies.table import RowResult, measure

FORMATS = ("text", "md", "latex", "csv", "parquet")
LATEX = {
    **{character: "\\" + character for character in "&%_#${}"},
    "β": r"$\beta$",
    "†": r"$^\dagger$",
    "—": "---",
    "−": "$-$",
    "`": "",
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}


def table(study: Study, store: Store, form: str = "text", to: Path | None = None) -> str:
    """The table in one of `FORMATS`, written to a file if one is given.

    text, md and latex hold the statistics, csv and parquet one record a run. UserError for Parquet
    without a file to write to or without pyarrow.
    """
    lines = measure(study, store)
    if form == "parquet":
        return _parquet(study, lines, to)
    write = {"text": _text, "md": _markdown, "latex": _latex, "csv": _csv}[form]
    text = write(study, lines)
    if to is None:
        return text
    with written_atomically(to) as file:
        file.write(text.encode())
    return f"written to {to}\n"


def _text(study: Study, lines: list[RowResult]) -> str:
    blocks = [study.title]
    for table in rendered_tables(study, lines):
        rows = [table.heads, *table.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(table.heads))]
        set_rows = [
            "  ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in _rest(row, widths)])
            for row in rows
        ]
        blocks.append("\n".join([table.caption, *set_rows]))
    return "\n\n".join([*blocks, "\n".join(notes(study, lines))]).rstrip() + "\n"


def _rest(row: tuple[str, ...], widths: list[int]) -> list[tuple[str, int]]:
    return list(zip(row[1:], widths[1:], strict=True))


def _markdown(study: Study, lines: list[RowResult]) -> str:
    blocks = [f"**{study.title}**"]
    for table in rendered_tables(study, lines):
        rows = [table.heads, ("---", *["---:"] * (len(table.heads) - 1)), *table.rows]
        blocks.append(table.caption + ":")
        cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
        blocks.append("\n".join(f"| {' | '.join(row)} |" for row in cells))
    blocks.append("\n".join(f"- {note}" for note in notes(study, lines)))
    return "\n\n".join(blocks).rstrip() + "\n"


def _latex(study: Study, lines: list[RowResult]) -> str:
    blocks = [_tabular(table) for table in rendered_tables(study, lines)]
    below = [rf"{{\footnotesize\noindent {_escaped(note)}\par}}" for note in notes(study, lines)]
    return "\n\n".join([f"% {study.title}", *blocks, "\n".join(below)]).rstrip() + "\n"


def _tabular(table: RenderedTable) -> str:
    def row(cells: tuple[str, ...]) -> str:
        return " & ".join(_escaped(cell) for cell in cells) + r" \\"

    body = [row(table.heads), r"\hline", *[row(cells) for cells in table.rows]]
    columns = "l" + "r" * (len(table.heads) - 1)
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(table.caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            *body,
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _csv(study: Study, lines: list[RowResult]) -> str:
    rows = records(study, lines)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _parquet(study: Study, lines: list[RowResult], to: Path | None) -> str:
    if to is None:
        raise UserError("format parquet: it is no text to print; give --to FILE")
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "format parquet: it needs pyarrow; install it with pip install 'unbraid[parquet]', or"
            " give --format csv"
        ) from error
    with written_atomically(to) as file:
        parquet.write_table(pyarrow.Table.from_pylist(records(study, lines)), file)
    return f"written to {to}\n"
