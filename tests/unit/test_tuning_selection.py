"""The best of k is corrected to the truth in simulation; gains in examples have valid intervals."""

from __future__ import annotations

import numpy as np
import pytest
from tunescape.errors import UserError
from tunescape.tuning import selection


def test_split_halves_recover_the_truth_where_the_naive_best_flatters():
    rng = np.random.default_rng(0)
    naive, corrected, truth = [], [], []
    for _ in range(60):
        skill = rng.normal(0.85, 0.005, 20)
        hits = rng.random((20, 400)) < skill[:, None]
        found = selection.split_half_best(hits, splits=20)
        naive.append(found.found)
        corrected.append(found.corrected)
        # What the procedure gives: the skill of what one half chooses.
        halves = [hits[:, ::2].mean(axis=1), hits[:, 1::2].mean(axis=1)]
        truth.append(np.mean([skill[int(np.argmax(half))] for half in halves]))
    assert np.mean(naive) - np.mean(truth) > 0.02
    assert np.mean(corrected) == pytest.approx(np.mean(truth), abs=0.005)


def test_nested_seeds_recover_the_truth():
    rng = np.random.default_rng(1)
    naive, corrected, truth = [], [], []
    for _ in range(300):
        level = rng.normal(0.85, 0.003, 15)
        values = level[:, None] + rng.normal(0, 0.01, (15, 4))
        found = selection.nested_seed_best(values)
        naive.append(found.found)
        corrected.append(found.corrected)
        three = [np.delete(values, s, axis=1).mean(axis=1) for s in range(4)]
        truth.append(np.mean([level[int(np.argmax(v))] for v in three]))
    assert np.mean(naive) - np.mean(truth) > 0.004
    assert np.mean(corrected) == pytest.approx(np.mean(truth), abs=0.0012)


def test_shrinkage_recovers_the_truth_and_covers():
    rng = np.random.default_rng(2)
    naive, corrected, covered = [], [], []
    for _ in range(400):
        level = rng.normal(0.85, 0.006, 20)
        values = level + rng.normal(0, 0.008, 20)
        found = selection.shrunken_best(values, 0.008)
        true = level[int(np.argmax(values))]
        naive.append(found.found - true)
        corrected.append(found.corrected - true)
        covered.append(abs(found.corrected - true) <= 1.96 * found.se)
    assert np.mean(naive) > 0.006
    assert np.mean(corrected) == pytest.approx(0, abs=0.002)
    assert 0.85 <= np.mean(covered) <= 0.99


def test_a_loss_is_corrected_upwards():
    found = selection.shrunken_best([0.5, 0.6, 0.7, 0.8], 0.1, maximise=False)
    assert found.found == 0.5 and found.corrected > 0.5 and found.optimism < 0
    nested = selection.nested_seed_best([[0.3, 0.5], [0.5, 0.3]], maximise=False)
    assert nested.corrected == 0.5


def test_the_paired_interval_covers_the_difference_in_examples():
    rng = np.random.default_rng(3)
    rows, inside = 408, []
    for _ in range(400):
        base = rng.random(rows) < 0.85
        # Each row flips with a small chance: 3 % lost, 5 % won.
        lost, won = rng.random(rows) < 0.03 / 0.85, rng.random(rows) < 0.05 / 0.15
        better = np.where(base, ~lost, won)
        gain = selection.paired_gain(base, better)
        inside.append(gain.low <= 0.02 * rows <= gain.high)
    assert 0.92 <= np.mean(inside) <= 0.985


def test_gains_of_a_worked_example():
    first = np.array([1] * 347 + [0] * 61)
    second = first.copy()
    second[347:350] = 1
    paired = selection.paired_gain(first, second)
    assert paired.examples == 3 and paired.rows == 408
    loose = selection.binomial_gain(347 / 408, 350 / 408, 408)
    assert loose.examples == pytest.approx(3)
    assert loose.low < paired.low < 0 < paired.high < loose.high
    # 0.7 points of 408 examples are three of them, well within chance.
    assert loose.low < -10 and loose.high > 10


def test_newcombes_interval_of_a_published_example():
    # Newcombe (1998), table II: 56/70 against 48/80, difference 0.2, limits 0.0524 and 0.3339.
    def hybrid(rows_a, rows_b):
        return selection.binomial_gain(0.6, 0.8, rows_a), rows_b

    gain, _ = hybrid(75, 75)
    assert 0.05 < gain.low / 75 < 0.06 and 0.32 < gain.high / 75 < 0.345


def test_gains_over_seeds_are_paired_by_seed():
    found = selection.seed_gain([0.80, 0.82, 0.84], [0.81, 0.83, 0.85], 400)
    assert found.examples == pytest.approx(4) and found.low == pytest.approx(4)
    assert np.isnan(selection.seed_gain([0.8], [0.9], 400).low)


def test_what_cannot_be_corrected_is_refused():
    with pytest.raises(UserError):
        selection.nested_seed_best([[0.8], [0.9]])
    with pytest.raises(UserError):
        selection.shrunken_best([0.8, 0.9], 0.01)
