"""Where data lie: the convex hull of coded settings, also of degenerate ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_RELATIVE = 1e-9


class Region:
    """Convex hull of points, within the affine subspace that they span.

    Settings that lie on a plane, a line or a point have a hull in that plane, line or point.

    Args:
        points: (rows, dimensions), coded; at least one row.
    """

    def __init__(self, points: Array) -> None:
        unique = np.unique(np.asarray(points, dtype=float), axis=0)
        self._origin = unique.mean(axis=0)
        centred = unique - self._origin
        _, singular, axes = np.linalg.svd(centred, full_matrices=False)
        self._size = float(singular[0]) if singular.size else 0.0
        self._axes = axes[singular > _RELATIVE * max(self._size, 1.0)]
        self._faces = self._find_faces(centred @ self._axes.T)

    @property
    def dimension(self) -> int:
        """Dimensions that the points span."""
        return int(self._axes.shape[0])

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Which rows of `points` lie in the hull, its boundary included."""
        tolerance = 1e-7 * max(self._size, 1.0)
        centred = np.asarray(points, dtype=float) - self._origin
        projected = centred @ self._axes.T
        away = np.linalg.norm(centred - projected @ self._axes, axis=1)
        inside = away <= tolerance
        if self.dimension:
            distances = projected @ self._faces[:, :-1].T + self._faces[:, -1]
            inside &= (distances <= tolerance).all(axis=1)
        return np.asarray(inside)

    def _find_faces(self, projected: Array) -> Array:
        """Half-spaces ``normal @ x + offset <= 0``, one a row."""
        if not self.dimension:
            return np.empty((0, 1))
        if self.dimension == 1:
            return np.array([[1.0, -projected.max()], [-1.0, projected.min()]])
        from scipy.spatial import ConvexHull

        return np.asarray(ConvexHull(projected).equations, dtype=float)


def outline(points: Array) -> Array:
    """Corners of the hull of points in the plane in order, shape (corners, 2).

    Points on a line give its two ends, one point itself.
    """
    unique = np.unique(np.asarray(points, dtype=float), axis=0)
    region = Region(unique)
    if region.dimension == 2:
        from scipy.spatial import ConvexHull

        corners: NDArray[np.intp] = ConvexHull(unique).vertices
        return unique[corners]
    return unique[[0, -1]] if region.dimension == 1 else unique[:1]
