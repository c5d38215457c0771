"""Figure of the cascade: each dimension's KL grows when the weight β of its KL falls.

`draw` writes it as PNG for a run directory, `chart` returns its first panel as SVG for a page.
Index letters: `s` log records, `z` continuous dimensions.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from unbraid.errors import UserError
from unbraid.methods import Method
from unbraid.report import charts
from unbraid.report.style import dimension_colours, save_png

# Records of `Run.read_log`, or those of their fields that a function needs.
Log = Sequence[Mapping[str, Any]]


class Openings(NamedTuple):
    """Steps at which a run opens parts of its code.

    Parameters
    ----------
    dimensions : list of int
        Steps of the log records at which a β begins to change.
    discrete : int or None
        Step at which the discrete code opens; None if it is open from the start or never opens.
    """

    dimensions: list[int]
    discrete: int | None


def openings(log: Log, method: Method) -> Openings:
    """Find the steps at which dimensions and the discrete code open.

    Parameters
    ----------
    log : sequence of mappings
        Log records of the run, which have the β of every dimension.
    method : Method
        Method of the run, which has the step at which the discrete code opens.

    Returns
    -------
    Openings
        A β that falls over several records counts once, at the first of them.

    Examples
    --------
    >>> from unbraid.methods import find
    >>> method = find("cascade-vae")(latent_dim=2, stage_steps=100, warmup_stages=1)
    >>> log = [{"step": s, "beta": method.betas(s - 1)} for s in (100, 200, 300)]
    >>> openings(log, method)
    Openings(dimensions=[300], discrete=100)
    """
    changed = [False, *[b["beta"] != a["beta"] for a, b in itertools.pairwise(log)]]
    pairs = zip(log[1:], itertools.pairwise(changed), strict=True)
    dimensions = [record["step"] for record, (before, now) in pairs if now and not before]
    if not log or method.discrete_is_open(0):
        return Openings(dimensions, None)
    steps = range(log[-1]["step"])
    return Openings(dimensions, next((s for s in steps if method.discrete_is_open(s)), None))


def draw(path: Path, log: Log, title: str, method: Method) -> None:
    """Plot KL and β of every dimension, and the reconstruction term, against the steps.

    A dashed line marks the step at which the discrete code opens.

    Parameters
    ----------
    path : Path
        PNG file to write.
    log : sequence of mappings
        Log records of the run, with losses in nats per image.
    title : str
        Title of the figure.
    method : Method
        Method of the run.

    Raises
    ------
    UserError or StorageError
        If the log is empty or the file cannot be written.
    """
    if not log:
        raise UserError(f"{title}: the log is empty; train for at least one step first")
    steps = np.array([record["step"] for record in log])
    kl_sz = np.array([record["kl"] for record in log])
    beta_sz = np.array([record["beta"] for record in log])
    reconstruction_s = np.array([record["reconstruction"] for record in log])
    discrete_step = openings(log, method).discrete
    figure = Figure(figsize=(8, 7.5), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 1.5], squeeze=False)[:, 0]
    for z, colour in enumerate(dimension_colours(kl_sz.shape[1])):
        axes[0].plot(steps, kl_sz[:, z], color=colour, label=f"z{z + 1}")
        axes[1].step(steps, beta_sz[:, z], color=colour, where="post")
    axes[2].plot(steps, reconstruction_s, color="black")
    axes[0].set(ylabel="KL per dimension, nats", title=title)
    axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    wide_range = beta_sz.min() > 0 and beta_sz.max() / beta_sz.min() > 20
    axes[1].set(ylabel="β", yscale="log" if wide_range else "linear")
    axes[2].set(ylabel="reconstruction, nats", xlabel="step", yscale="log")
    for axis in axes:
        axis.grid(alpha=0.25)
        if discrete_step is not None:
            axis.axvline(discrete_step, color="crimson", linestyle="--", linewidth=1)
    if discrete_step is not None:
        axes[0].annotate(
            "d opens",
            (discrete_step, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -12),
            textcoords="offset points",
            color="crimson",
        )
    save_png(path, figure, tight=True)


def chart(log: Log, method: Method) -> Markup:
    """Plot the KL of every dimension against the steps as inline SVG.

    Dashed lines mark the steps at which dimensions open.

    Parameters
    ----------
    log : sequence of mappings
        Log records of the run.
    method : Method
        Method of the run.

    Returns
    -------
    Markup
        An SVG element, empty if the log is.
    """
    if not log:
        return Markup("")
    dimensions = len(log[0]["kl"])
    series = [
        charts.Series(
            charts.subsample([(record["step"], record["kl"][z]) for record in log]),
            f"z{z + 1}",
            "thick",
            round(250 - 200 * z / max(1, dimensions - 1)),
        )
        for z in range(dimensions)
    ]
    return charts.line_chart(series, "KL, nats", marks=openings(log, method).dimensions)
