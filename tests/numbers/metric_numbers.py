"""Scores of every metric under every protocol, on codes made by integer arithmetic.

The codes depend on no random generator: `mixed` is a hash in 64-bit integers, and its sums are
exact in float64. The metrics draw their items and votes with NumPy's generator, as for a user.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unbraid.codes import Codes
from unbraid.metrics import METRICS, suite, udr

# Grid of 3 · 4 · 5 factor values, 20 items each.
SIZES, REPEATS = (3, 4, 5), 20


def mixed(salt: int, n: int) -> np.ndarray:
    """Return n numbers from 0 to 1, multiples of 2⁻²⁴: a hash of the position and the salt."""
    x = np.arange(n, dtype=np.uint64) + np.uint64(salt) * np.uint64(0x9E3779B9)
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = (x ^ (x >> np.uint64(33))) * np.uint64(multiplier)
    return (x >> np.uint64(40)).astype(np.float64) / 2**24


def bell(salt: int, n: int) -> np.ndarray:
    """Return n numbers of mean 0 and variance 1, almost normal: a sum of twelve uniform ones."""
    return np.sum([mixed(100 * salt + i, n) for i in range(12)], axis=0) - 6.0


def grid() -> np.ndarray:
    """Return the factors of all items, of shape (1200, 3)."""
    values = np.stack(np.meshgrid(*map(range, SIZES), indexing="ij"), axis=-1).reshape(-1, 3)
    return np.repeat(values, REPEATS, axis=0).astype(np.int64)


def codes(*, discrete: bool, salt: int = 0) -> Codes:
    """Return imperfect codes: mixed factors, one dimension of noise, one of category errors."""
    f, n = grid(), len(grid())
    a, b, c = f.T.astype(np.float64)
    noise = [bell(salt + i, n) for i in range(1, 5)]
    columns = [
        a + 0.25 * noise[0],
        0.5 * b + 0.25 * a + 0.25 * noise[1],
        0.25 * c - 0.25 * b + 0.5 * noise[2],
        noise[3],
    ]
    mean = np.stack(columns, axis=1) - np.array([1.0, 1.0, 0.5, 0.0])
    std = np.stack([0.125 + 0.25 * mixed(salt + 50 + i, n) for i in range(4)], axis=1)
    if not discrete:
        return Codes(mean, std)
    # Every fourth item is in another category than its first factor.
    wrong = (mixed(salt + 60, n) < 0.25).astype(np.int64)
    return Codes(mean, std, (f[:, 0] + wrong) % 3, 3)


def population() -> list[Codes]:
    """Return three members: the codes, the codes in another order and sign, and other noise."""
    first, other = codes(discrete=False), codes(discrete=False, salt=20)
    assert first.std is not None
    order = [2, 0, 3, 1]
    second = Codes(-first.mean[:, order], first.std[:, order])
    return [first, second, other]


def metric_scores() -> dict[str, dict[str, Any]]:
    """Return score and standard error of every metric, protocol and kind of code."""
    results: dict[str, dict[str, Any]] = {}
    for name in METRICS:
        for discrete in (False, True):
            if name != "udr" and (discrete or name != "classification"):
                results |= _rows(name, discrete)
    for protocol in udr.PROTOCOLS:
        result = udr.score(population(), np.random.default_rng(0), protocol)
        results[f"udr {protocol}"] = dict(result)
    return results


def _rows(name: str, discrete: bool) -> dict[str, dict[str, Any]]:
    scored, factors = codes(discrete=discrete), grid()
    targets = factors[:, 0] if name == "classification" else factors
    kind = " and category" if discrete else ""
    results: dict[str, dict[str, Any]] = {}
    for spec in suite.metric_specs([name], discrete=discrete):
        for row in suite.score_rows(spec, scored, targets):
            key = f"{row['metric']} {spec.protocol}{kind}"
            numbers = {k: v for k, v in row.items() if not isinstance(v, str)}
            results[key] = numbers
    return results
