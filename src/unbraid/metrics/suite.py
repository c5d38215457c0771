"""Score codes by several metrics under all their protocols; every score becomes one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Shaped

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import METRICS, uncertainty
from unbraid.metrics.protocols import format_fields
from unbraid.metrics.score_row import ScoreRow

# Metrics scored by default: they take seconds on any dataset.
DEFAULT_METRICS = ("factor-vae", "classification")


class MetricSpec(NamedTuple):
    """A metric under one of its protocols.

    Parameters
    ----------
    metric : str
        Name of the metric, a key of `METRICS`.
    protocol : str
        Name of the protocol.

    Examples
    --------
    >>> spec = MetricSpec("factor-vae", "kim2018")
    >>> spec.title, spec.parts
    ('FactorVAE score', ())
    """

    metric: str
    protocol: str

    @property
    def title(self) -> str:
        """Title of the metric in tables."""
        return METRICS[self.metric].TITLE.removeprefix("the ")

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the scores of a metric that returns several, such as DCI; otherwise empty."""
        return getattr(METRICS[self.metric], "SCORE_NAMES", ())

    def part_title(self, part: str) -> str:
        """Return the title of one of several scores.

        Parameters
        ----------
        part : str
            One of `parts`.

        Returns
        -------
        str
            For example "DCI: completeness".
        """
        return f"{self.title}: {part.replace('_', ' ')}"


def parse_names(names: str | None) -> list[str]:
    """Parse a list of metrics.

    Parameters
    ----------
    names : str or None
        "all", or names separated by commas; None for `DEFAULT_METRICS`.

    Returns
    -------
    list of str
        Names of metrics, without duplicates.

    Raises
    ------
    ArgumentError
        If a name is unknown, or is "udr", which needs a population.

    Examples
    --------
    >>> parse_names("mig, beta_vae, mig")
    ['mig', 'beta-vae']
    """
    single_run_metrics = [name for name in METRICS if name != "udr"]
    if names is None:
        return list(DEFAULT_METRICS)
    if names == "all":
        return single_run_metrics
    requested = [name.strip().replace("_", "-") for name in names.split(",")]
    for name in requested:
        if name == "udr":
            raise ArgumentError(
                "metrics",
                name,
                "UDR compares the members of a population, not one run",
                "call unbraid.metrics.udr.score with the codes of several runs",
            )
        if name not in single_run_metrics:
            known = ", ".join(single_run_metrics)
            raise ArgumentError(
                "metrics",
                name or "''",
                "unknown metric",
                f"set `metrics` to all or to some of {known}",
            )
    return list(dict.fromkeys(requested))


def metric_specs(names: Sequence[str], *, discrete: bool) -> list[MetricSpec]:
    """List every protocol of some metrics.

    Parameters
    ----------
    names : sequence of str
        Names of metrics.
    discrete : bool
        Whether the codes have a discrete code; without one, classification is left out.

    Returns
    -------
    list of MetricSpec
        Metrics in the given order, each under all its protocols.

    Examples
    --------
    >>> [spec.protocol for spec in metric_specs(["sap", "classification"], discrete=False)]
    ['locatello2019', 'kumar2018']
    """
    return [
        MetricSpec(name, protocol)
        for name in names
        for protocol in METRICS[name].PROTOCOLS
        if discrete or name != "classification"
    ]


def min_factors(metric: str) -> int:
    """Return the number of varying factors that a metric needs.

    Parameters
    ----------
    metric : str
        Name of the metric.

    Returns
    -------
    int
        0 if it needs no labels, 2 if it always is 1 for a single factor, otherwise 1.

    Examples
    --------
    >>> min_factors("unsupervised"), min_factors("mig"), min_factors("dci")
    (0, 1, 2)
    """
    return getattr(METRICS[metric], "MIN_FACTORS", 1)


def unsupported_reason(
    metric: str, factors: Shaped[np.ndarray, "..."], label: str | None, data: str
) -> str | None:
    """Explain why a metric cannot be computed with these factors.

    Parameters
    ----------
    metric : str
        Name of the metric.
    factors : array of shape (n, f)
        Factor values; f = 0 for a dataset without labels.
    label : str or None
        Name of the factor that a discrete code is compared with.
    data : str
        Name of the dataset, for the message.

    Returns
    -------
    str or None
        One line, `data: reason; remedy`; None if the labels allow the metric.
    """
    needed = min_factors(metric)
    if needed == 0:
        return None
    if not factors.shape[1]:
        return f"{data}: no labels, which this metric needs; choose the metric unsupervised"
    if metric == "classification" and label is None:
        return f"{data}: no factor is marked as the class of an image; add an array named label"
    varying = int((factors.min(axis=0) != factors.max(axis=0)).sum())
    if varying < needed and needed > 1:
        return (
            f"{data}: the number of factors that vary is {varying}, and this metric needs {needed};"
            " use data in which more factors vary"
        )
    return None


def score_rows(
    spec: MetricSpec,
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    *,
    seed: int = 0,
    repeats: int = 1,
) -> list[ScoreRow]:
    """Compute the scores of a metric under a protocol.

    Parameters
    ----------
    spec : MetricSpec
        Metric and protocol.
    codes : Codes
        Codes of n items.
    factors : array of shape (n, f)
        Factor values; for classification the labels, of shape (n,).
    seed : int, default 0
        Seed for sampling items and votes. The draws depend only on the seed, the metric, the
        protocol and the repeat.
    repeats : int, default 1
        Number of repeats, each with other items and votes.

    Returns
    -------
    list of ScoreRow
        One row per score. With several repeats a row has their mean, and its 95 % interval as `low`
        and `high`.

    Raises
    ------
    ArgumentError
        If the metric rejects the arrays.

    Examples
    --------
    >>> import numpy as np
    >>> codes = Codes(np.zeros((2, 1)), category=np.array([0, 1]), categories=2)
    >>> spec = MetricSpec("classification", "majority")
    >>> [(row["metric"], row["score"]) for row in score_rows(spec, codes, np.array([1, 0]))]
    [('unsupervised classification accuracy', 1.0)]
    """
    metric = METRICS[spec.metric]
    results: list[dict[str, float]] = []
    for repeat in range(repeats):
        rng = np.random.default_rng(_rng_key(spec, seed, repeat))
        results.append(metric.score(codes, factors, rng, spec.protocol))
        if "chance" in results[0] and "standard_error" not in results[0]:
            break  # Nothing is sampled, so all repeats would be equal.
    if "score" in results[0]:
        return [_row(spec.title, spec, results, "score", "standard_error")]
    suffix = "_standard_error"
    names = [name.removesuffix(suffix) for name in results[0] if name.endswith(suffix)]
    return [_row(spec.part_title(name), spec, results, name, f"{name}{suffix}") for name in names]


def describe_metrics() -> str:
    """Describe every metric and its protocols, as the command `unbraid metrics` prints them.

    Returns
    -------
    str
        One line per metric, followed by one line per protocol with its fields.
    """
    lines: list[str] = []
    for name, metric in METRICS.items():
        lines.append(f"{name}: {(metric.__doc__ or '').splitlines()[0]}")
        lines += [
            f"    {protocol:24}{format_fields(record)}".rstrip()
            for protocol, record in metric.PROTOCOLS.items()
        ]
    return "\n".join(lines)


def _rng_key(spec: MetricSpec, seed: int, repeat: int) -> list[int]:
    """Return the seed of the draws of one repeat of a metric under a protocol."""
    number = list(METRICS[spec.metric].PROTOCOLS).index(spec.protocol)
    if spec.metric == "factor-vae" and repeat == 0:
        return [seed, number]
    return [seed, number, repeat, *spec.metric.encode()]


def _row(
    title: str, spec: MetricSpec, results: list[dict[str, float]], name: str, error: str
) -> ScoreRow:
    first = results[0]
    scores = [result[name] for result in results]
    row: dict[str, Any] = {"metric": title, "name": spec.metric, "protocol": spec.protocol}
    row["score"] = scores[0]
    if error in first:
        row["standard_error"] = float(np.mean([result[error] for result in results]))
    if len(scores) > 1:
        row["score"], row["low"], row["high"] = uncertainty.interval(scores)
        row["repeats"] = len(scores)
    row |= {key: first[key] for key in ("chance", "dimensions", "items") if key in first}
    return cast(ScoreRow, row)
