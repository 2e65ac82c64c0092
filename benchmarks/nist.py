"""Digits of certified regressions: our core beside statsmodels, numpy and scikit-learn.

    python benchmarks/nist.py [--write docs/methods.md]

Each number is the smallest log relative error over a set's coefficients (before the bar) and
standard deviations (behind it), at most 15. A dash: not given. Certified values: NIST StRD.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import numpy as np  # noqa: E402
from tunescape.surface import code_factor, fit_polynomial, fit_surface  # noqa: E402
from tunescape.tables import write_text  # noqa: E402

NIST = ROOT / "tests" / "data" / "nist"
Answer = tuple[np.ndarray, np.ndarray | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="Markdown file whose table is replaced")
    text = table()
    target = parser.parse_args().write
    print(text)
    if target:
        before = target.read_text(encoding="utf-8")
        write_text(PLACE.sub(lambda found: found[1] + text + found[2], before), target)


def table() -> str:
    sets = json.loads((NIST / "certified.json").read_text())["datasets"]
    solvers: dict[str, Callable[..., Answer | None]] = {
        "coded QR": coded_qr,
        "orthogonal": orthogonal,
        "statsmodels pinv": statsmodels_pinv,
        "statsmodels QR": statsmodels_qr,
        "numpy lstsq": numpy_lstsq,
        "scikit-learn": scikit_learn,
    }
    order = list(sets)
    lines = [
        "| set | " + " | ".join(solvers) + " |",
        "| --- |" + " --- |" * len(solvers),
    ]
    for name in order:
        cells = []
        for solve in solvers.values():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = solve(*load(name), sets[name])
            cells.append(describe(answer, sets[name]["parameters"]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", versions(), ""])


PLACE = re.compile(r"(<!-- certified digits -->\n).*?(<!-- end of certified digits -->)", re.S)


def load(name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    with (NIST / f"{name}.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    columns = {c: np.array([float(r[c]) for r in rows]) for c in rows[0]}
    return columns, columns.pop("y")


def digits(value: float, certified: str) -> float:
    truth = float(certified)
    gap = abs(value - truth) / (abs(truth) or 1.0)
    if not np.isfinite(gap):
        return 0.0
    return 15.0 if gap == 0 else float(np.clip(-np.log10(gap), 0, 15))


def describe(answer: Answer | None, parameters: list[dict[str, str]]) -> str:
    if answer is None:
        return "–"
    coef, se = answer
    first = min(digits(b, p["estimate"]) for b, p in zip(coef, parameters, strict=True))
    if se is None:
        return f"{first:.1f} \\| –"
    second = min(digits(s, p["sd"]) for s, p in zip(se, parameters, strict=True))
    return f"{first:.1f} \\| {second:.1f}"


def raw_columns(values: dict[str, np.ndarray], known: dict) -> np.ndarray:
    start = 0 if known["intercept"] else 1
    if known["kind"] == "polynomial":
        return np.column_stack([values["x"] ** k for k in range(start, known["degree"] + 1)])
    return np.column_stack([np.ones(known["n"]), *values.values()])


def coded_qr(values: dict[str, np.ndarray], y: np.ndarray, known: dict) -> Answer:
    origin = not known["intercept"]
    factors = [code_factor(c, v, through_origin=origin) for c, v in values.items()]
    fit = fit_surface(values, y, factors, degree=known["degree"] or 1, intercept=not origin)
    raw = fit.raw()
    return raw.estimate, raw.se


def orthogonal(values: dict[str, np.ndarray], y: np.ndarray, known: dict) -> Answer | None:
    if known["kind"] != "polynomial":
        return None
    fit = fit_polynomial(values["x"], y, known["degree"], intercept=known["intercept"])
    return fit.coef, fit.se


def statsmodels_pinv(values: dict[str, np.ndarray], y: np.ndarray, known: dict) -> Answer:
    import statsmodels.api as sm

    fit = sm.OLS(y, raw_columns(values, known)).fit()
    return fit.params, fit.bse


def statsmodels_qr(values: dict[str, np.ndarray], y: np.ndarray, known: dict) -> Answer:
    import statsmodels.api as sm

    fit = sm.OLS(y, raw_columns(values, known)).fit(method="qr")
    return fit.params, fit.bse


def numpy_lstsq(values: dict[str, np.ndarray], y: np.ndarray, known: dict) -> Answer:
    return np.linalg.lstsq(raw_columns(values, known), y)[0], None


def scikit_learn(values: dict[str, np.ndarray], y: np.ndarray, known: dict) -> Answer:
    from sklearn.linear_model import LinearRegression

    x = raw_columns(values, known)
    if not known["intercept"]:
        return LinearRegression(fit_intercept=False).fit(x, y).coef_, None
    model = LinearRegression().fit(x[:, 1:], y)
    return np.append(model.intercept_, model.coef_), None


def versions() -> str:
    import sklearn
    import statsmodels

    return (
        f"Python {platform.python_version()}, numpy {np.__version__}, "
        f"statsmodels {statsmodels.__version__}, scikit-learn {sklearn.__version__}, "
        f"{platform.machine()}."
    )


if __name__ == "__main__":
    main()
