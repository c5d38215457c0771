"""Figure of the cascade's claim: information in the first i dimensions at the end of each stage.

Index letters: `s` stages, `z` continuous dimensions, `y` all dimensions but the first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from unbraid.errors import ArgumentError
from unbraid.evaluation.information_report import InformationReport
from unbraid.report.style import dimension_colours, save_png


def summands(
    prefix_sz: Float[np.ndarray, "s z"], single_sz: Float[np.ndarray, "s z"]
) -> Float[np.ndarray, "s y"]:
    """Compute I(z_{1:i−1}; z_i) for i = 2 … m at every stage.

    I(x; z_{1:i}) = I(x; z_{1:i−1}) + I(x; z_i) − I(z_{1:i−1}; z_i) for posteriors whose dimensions
    are independent. The sum over i is TC(z).

    Parameters
    ----------
    prefix_sz : array of shape (s, z)
        I(x; z_{1:i}) in nats.
    single_sz : array of shape (s, z)
        I(x; z_i) in nats.

    Returns
    -------
    array of shape (s, z − 1)
        I(z_{1:i−1}; z_i) in nats.

    References
    ----------
    Jeong & Song, "Learning Discrete and Continuous Factors of Data via Alternating
    Disentanglement", ICML 2019, Proposition 2.

    Examples
    --------
    >>> import numpy as np
    >>> summands(np.array([[2.0, 4.0]]), np.array([[2.0, 3.0]])).tolist()
    [[1.0]]
    """
    return prefix_sz[:, :-1] + single_sz[:, 1:] - prefix_sz[:, 1:]


def draw(path: Path, report: InformationReport, title: str) -> None:
    """Plot I(x; z_{1:i}) and the summands of TC(z) against the stages.

    Parameters
    ----------
    path : Path
        PNG file to write.
    report : InformationReport
        Result of `evaluation.information.measure` with `stages=True`.
    title : str
        Title of the figure.

    Raises
    ------
    ArgumentError
        If the report has no stages.
    UserError or StorageError
        If the file cannot be written.
    """
    stages = report.stages
    if not stages:
        raise ArgumentError(
            "report", "no stages", "must have stages", "measure it with `stages=True`"
        )
    prefix_sz = np.array([stage.information_of_prefix for stage in stages])
    single_sz = np.array([stage.information_by_dimension for stage in stages])
    position_s, m = np.arange(len(stages)), prefix_sz.shape[1]
    figure = Figure(figsize=(2.5 + 1.1 * len(stages), 6.5), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1], squeeze=False)[:, 0]
    colours = dimension_colours(m)
    for z, colour in enumerate(colours):
        label = "z1" if z == 0 else f"z1 … z{z + 1}"
        axes[0].plot(position_s, prefix_sz[:, z], "o-", color=colour, label=label)
    for z, shared_s in enumerate(summands(prefix_sz, single_sz).T, 1):
        axes[1].plot(position_s, shared_s, "o-", color=colours[z], label=f"i = {z + 1}")
    bound = float(np.log(report.images))
    axes[0].axhline(bound, color="black", linestyle=":", linewidth=1)
    axes[0].annotate(f"ln {report.images:,}", (0, bound), fontsize=8, va="bottom")
    axes[0].set(ylabel="I(x; z_1 … z_i), nats", title=title)
    axes[1].set(
        ylabel="I(z_1 … z_i−1; z_i), nats", xlabel="last step of the stage, open dimensions"
    )
    axes[1].set_xticks(position_s, [f"{stage.step:,}\n{stage.open}" for stage in stages])
    for axis in axes:
        axis.grid(alpha=0.25)
        if axis.lines and m > 1:
            axis.legend(fontsize=8, loc="lower right" if axis is axes[0] else "upper left")
    save_png(path, figure)
