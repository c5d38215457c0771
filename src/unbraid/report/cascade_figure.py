"""The cascade figure: how each dimension's information grows as its β falls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.methods import Method


def draw(path: Path, log: list[dict[str, Any]], title: str, method: Method) -> None:
    """KL and β per dimension, and the reconstruction, over steps, from a run's log records.

    Marks where the method opens its discrete code, if it does so within the log and not at once.
    UserError if the log is empty.
    """
    if not log:
        raise UserError(f"{title}: its log is empty; train for at least one step first")
    steps = np.array([record["step"] for record in log])
    kl_sz = np.array([record["kl"] for record in log])
    beta_sz = np.array([record["beta"] for record in log])
    reconstruction_s = np.array([record["reconstruction"] for record in log])
    opened = opening(method, log[-1]["step"])
    figure = Figure(figsize=(8, 7.5), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 1.5], squeeze=False)[:, 0]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, kl_sz.shape[1]))
    for z, colour in enumerate(colours):
        axes[0].plot(steps, kl_sz[:, z], color=colour, label=f"z{z + 1}")
        axes[1].step(steps, beta_sz[:, z], color=colour, where="post")
    axes[2].plot(steps, reconstruction_s, color="black")
    axes[0].set(ylabel="KL per dimension, nats", title=title)
    axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    wide = beta_sz.min() > 0 and beta_sz.max() / beta_sz.min() > 20
    axes[1].set(ylabel="β", yscale="log" if wide else "linear")
    axes[2].set(ylabel="reconstruction, nats", xlabel="step", yscale="log")
    for axis in axes:
        axis.grid(alpha=0.25)
        if opened is not None:
            axis.axvline(opened, color="crimson", linestyle="--", linewidth=1)
    if opened is not None:
        axes[0].annotate(
            "d opens",
            (opened, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -12),
            textcoords="offset points",
            color="crimson",
        )
    with written_atomically(path) as file:
        figure.savefig(file, format="png", dpi=110, bbox_inches="tight")


def opening(method: Method, steps: int) -> int | None:
    """The step of a budget at which the discrete code opens; None if never or from the first."""
    if method.discrete_is_open(0):
        return None
    return next((step for step in range(steps) if method.discrete_is_open(step)), None)
