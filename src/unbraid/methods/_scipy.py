"""SciPy's functions with types: SciPy is not annotated, and this package is checked strictly."""
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csgraph, csr_matrix
from scipy.spatial import KDTree


class Edges(NamedTuple):
    """Edges of a graph: lengths, and the two nodes of each."""

    length_e: Float[np.ndarray, " e"]
    row_e: Int[np.ndarray, " e"]
    column_e: Int[np.ndarray, " e"]


class NearestNeighbours:
    """Index of points for queries of nearest neighbours."""

    def __init__(self, point_nz: Float[np.ndarray, "n z"]) -> None:
        self._tree = KDTree(point_nz)

    def query(self, point_mz: Float[np.ndarray, "m z"], count: int) -> Int[np.ndarray, "m c"]:
        """Return the indices of the nearest points, the nearest first."""
        return np.asarray(self._tree.query(point_mz, count)[1]).reshape(len(point_mz), count)


def minimum_spanning_tree(distances: Float[np.ndarray, "n n"]) -> Edges:
    """Return the edges of the minimum spanning tree of a complete graph."""
    tree = csgraph.minimum_spanning_tree(csr_matrix(distances)).tocoo()
    return Edges(tree.data, tree.row, tree.col)


def connected_components(edges: Edges, num_nodes: int) -> Int[np.ndarray, " n"]:
    """Return the connected component of every node, numbered from 0."""
    graph = csr_matrix((edges.length_e, edges[1:]), shape=(num_nodes, num_nodes))
    return csgraph.connected_components(graph, directed=False)[1]
