"""The cascade's claim as a figure: what the first i dimensions hold of images, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from unbraid.files import written_atomically


def summands(
    prefix_sz: Float[np.ndarray, "s z"], single_sz: Float[np.ndarray, "s z"]
) -> Float[np.ndarray, "s y"]:
    """I(z_{1:i−1}; z_i) for i = 2 … m of every stage, nats, from I(x; z_{1:i}) and I(x; z_i).

    Proposition 2: I(x; z_{1:i}) = I(x; z_{1:i−1}) + I(x; z_i) − I(z_{1:i−1}; z_i), for posteriors
    whose dimensions are independent. Over i they sum to TC(z).
    """
    return prefix_sz[:, :-1] + single_sz[:, 1:] - prefix_sz[:, 1:]


def draw(path: Path, outcome: dict[str, Any], title: str) -> None:
    """I(x; z_{1:i}) and the summands of TC(z) by stage, of what `information.measure` found."""
    stages = outcome["stages"]
    prefix_sz = np.array([stage["information_of_prefix"] for stage in stages])
    single_sz = np.array([stage["information_by_dimension"] for stage in stages])
    place, m = np.arange(len(stages)), prefix_sz.shape[1]
    figure = Figure(figsize=(2.5 + 1.1 * len(stages), 6.5), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1], squeeze=False)[:, 0]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, m))
    for z, colour in enumerate(colours):
        label = "z1" if z == 0 else f"z1 … z{z + 1}"
        axes[0].plot(place, prefix_sz[:, z], "o-", color=colour, label=label)
    for z, shared_s in enumerate(summands(prefix_sz, single_sz).T, 1):
        axes[1].plot(place, shared_s, "o-", color=colours[z], label=f"i = {z + 1}")
    most = float(np.log(outcome["images"]))
    axes[0].axhline(most, color="black", linestyle=":", linewidth=1)
    axes[0].annotate(f"ln {outcome['images']:,}", (0, most), fontsize=8, va="bottom")
    axes[0].set(ylabel="I(x; z_1 … z_i), nats", title=title)
    axes[1].set(
        ylabel="I(z_1 … z_i−1; z_i), nats", xlabel="end of the stage: step, and what is open"
    )
    axes[1].set_xticks(place, [f"{stage['step']:,}\n{stage['open']}" for stage in stages])
    for axis in axes:
        axis.grid(alpha=0.25)
        if axis.lines and m > 1:
            axis.legend(fontsize=8, loc="lower right" if axis is axes[0] else "upper left")
    with written_atomically(path) as file:
        figure.savefig(file, format="png", dpi=110)
