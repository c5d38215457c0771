"""The table of a study as text, Markdown, LaTeX, CSV or Parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from unbraid.errors import ArgumentError, UserError
from unbraid.files import written_atomically
from unbraid.studies.rendered_tables import (
    RenderedTable,
    rendered_tables,
    run_records,
    table_notes,
)
from unbraid.studies.store import Store
from unbraid.studies.study import Study
from unbraid.studies.table import RowResult, measure

LATEX = {
    **{character: "\\" + character for character in "&%_#${}"},
    "β": r"$\beta$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "—": "---",
    "−": "$-$",
    "`": "",
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}


def table(study: Study, store: Store, format: str = "text", to: Path | None = None) -> str:  # noqa: A002
    """Return the table of a study, or write it to a file.

    Parameters
    ----------
    study : Study
        The study.
    store : Store
        Directory of its runs.
    format : str, default "text"
        One of `FORMATS`: text, md and latex have statistics, csv and parquet one record per run.
    to : Path, optional
        File to write. Required for parquet.

    Returns
    -------
    str
        The table, or a message if it was written to a file.

    Raises
    ------
    UserError
        If the file cannot be written, if it is missing for parquet, or pyarrow is not installed.
    """
    if format not in FORMATS:
        raise ArgumentError(
            "format", format, "unknown format", f"choose one of {', '.join(FORMATS)}"
        )
    results = measure(study, store)
    if format == "parquet":
        content = _parquet(study, results, to)
    else:
        text = WRITERS[format](study, results)
        if to is None:
            return text
        content = text.encode()
    assert to is not None
    with written_atomically(to) as file:
        file.write(content)
    return f"written to {to}\n"


def _text(study: Study, results: list[RowResult]) -> str:
    blocks = [study.title]
    for table in rendered_tables(study, results):
        rows = [table.headers, *table.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(table.headers))]
        lines = ["  ".join(_aligned(row, widths)) for row in rows]
        blocks.append("\n".join([table.caption, *lines]))
    return "\n\n".join([*blocks, "\n".join(table_notes(study, results))]).rstrip() + "\n"


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    cells = zip(row[1:], widths[1:], strict=True)
    return [row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in cells]]


def _markdown(study: Study, results: list[RowResult]) -> str:
    blocks = [f"**{study.title}**"]
    for table in rendered_tables(study, results):
        rows = [table.headers, ("---", *["---:"] * (len(table.headers) - 1)), *table.rows]
        blocks.append(table.caption + ":")
        cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
        blocks.append("\n".join(f"| {' | '.join(row)} |" for row in cells))
    blocks.append("\n".join(f"- {note}" for note in table_notes(study, results)))
    return "\n\n".join(blocks).rstrip() + "\n"


def _latex(study: Study, results: list[RowResult]) -> str:
    blocks = [_tabular(table) for table in rendered_tables(study, results)]
    notes = [
        rf"{{\footnotesize\noindent {_escaped(note)}\par}}" for note in table_notes(study, results)
    ]
    return "\n\n".join([f"% {study.title}", *blocks, "\n".join(notes)]).rstrip() + "\n"


def _tabular(table: RenderedTable) -> str:
    def row(cells: tuple[str, ...]) -> str:
        return " & ".join(_escaped(cell) for cell in cells) + r" \\"

    columns = "l" + "r" * (len(table.headers) - 1)
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(table.caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            row(table.headers),
            r"\hline",
            *[row(cells) for cells in table.rows],
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _csv(study: Study, results: list[RowResult]) -> str:
    records = run_records(study, results)
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _parquet(study: Study, results: list[RowResult], to: Path | None) -> bytes:
    if to is None:
        raise UserError("format=parquet: a binary format cannot be printed; set `to` to a file")
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "format=parquet: requires pyarrow; install it with pip install 'unbraid[parquet]', or"
            " set `format` to csv"
        ) from error
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(run_records(study, results)), file)
    return file.getvalue()


WRITERS = {"text": _text, "md": _markdown, "latex": _latex, "csv": _csv}
FORMATS = (*WRITERS, "parquet")
