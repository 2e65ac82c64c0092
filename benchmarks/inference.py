"""Level, coverage and speed of the default inference.

    python benchmarks/inference.py [--simulations 1000]

Null simulation: per-term rejection at 5 % and coverage of 95 % intervals (CR3, G - 1 df) of the
ten-term model on 200 rows in 15 and 40 uneven clusters, for intra-class correlations 0, 0.3 and
0.6; beside it the classical test and CR1. Speed: 10,000 cluster-bootstrap refits of 2,000 rows
and 10 terms, beside a loop over statsmodels fits of the same draws. One core.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import numpy as np
from scipy import stats
from tunescape import inference
from tunescape.surface import SurfaceFit, code_factor, fit_surface

LEVELS = {
    "learning_rate": (1e-6, 1e-5, 2e-5, 5e-5, 3e-4),
    "train_batch_size": (8.0, 16.0, 32.0, 64.0),
    "num_epochs": (1.0, 2.0, 3.0, 5.0, 10.0),
}
TRUE_SLOPE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    count = parser.parse_args().simulations
    print("clusters  ICC  reject: CR3  classical  CR1   coverage of a slope of 0.1: CR3")
    for clusters in (15, 40):
        for correlation in (0.0, 0.3, 0.6):
            rates = simulate(clusters, correlation, count)
            print(f"{clusters:8d} {correlation:4.1f} " + "  ".join(f"{r:10.4f}" for r in rates))
    speed()


def fitted(values: dict[str, np.ndarray], y: np.ndarray) -> SurfaceFit:
    coding = {"num_epochs": "linear"}
    factors = [code_factor(k, v, coding.get(k, "log")) for k, v in values.items()]
    return fit_surface(values, y, factors)


def simulate(clusters: int, correlation: float, count: int) -> list[float]:
    """Mean rejection rates over the nine terms, and coverage of the true slope."""
    rng = np.random.default_rng([clusters, int(10 * correlation)])
    rejected: dict[str, list[float]] = {"cr3": [], "classical": [], "cr1": []}
    covered = []
    for _ in range(count):
        values = {k: rng.choice(v, 200) for k, v in LEVELS.items()}
        share = rng.dirichlet(np.full(clusters, 2.0))
        owner = np.concatenate(
            [rng.choice(clusters, 200 - 2 * clusters, p=share), *[np.arange(clusters)] * 2]
        )
        noise = np.sqrt(correlation) * rng.normal(size=clusters)[owner]
        noise = noise + np.sqrt(1 - correlation) * rng.normal(size=200)
        fit = fitted(values, noise)
        labels = [str(i) for i in owner]
        robust = inference.covariance(fit, "cr3", labels)
        for kind, cov in (("cr3", robust), ("classical", inference.covariance(fit, "classical"))):
            rejected[kind].append(float(np.mean(inference.term_tests(fit, cov).p[1:] < 0.05)))
        t = fit.kept_coef / np.sqrt(np.diag(cr1(fit, owner)))
        rejected["cr1"].append(float(np.mean(2 * stats.t.sf(np.abs(t[1:]), clusters - 1) < 0.05)))
        sloped = fitted(values, noise + TRUE_SLOPE * fit.design[:, 1])
        tests = inference.term_tests(sloped, inference.covariance(sloped, "cr3", labels))
        covered.append(float(tests.ci_low[1] <= TRUE_SLOPE <= tests.ci_high[1]))
    return [float(np.mean(r)) for r in rejected.values()] + [float(np.mean(covered))]


def cr1(fit: SurfaceFit, owner: np.ndarray) -> np.ndarray:
    scores = np.array(
        [fit.design[owner == g].T @ fit.residuals[owner == g] for g in np.unique(owner)]
    )
    bread = fit.r_inverse @ fit.r_inverse.T
    g, n, k = len(scores), fit.n, fit.rank
    return bread @ scores.T @ scores @ bread * g / (g - 1) * (n - 1) / (n - k)


def speed(rows: int = 2000, clusters: int = 150, draws: int = 10_000, looped: int = 200) -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    values = {k: rng.choice(v, rows) for k, v in LEVELS.items()}
    fit = fitted(values, rng.normal(size=rows))
    labels = [f"o{i}" for i in rng.integers(0, clusters, rows)]
    start = time.perf_counter()
    batched = inference.cluster_bootstrap(fit, labels, draws)
    ours = time.perf_counter() - start
    counts = inference.bootstrap_draws(labels, looped)
    codes = np.unique(labels, return_inverse=True)[1]
    start = time.perf_counter()
    loop = []
    for weights in counts:
        index = np.repeat(np.arange(rows), weights[codes].astype(int))
        loop.append(sm.OLS(fit.response[index], fit.design[index]).fit().params)
    theirs = (time.perf_counter() - start) * draws / looped
    gap = float(np.max(np.abs(np.array(loop) - batched[:looped])))
    print(
        f"{draws:,} refits of {rows:,} x {fit.rank}: {ours:.2f} s; a loop over statsmodels "
        f"{theirs:.0f} s ({theirs / ours:.0f} times; {looped} timed); largest difference {gap:.1e}"
    )


if __name__ == "__main__":
    main()
