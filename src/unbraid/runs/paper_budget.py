"""Budgets below those of the papers, and how results from them are labelled."""

from __future__ import annotations

from unbraid.methods import Method

# The label of results from a budget below the paper's, wherever they are shown.
NOT_COMPARABLE = "not comparable with the paper"
QUICK = f"quick: {NOT_COMPARABLE}"


def paper_steps(method: type[Method]) -> int | None:
    """Return the number of steps of a method's preset `paper`.

    Parameters
    ----------
    method : type of Method
        Class of the method.

    Returns
    -------
    int or None
        Number of steps; None if the method has no such preset.
    """
    preset = method.PRESETS.get("paper")
    return None if preset is None else preset.steps


def is_quick(method: type[Method], preset: str, steps: int) -> bool:
    """Return whether a budget is below that of the method's paper.

    Parameters
    ----------
    method : type of Method
        Class of the method.
    preset : str
        Name of the preset that the hyperparameters are from.
    steps : int
        Number of training steps.

    Returns
    -------
    bool
        True if the preset is not one of a paper, or has more steps than these. False if no paper
        published the method.

    Examples
    --------
    >>> from unbraid.methods import find
    >>> cascade_vae = find("cascade-vae")
    >>> is_quick(cascade_vae, "quick", 8_500), is_quick(cascade_vae, "paper", 300_000)
    (True, False)
    """
    if paper_steps(method) is None:
        return False
    return not preset.startswith("paper") or steps < method.PRESETS[preset].steps


def share_of_paper(method: type[Method], steps: int) -> str:
    """Return which part of its paper's budget a run has, as text.

    Parameters
    ----------
    method : type of Method
        Class of the method.
    steps : int
        Number of training steps.

    Returns
    -------
    str
        Text such as "8,500 of 300,000 steps of the paper's budget"; empty if the budget is not
        below the paper's, or if no paper published the method.

    Examples
    --------
    >>> from unbraid.methods import find
    >>> share_of_paper(find("cascade-vae"), 8_500)
    "8,500 of 300,000 steps of the paper's budget"
    """
    total = paper_steps(method)
    if total is None or steps >= total:
        return ""
    return f"{steps:,} of {total:,} steps of the paper's budget"
