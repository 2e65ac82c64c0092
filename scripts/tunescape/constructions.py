"""Coded points of the classical experimental designs, in [-1, 1] for every factor.

Sources: Box and Behnken, Technometrics 2 (1960); Box and Wilson, JRSS B 13 (1951); Plackett and
Burman, Biometrika 33 (1946); Jones and Nachtsheim, J. Quality Technology 43 (2011), for definitive
screening, with conference matrices by Paley's construction; Fedorov, "Theory of Optimal
Experiments" (1972), for the exchange. What pyDOE3 has is taken from it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunescape.errors import UserError, show

Array = NDArray[np.float64]

_CONFERENCE_PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)
_MAX_EXCHANGES = 1000
ALPHAS = ("faced", "rotatable")
"""Where the axial points of a central composite design lie."""


def full_factorial(levels: Sequence[int]) -> NDArray[np.int64]:
    """Level numbers of every combination, shape (product, factors), the last factor fastest."""
    import pyDOE3

    rows = np.asarray(pyDOE3.fullfact(list(levels)), dtype=np.int64)
    return rows[np.lexsort(rows.T[::-1])]


def box_behnken(k: int) -> Array:
    """Edge midpoints, centre left out: 12 points for three factors. Needs three factors."""
    import pyDOE3

    _need(k, 3, "box_behnken")
    rows = np.asarray(pyDOE3.bbdesign(k, center=1), dtype=float)
    return rows[np.any(rows != 0, axis=1)]


def central_composite(k: int, alpha: str = "faced") -> tuple[Array, int]:
    """Corners, then axial points, centre left out; the number of corners comes second.

    ``faced``: axial points on the faces. ``rotatable``: the rotatable design inscribed in the
    factors' bounds, so that its axial points lie on them and its corners within.
    """
    import pyDOE3

    _need(k, 2, "central_composite")
    if alpha not in ALPHAS:
        raise UserError(f"got {show(alpha)}", where="design.alpha", expected="faced or rotatable")
    face = "faced" if alpha == "faced" else "inscribed"
    rows = np.asarray(pyDOE3.ccdesign(k, center=(0, 1), alpha="rotatable", face=face), dtype=float)
    return rows[np.any(rows != 0, axis=1)], 2**k


def plackett_burman(k: int, foldover: bool = False) -> Array:
    """Two-level screening points, the next multiple of 4 above `k`; twice that when folded."""
    import pyDOE3

    _need(k, 2, "plackett_burman")
    rows = np.asarray(pyDOE3.pbdesign(k), dtype=float)
    return np.vstack([rows, -rows]) if foldover else rows


def conference_matrix(order: int) -> Array:
    """Paley's conference matrix: zero diagonal, +-1 elsewhere, ``C'C = (order - 1) I``.

    `order` - 1 must be an odd prime.
    """
    q = order - 1
    squares = {x * x % q for x in range(1, q)}
    character = np.array([0] + [1 if x in squares else -1 for x in range(1, q)], dtype=float)
    index = np.arange(q)
    core = character[(index[:, None] - index[None, :]) % q]
    matrix = np.zeros((order, order))
    matrix[0, 1:] = 1.0
    matrix[1:, 0] = 1.0 if q % 4 == 1 else -1.0
    matrix[1:, 1:] = core
    return matrix


def definitive_screening(k: int) -> Array:
    """Three-level points C and -C, centre left out, from the next conference matrix.

    Main effects are orthogonal to each other and to every second-order term. Columns beyond `k`
    (dummy factors) are dropped.
    """
    _need(k, 3, "definitive_screening")
    order = next((p + 1 for p in _CONFERENCE_PRIMES if p + 1 >= k), None)
    if order is None:
        raise UserError(
            f"{k} factors", where="design.definitive_screening", expected="at most 32 factors"
        )
    matrix = conference_matrix(order)[:, :k]
    return np.vstack([matrix, -matrix])


def latin_hypercube(k: int, points: int, seed: int) -> Array:
    """The most spread out (maximin) of 50 random Latin hypercubes."""
    import pyDOE3

    if points < 2:
        raise UserError(f"got {points}", where="design.points", expected="at least 2 points")
    rows = pyDOE3.lhs(k, samples=points, criterion="maximin", iterations=50, seed=seed)
    return 2 * np.asarray(rows, dtype=float) - 1


def sobol(k: int, points: int, seed: int) -> Array:
    """The first points of a scrambled Sobol sequence; more points extend it, none changes."""
    import pyDOE3

    # Powers of two are drawn, as the sequence is balanced over these, and the first ones taken.
    rows = pyDOE3.sobol_sequence(n=points, d=k, scramble=True, seed=seed, use_pow_of_2=True)
    return 2 * np.asarray(rows, dtype=float)[:points] - 1


def d_optimal(candidates: Array, points: int, seed: int, starts: int = 10) -> list[int]:
    """Rows of a model matrix that maximise ``det X'X``, by Fedorov's exchange.

    Args:
        candidates: model matrix of the candidate points, shape (candidates, terms).
        points: rows to choose, each at most once.
        seed: of the random starts; the result is deterministic.
        starts: random starts, of which the best result is kept.

    Returns:
        Sorted row numbers.

    Raises:
        UserError: more points than candidates, fewer than terms, or no choice of full rank.
    """
    count, terms = candidates.shape
    if not terms <= points <= count:
        raise UserError(
            f"got {points}",
            where="design.points",
            expected=f"from {terms} (terms of the model) to {count} (candidate points)",
        )
    rng = np.random.default_rng(seed)
    best: tuple[float, list[int]] | None = None
    for _ in range(starts):
        chosen = _greedy_start(candidates, points, rng)
        value = _exchange(candidates, chosen)
        if np.isfinite(value) and (best is None or value > best[0] + 1e-9):
            best = (value, sorted(chosen))
    if best is None:
        raise UserError(
            "no choice of candidate points estimates every term",
            where="design",
            fix="give more candidate levels or a lower degree",
        )
    return best[1]


def _greedy_start(candidates: Array, points: int, rng: np.random.Generator) -> list[int]:
    """Half of the points at random, the others one by one where the variance is largest."""
    count, terms = candidates.shape
    chosen = [int(i) for i in rng.choice(count, size=points // 2, replace=False)]
    information = 1e-6 * np.eye(terms) + candidates[chosen].T @ candidates[chosen]
    while len(chosen) < points:
        inverse = np.linalg.inv(information)
        variance = np.einsum("ij,jk,ik->i", candidates, inverse, candidates)
        variance[chosen] = -np.inf
        chosen.append(int(np.argmax(np.round(variance, 10))))
        information += np.outer(candidates[chosen[-1]], candidates[chosen[-1]])
    return chosen


def _exchange(candidates: Array, chosen: list[int]) -> float:
    """Swap chosen rows for others while det X'X grows; returns its logarithm."""
    for _ in range(_MAX_EXCHANGES):
        rows = candidates[chosen]
        sign, value = np.linalg.slogdet(rows.T @ rows)
        if sign <= 0:
            return -np.inf
        inverse = np.linalg.inv(rows.T @ rows)
        new = np.einsum("ij,jk,ik->i", candidates, inverse, candidates)
        cross = rows @ inverse @ candidates.T
        # Ratio of determinants when chosen row i is exchanged for candidate j.
        ratio = (1 - new[chosen])[:, None] * (1 + new)[None, :] + cross**2
        ratio[:, chosen] = -np.inf
        i, j = np.unravel_index(int(np.argmax(np.round(ratio, 10))), ratio.shape)
        if ratio[i, j] <= 1 + 1e-8:
            break
        chosen[int(i)] = int(j)
    return float(value)


def _need(k: int, least: int, kind: str) -> None:
    if k < least:
        raise UserError(
            f"{k} factor(s)",
            where=f"design.kind: {kind}",
            expected=f"at least {least} factors",
            fix="add factors or choose another kind",
        )
