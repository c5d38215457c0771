"""Pseudo-labels: categories of images, found without labels by clustering image neighbourhoods.

Two images that differ by a small change of a continuous factor differ in few pixels; images of two
categories at the same position and size differ in more. A chart is the set of images whose codes
are nearest to that of one image. The longest edges of its minimum spanning tree over pixel
distances are removed until K parts remain. The parts of overlapping charts are then matched, so
that a part has the same category in all charts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from unbraid.methods._scipy import (
    Edges,
    NearestNeighbours,
    connected_components,
    minimum_spanning_tree,
)
from unbraid.methods.chart_matching import NUM_NEIGHBOURS, Chart, match_charts, pixel_distances

# Smallest share of a chart's images that counts as a part; smaller components are outliers.
MIN_PART_SHARE = 0.12


class PseudoLabels(NamedTuple):
    """Pseudo-labels found by the charts, and diagnostics.

    Attributes
    ----------
    item : array of int, shape (i,)
        Indices of the images that have a pseudo-label.
    category : array of int, shape (i,)
        Category of each of them.
    num_split_charts : int
        Number of charts that could be split into K parts.
    agreement : float
        Share of matched pairs of charts that agree in all parts, 0 to 1.
    """

    item: Int[np.ndarray, " i"]
    category: Int[np.ndarray, " i"]
    num_split_charts: int
    agreement: float


class PseudoLabelStore(nn.Module):
    """Pseudo-labels as buffers, saved with the weights; empty until a survey finds some.

    Attributes
    ----------
    item : tensor of int, shape (i,)
        Indices of the images that have a pseudo-label.
    category : tensor of int, shape (i,)
        Category of each of them.
    """

    item: Tensor
    category: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.set(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))

    def set(self, item: Int[Tensor, " i"], category: Int[Tensor, " i"]) -> None:
        """Replace the pseudo-labels.

        Parameters
        ----------
        item : tensor of int, shape (i,)
            Indices of images.
        category : tensor of int, shape (i,)
            Category of each image.

        Examples
        --------
        >>> store = PseudoLabelStore()
        >>> store.set(torch.tensor([5, 7]), torch.tensor([0, 2]))
        >>> store.item.tolist()
        [5, 7]
        """
        self.register_buffer("item", item)
        self.register_buffer("category", category)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # PyTorch can only copy into buffers of the saved shape, and the number of labels varies.
        for name in ("item", "category"):
            if f"{prefix}{name}" in state_dict:
                saved = state_dict[f"{prefix}{name}"]
                self.register_buffer(name, torch.empty_like(saved, device=self.item.device))
        super()._load_from_state_dict(  # pyright: ignore[reportUnknownMemberType]
            state_dict, prefix, *args, **kwargs
        )


def find_pseudo_labels(
    images: Callable[[np.ndarray], np.ndarray],
    code_nz: Float[np.ndarray, "n z"],
    k: int,
    rng: np.random.Generator,
    *,
    num_charts: int,
    chart_size: int,
    min_gap: float,
) -> PseudoLabels:
    """Find pseudo-labels for the images of random charts.

    A chart counts if its shortest removed edge is at least `min_gap` times as long as its longest
    remaining one. Each image gets the category with the most votes over all charts.

    Parameters
    ----------
    images : callable
        Function that returns the images of an array of indices.
    code_nz : array, shape (n, z)
        Code of each image of the dataset, in posterior standard deviations, without inactive
        dimensions.
    k : int
        Number K of categories.
    rng : numpy.random.Generator
        Random numbers for the centres of the charts and for matching.
    num_charts : int
        Number of charts.
    chart_size : int
        Number of images per chart.
    min_gap : float
        Smallest ratio of the shortest removed to the longest remaining edge.

    Returns
    -------
    PseudoLabels
        Pseudo-labels; empty if fewer charts could be split than matching needs.
    """
    num_items, chart_size = len(code_nz), min(chart_size, len(code_nz))
    neighbours = NearestNeighbours(code_nz)
    charts: list[Chart] = []
    centres = rng.integers(0, num_items, num_charts).tolist()
    for centre in tqdm(centres, desc="charts", unit="chart"):
        items = np.sort(neighbours.query(code_nz[centre : centre + 1], chart_size)[0])
        pixels = images(items)
        part = split_chart(pixel_distances(pixels, pixels), k, min_gap)
        if part is not None:
            charts.append(Chart(centre, items, part))
    if len(charts) <= NUM_NEIGHBOURS:
        empty = np.empty(0, np.int64)
        return PseudoLabels(empty, empty, len(charts), 0.0)
    categories, agreement = match_charts(charts, images, code_nz, k, rng)
    votes_nk = np.zeros((num_items, k), np.int32)
    for chart, category in zip(charts, categories, strict=True):
        has_part = chart.part >= 0
        np.add.at(votes_nk, (chart.items[has_part], category[chart.part[has_part]]), 1)
    labelled = np.flatnonzero(votes_nk.any(axis=1))
    return PseudoLabels(labelled, votes_nk[labelled].argmax(axis=1), len(charts), agreement)


def split_chart(
    distances: Float[np.ndarray, "n n"], k: int, min_gap: float
) -> Int[np.ndarray, " n"] | None:
    """Split a chart into K parts by removing the longest edges of its minimum spanning tree.

    Parameters
    ----------
    distances : array, shape (n, n)
        Squared pixel distance of each pair of images.
    k : int
        Number K of parts, each with at least `MIN_PART_SHARE` of the images.
    min_gap : float
        Smallest ratio of the shortest removed to the longest remaining edge.

    Returns
    -------
    array of int, shape (n,), or None
        Part of each image, −1 for none; None if the ratio is smaller than `min_gap`, or if there
        are fewer than K parts of sufficient size.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.0, 1.0, 2.0, 7.0, 8.0, 9.0])
    >>> part = split_chart(np.abs(x[:, None] - x), k=2, min_gap=2.0)
    >>> [part.tolist().count(p) for p in (0, 1)]
    [3, 3]
    """
    n = len(distances)
    # SciPy omits edges of length 0.
    tree = minimum_spanning_tree(distances + 1e-3)
    longest_first = np.argsort(-tree.length_e)
    for num_removed in range(1, n // 3):
        remaining = longest_first[num_removed:]
        component = connected_components(Edges(*(values[remaining] for values in tree)), n)
        sizes = np.bincount(component)
        if (sizes >= MIN_PART_SHARE * n).sum() < k:
            continue
        shortest_removed = tree.length_e[longest_first[num_removed - 1]]
        if shortest_removed < min_gap * tree.length_e[longest_first[num_removed]]:
            return None
        part_of_component = np.full(len(sizes), -1)
        part_of_component[np.argsort(-sizes)[:k]] = np.arange(k)
        return part_of_component[component]
    return None
