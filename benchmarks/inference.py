"""Level, coverage and speed of the default inference.

    python benchmarks/inference.py [--simulations 1500]

Simulation (tests/unit/owner_settings.py): the ten-term model on 200 rows of 15 and 40 uneven
clusters that mostly repeat their own settings, for intra-class correlations 0, 0.3 and 0.6.
For each term the rejection of a true null at 5 % and the coverage of a coefficient other than 0
by 95 % intervals, by CR3 (G - 1 df), the classical test and CR1. Speed: 10,000 cluster-bootstrap
refits of 2,000 rows and 10 terms, beside a loop over statsmodels fits of the same draws. One core.
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
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit"))

import numpy as np
from owner_settings import CORRELATIONS, FACTORS, LEVELS, simulate
from scipy import stats
from tunescape import inference
from tunescape.surface import fit_surface

KINDS = ("cr3", "classical", "cr1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1500)
    count = parser.parse_args().simulations
    start = time.perf_counter()
    bound = stats.binom.ppf(0.95, count, 0.06) / count
    print(f"{count} draws; a term's rejection above {bound:.4f} is above 0.06 (binomial, 5 %)")
    for clusters in (15, 40):
        found = simulate(clusters, count, CORRELATIONS)
        for correlation, rates in zip(CORRELATIONS, found, strict=True):
            print(f"{clusters} clusters, correlation {correlation}:")
            heads = [f"{text} {kind}" for text in ("reject", "cover") for kind in KINDS]
            print(f"  {'term':30}" + "".join(f"{head:>18}" for head in heads))
            by_kind = [part[kind] for part in (rates.rejected, rates.covered) for kind in KINDS]
            shares = np.column_stack(by_kind)
            shares = np.vstack([shares, shares.mean(axis=0)])
            for name, row in zip((*rates.terms, "mean"), shares, strict=True):
                print(f"  {name:30}" + "".join(f"{share:18.4f}" for share in row))
    print(f"simulated in {time.perf_counter() - start:.0f} s")
    speed()


def speed(rows: int = 2000, clusters: int = 150, draws: int = 10_000, looped: int = 200) -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    values = {k: rng.choice(v, rows) for k, v in LEVELS.items()}
    fit = fit_surface(values, rng.normal(size=rows), FACTORS)
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
