"""A study's sentences as data, each resolved to the numbers it quotes and judged by rule.

``resources/claims.yaml`` holds short neutral restatements. A claim about a regression says which
metric, view and term its words name, which label (X2) and statistic they quote, and what they
say of it. It is resolved to a cell of the printed tables and judged on: does the cell belong to
that table; is the cell's regressor the named term; are sign and significance as said; does p
survive correction over the study; does a refit on other data agree. Claims about accuracies go
through the granularity check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunescape.audit import granularity, multiplicity
from tunescape.audit.arithmetic import possible_n, span
from tunescape.audit.findings import text_table
from tunescape.audit.printed import Printed, parse_printed
from tunescape.audit.study import Audit, examine, read_spec
from tunescape.audit.table import PublishedTable, Row, read_tables
from tunescape.errors import UserError
from tunescape.plain import read_yaml
from tunescape.tables import read_table, write_table

COLUMNS = (
    "id", "study", "where", "statement", "term", "label", "metric", "view", "quoted",
    "label_also_names", "cell", "cell_term", "cell_says", "right_table", "right_term",
    "right_direction", "right_significance", "survives_holm", "survives_bh", "survives_by",
    "row_errors", "named_term_says", "refit", "refit_says", "verdict", "why",
)  # fmt: skip
MARGINAL = 0.10
BALANCED = 0.60  # a majority class above this share is no balanced set


class _Claim(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    study: str
    where: str
    statement: str


class CellClaim(_Claim):
    """About one coefficient: `means` is the term that the words in `term` name."""

    kind: Literal["cell"]
    term: str
    means: str
    metric: str
    view: Literal["absolute", "relative"] | None = None
    label: str | None = None
    quantity: Literal["coef", "p"] | None = None
    value: str | None = None
    direction: Literal["positive", "negative"] | None = None
    significant: Literal["yes", "no", "marginal"] | None = None


class NoneSignificantClaim(_Claim):
    """No slope of a table is significant."""

    kind: Literal["none_significant"]
    metric: str
    view: Literal["absolute", "relative"]


class RowsClaim(_Claim):
    """Every table rests on `n` observations."""

    kind: Literal["rows"]
    n: int


class FigureClaim(_Claim):
    """A metric printed for `n` evaluation examples."""

    kind: Literal["figure"]
    metric: Literal["accuracy", "f1"]
    value: str
    n: int


class GainClaim(_Claim):
    """A difference of two printed figures; `n_after` when the second has another set."""

    kind: Literal["gain"]
    metric: Literal["accuracy", "f1"]
    before: str
    after: str
    n: int
    n_after: int | None = None
    effect: bool = True


class SettingClaim(_Claim):
    """A setting within a stated space: lists are choices, ``{low, high}`` are ranges."""

    kind: Literal["setting"]
    setting: dict[str, float]
    space: dict[str, list[float] | dict[Literal["low", "high"], float]]
    size: int | None = None


class BalanceClaim(_Claim):
    """Classes of about the same size."""

    kind: Literal["balance"]
    counts: dict[str, int]


Claim = Annotated[
    CellClaim
    | NoneSignificantClaim
    | RowsClaim
    | FigureClaim
    | GainClaim
    | SettingClaim
    | BalanceClaim,
    Field(discriminator="kind"),
]


class Study(BaseModel):
    """A study: where it is, and what `study.Spec` needs to audit its tables."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    source: str
    spec: dict[str, Any] = Field(default_factory=dict)


class ClaimFile(BaseModel):
    """``resources/claims.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    studies: dict[str, Study]
    claims: list[Claim]


def read_claims(path: str | Path) -> ClaimFile:
    """Read and check a claims file.

    Raises:
        UserError: no such file, not YAML, a claim of another form, a repeated id, an unknown study.
    """
    try:
        read = ClaimFile.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{place}: {first['msg']}", where=str(path)) from None
    ids = [claim.id for claim in read.claims]
    for claim in read.claims:
        if ids.count(claim.id) > 1:
            raise UserError(f"claim {claim.id} occurs twice", where=str(path))
        if claim.study not in read.studies:
            raise UserError(
                f"claim {claim.id} is of unknown study {claim.study!r}",
                where=str(path),
                expected=", ".join(read.studies),
            )
    return read


def read_study(path: str | Path, study: str | None = None) -> dict[str, Any]:
    """The audit specification of a study in a claims file (the first one by default).

    Raises:
        UserError: no such study.
    """
    studies = read_claims(path).studies
    name = study or next(iter(studies), "")
    if name not in studies:
        raise UserError(f"no study {name!r}", where=str(path), expected=", ".join(studies))
    return dict(studies[name].spec)


@dataclass
class _Verdict:
    """A row of the output under construction."""

    verdict: str
    why: str
    cells: dict[str, str] = field(default_factory=dict)


# --- claims about coefficients --------------------------------------------------------------------


def _same_number(quoted: Printed, printed: Printed) -> bool:
    """Whether the finer of two printed numbers rounds to the coarser."""
    a, b = quoted.interval, printed.interval
    fine, coarse = (quoted, b) if (a.high - a.low) <= (b.high - b.low) else (printed, a)
    return coarse.low <= fine.value <= coarse.high


def resolve(claim: CellClaim, audit: Audit) -> tuple[PublishedTable, Row] | None:
    """The cell that a claim quotes.

    With a quoted value: the cells that print it, those of the claimed table first, then by label,
    then by the named term. Without: the labelled row, else the named term's, of the claimed table.
    """
    quoted = None if claim.value is None else parse_printed(claim.value, f"claim {claim.id}")
    label = (claim.label or "").lower()

    def rank(table: PublishedTable, row: Row) -> tuple[bool, bool, bool, bool]:
        return (
            not _is_claimed(claim, table),
            bool(label) and row.term.lower() != label,
            audit.reading.name(table, row.term) != claim.means,
            table.metric != claim.metric,
        )

    cells = [(table, row) for table in audit.tables for row in table.rows]
    if quoted is not None and claim.quantity is not None:
        cells = [c for c in cells if _same_number(quoted, getattr(c[1], claim.quantity))]
    else:
        cells = [c for c in cells if _is_claimed(claim, c[0]) and not rank(*c)[1 if label else 2]]
    return min(cells, key=lambda cell: rank(*cell), default=None)


def _is_claimed(claim: CellClaim, table: PublishedTable) -> bool:
    return table.metric == claim.metric and claim.view in (None, table.view)


def _judge_cell(claim: CellClaim, audit: Audit) -> _Verdict:
    found = resolve(claim, audit)
    cells = {"named_term_says": _named_term_says(claim, audit)}
    if found is None:
        what = f"{claim.quantity} {claim.value}" if claim.value else "such a row"
        return _Verdict("not_found", f"no table prints {what}", cells)
    table, row = found
    name = (table.name, row.term)
    cell_term = audit.reading.name(table, row.term) or row.term
    p = audit.family.p.get(name)
    right_table = _is_claimed(claim, table)
    right_term = cell_term == claim.means
    right_direction = claim.direction is None or (
        row.coef.value > 0 if claim.direction == "positive" else row.coef.value < 0
    )
    small = p is not None and p.high < audit.family.alpha
    right_significance = (
        claim.significant is None
        or (claim.significant == "yes" and small)
        or (claim.significant == "no" and not small)
        or (claim.significant == "marginal" and p is not None and not small and p.low < MARGINAL)
    )
    survival = {m: audit.family.survives(name, m) for m in multiplicity.METHODS}
    errors = sum(
        f.severity == "error" and f.term == row.term and f.table == table.name
        for f in audit.findings
    )
    cells |= {
        "cell": f"table {table.name} {row.term}",
        "cell_term": cell_term,
        "cell_says": _row_says(row),
        "right_table": _yes(right_table),
        "right_term": _yes(right_term),
        "right_direction": _yes(right_direction) if claim.direction else "",
        "right_significance": _yes(right_significance) if claim.significant else "",
        "row_errors": str(errors),
    }
    if claim.significant == "yes":
        cells |= {f"survives_{m}": survival[m] for m in multiplicity.METHODS}
    wrong = []
    where = f"table {table.name} {row.term}"
    if not right_table:
        said = " ".join(filter(None, (claim.metric, claim.view)))
        wrong.append(("wrong_table", f"quotes {where} ({table.metric} {table.view}) for {said}"))
    if not right_term:
        wrong.append(("wrong_term", f"{where} is {cell_term}, not {claim.means}"))
    if not right_direction:
        wrong.append(("wrong_direction", f"the coefficient is {row.coef.text}"))
    if not right_significance:
        verdict = "wrong_significance" if claim.significant == "no" else "not_significant"
        wrong.append((verdict, f"p is {row.p.text}"))
    elif claim.significant == "yes" and survival["bh"] != "yes":
        wrong.append(("does_not_survive", "p does not survive Benjamini-Hochberg over the study"))
    elif claim.significant == "yes" and "no" in (survival["holm"], survival["by"]):
        wrong.append(("fragile", "p survives Benjamini-Hochberg but not Holm or Yekutieli"))
    if errors and not wrong:
        wrong.append(("fragile", "the quoted row contradicts itself or its table"))
    if not wrong:
        return _Verdict("holds", "as printed", cells)
    return _Verdict(wrong[0][0], "; ".join(text for _, text in wrong), cells)


def _row_says(row: Row) -> str:
    return f"coef {row.coef.text}, p {row.p.text}"


def _named_term_says(claim: CellClaim, audit: Audit) -> str:
    """What the claimed table says of the term that the words name."""
    said = []
    for table in audit.tables:
        row = audit.reading.find(table, claim.means) if _is_claimed(claim, table) else None
        if row is not None:
            said.append(f"table {table.name} {row.term}: {_row_says(row)}")
    return "; ".join(said)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _judge_none_significant(claim: NoneSignificantClaim, audit: Audit) -> _Verdict:
    table = audit.table(claim.metric, claim.view)
    if table is None:
        return _Verdict("not_found", "no such table")
    small = [r.term for r in table.slopes if audit.family.significant((table.name, r.term))]
    cells = {"cell": f"table {table.name}"}
    if small:
        return _Verdict("wrong_significance", f"p is small for {', '.join(small)}", cells)
    return _Verdict("holds", f"no slope has p < {audit.family.alpha:g}", cells)


def _judge_rows(claim: RowsClaim, audit: Audit) -> _Verdict:
    implied = []
    agree = True
    for table in audit.tables:
        sizes = possible_n(table, audit.degrees[table.name])
        if sizes is not None:
            agree &= claim.n in sizes[0] | sizes[1]
            implied.append(f"table {table.name} {span(sizes[0] | sizes[1])}")
    said = "n that the degrees of freedom imply: " + ", ".join(implied)
    return _Verdict("holds" if agree else "contradicted", said)


# --- claims about figures -------------------------------------------------------------------------


def _judge_figure(claim: FigureClaim) -> _Verdict:
    if claim.metric == "accuracy":
        counts = granularity.possible_counts(claim.value, claim.n)
        if not counts:
            return _Verdict("impossible", f"no k of {claim.n} gives {claim.value}")
        said = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        return _Verdict("possible", f"{said} of {claim.n} examples right", {"cell_says": said})
    pairs = granularity.possible_f1(claim.value, claim.n)
    if not len(pairs):
        return _Verdict("impossible", f"no counts on {claim.n} examples give F1 {claim.value}")
    errors = pairs[:, 1]
    said = f"{len(pairs)} pairs of true positives and errors"
    why = f"{said} fit, with {errors.min()} to {errors.max()} errors: granularity does not decide"
    return _Verdict("undecidable", why, {"cell_says": said})


def _judge_gain(claim: GainClaim, alpha: float) -> _Verdict:
    if claim.n_after is not None and claim.n_after != claim.n:
        return _judge_two_sets(claim, claim.n_after)
    if claim.metric == "f1":
        fewest = granularity.fewest_changes(
            granularity.possible_f1(claim.before, claim.n),
            granularity.possible_f1(claim.after, claim.n),
        )
        if fewest is None:
            return _Verdict("impossible", f"a figure cannot occur on {claim.n} examples")
        within = 2 * 0.5**fewest >= alpha
        said = (
            f"as few as {fewest} changed predictions of {claim.n} can make it (if F1 is binary)"
            + (": too few for any paired test to tell" if within else "")
        )
        return _noise(claim, said, within, said)
    gain = granularity.examples_gained(claim.before, claim.after, claim.n)
    if gain.fewest is None or gain.most is None or gain.best_p is None:
        return _Verdict("impossible", f"a figure cannot occur on {claim.n} examples")
    many = f"{gain.fewest}" if gain.fewest == gain.most else f"{gain.fewest} to {gain.most}"
    many += " example" if many == "1" else " examples"
    points = (float(claim.after) - float(claim.before)) * 100
    said = (
        f"{points:.2g} points are {many} of {claim.n}; one accuracy has a standard error "
        f"of {gain.standard_error * 100:.2g} points"
    )
    why = f"{said}; at best (every change one way) a paired test gives p = {gain.best_p:.2g}"
    return _noise(claim, said, gain.best_p >= alpha, why)


def _noise(claim: GainClaim, said: str, within: bool, why: str) -> _Verdict:
    if claim.effect:
        return _Verdict("within_noise" if within else "possible", why, {"cell_says": said})
    return _Verdict("holds" if within else "possible", why, {"cell_says": said})


def _judge_two_sets(claim: GainClaim, n_after: int) -> _Verdict:
    before, after = (granularity.share_of(text).middle for text in (claim.before, claim.after))
    error = np.sqrt(before * (1 - before) / claim.n + after * (1 - after) / n_after)
    z = (after - before) / error
    said = (
        f"{100 * (after - before):.3g} points between sets of {claim.n} and {n_after} examples, "
        f"{z:.2g} standard errors (as if accuracies)"
    )
    beyond = abs(z) >= 1.96 and (z > 0) == claim.effect
    return _Verdict("possible" if beyond else "within_noise", said, {"cell_says": said})


def _judge_setting(claim: SettingClaim) -> _Verdict:
    size = int(np.prod([len(v) for v in claim.space.values() if isinstance(v, list)] or [1]))
    if claim.size is not None and size != claim.size:
        return _Verdict("contradicted", f"the stated choices give {size} combinations")
    outside = []
    for name, value in claim.setting.items():
        allowed = claim.space.get(name)
        if isinstance(allowed, dict):
            inside = allowed["low"] <= value <= allowed["high"]
            said = f"within {allowed['low']:g} to {allowed['high']:g}"
        else:
            inside = allowed is not None and any(np.isclose(value, a, rtol=1e-9) for a in allowed)
            said = "among " + ", ".join(f"{a:g}" for a in allowed or ())
        if not inside:
            outside.append(f"{name} {value:g} is not {said}")
    if outside:
        return _Verdict("contradicted", "; ".join(outside))
    return _Verdict("holds", "within the stated choices")


def _judge_balance(claim: BalanceClaim) -> _Verdict:
    total = sum(claim.counts.values())
    name, most = max(claim.counts.items(), key=lambda item: item[1])
    said = f"{most} of {total} examples ({100 * most / total:.1f} %) are {name}"
    balanced = most / total <= BALANCED
    why = said if balanced else f"{said}; always saying so scores that accuracy"
    return _Verdict("holds" if balanced else "contradicted", why, {"cell_says": said})


# --- our own refit --------------------------------------------------------------------------------


def read_refits(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Coefficient tables of our own fits, stacked.

    Columns used: metric, view, term, estimable, estimate and the first of p_cr3, p_hc3,
    p_classical that has a value. The population is read from the path,
    ``.../{population}/{view}/{metric}/coefficients.csv``, and empty for another path.

    Raises:
        UserError: a table lacks one of them.
    """
    needed = ("metric", "view", "term", "estimable", "estimate")
    kinds = ("p_cr3", "p_hc3", "p_classical")
    frames = []
    for path in paths:
        frame = read_table(path)
        missing = [name for name in needed if name not in frame]
        if missing or not any(kind in frame for kind in kinds):
            raise UserError(
                f"no column {', '.join(missing) or 'of p-values'}",
                where=str(path),
                expected="a coefficients.csv of a regression",
            )
        ps = frame.reindex(columns=list(kinds)).astype("float64")
        frames.append(
            frame[list(needed)].assign(
                population=parts[-4] if len(parts := Path(path).parts) > 4 else "",
                p=ps.bfill(axis=1).iloc[:, 0],
                source=[
                    next((k.removeprefix("p_") for k in kinds if np.isfinite(row[k])), "")
                    for _, row in ps.iterrows()
                ],
            )
        )
    if not frames:
        return pd.DataFrame(columns=[*needed, "population", "p", "source"])
    return pd.concat(frames, ignore_index=True)


def _against_refit(claim: CellClaim, refits: pd.DataFrame | None, alpha: float) -> dict[str, str]:
    """Whether our coefficients of the named term have the sign and significance that are claimed.

    ``agrees`` when all do, ``disagrees`` when none does, ``mixed`` otherwise; ``refit_says`` gives
    each with its population and view.
    """
    if refits is None:
        return {"refit": "not available"}
    rows = refits[(refits["metric"] == claim.metric) & (refits["term"] == claim.means)]
    if claim.view is not None:
        rows = rows[rows["view"] == claim.view]
    if rows.empty:
        return {"refit": "not available"}
    usable = rows[rows["estimable"].astype(bool) & np.isfinite(rows["estimate"].astype(float))]
    if usable.empty:
        return {"refit": "not estimable"}
    agree = []
    said = []
    for population, view, estimate, p, source in zip(
        usable["population"], usable["view"], usable["estimate"], usable["p"], usable["source"],
        strict=True,
    ):  # fmt: skip
        sign = claim.direction is None or (estimate > 0) == (claim.direction == "positive")
        small = p < alpha
        wanted = {"yes": small, "no": not small, "marginal": alpha <= p < MARGINAL}
        agree.append(
            (sign or (claim.significant == "no" and not small))
            and (claim.significant is None or wanted[claim.significant])
        )
        place = " ".join(filter(None, (population, view)))
        said.append(f"{place}: {estimate:+.4g}, p {p:.3g} ({source})")
    outcome = "agrees" if all(agree) else "mixed" if any(agree) else "disagrees"
    return {"refit": outcome, "refit_says": "; ".join(said)}


# --- the stage ------------------------------------------------------------------------------------


def judge(claim: Claim, audit: Audit, refits: pd.DataFrame | None = None) -> dict[str, str]:
    """One claim's row, with the columns of `COLUMNS`."""
    given = claim.model_dump()
    row = {name: str(given[name]) for name in COLUMNS if given.get(name) is not None}
    extra: dict[str, str] = {}
    match claim:
        case CellClaim():
            verdict = _judge_cell(claim, audit)
            row["quoted"] = f"{claim.quantity} {claim.value}" if claim.value else ""
            extra = _against_refit(claim, refits, audit.family.alpha)
        case NoneSignificantClaim():
            verdict = _judge_none_significant(claim, audit)
        case RowsClaim():
            verdict = _judge_rows(claim, audit)
            row["quoted"] = f"n {claim.n}"
        case FigureClaim():
            verdict = _judge_figure(claim)
            row["quoted"] = f"{claim.metric} {claim.value} on {claim.n}"
        case GainClaim():
            verdict = _judge_gain(claim, audit.family.alpha)
            row["quoted"] = f"{claim.metric} {claim.before} to {claim.after}"
        case SettingClaim():
            verdict = _judge_setting(claim)
            row["quoted"] = ", ".join(f"{k} {v:g}" for k, v in claim.setting.items())
        case BalanceClaim():
            verdict = _judge_balance(claim)
    return {**row, **verdict.cells, **extra, "verdict": verdict.verdict, "why": verdict.why}


def _names_of_labels(claims: Sequence[Claim]) -> dict[tuple[str, str], set[str]]:
    """What a study's text calls each label."""
    names: dict[tuple[str, str], set[str]] = {}
    for claim in claims:
        if isinstance(claim, CellClaim) and claim.label:
            names.setdefault((claim.study, claim.label.lower()), set()).add(claim.means)
    return names


def audit_claims(
    claims_path: str | Path,
    tables_path: str | Path,
    refit_coefficients: Sequence[str | Path] | None,
    out_csv: str | Path,
    spec: dict[str, Any] | None = None,
) -> pd.DataFrame:
    """Resolve and judge every claim of a file, one row each.

    Args:
        claims_path: studies and claims, see `ClaimFile`.
        tables_path: the printed tables that cell claims quote.
        refit_coefficients: coefficient tables of our own fits, or None.
        out_csv: columns `COLUMNS`; verdicts are holds, fragile, does_not_survive,
            not_significant, wrong_significance, wrong_direction, wrong_term, wrong_table,
            not_found, contradicted and, for figures, possible, impossible, undecidable,
            within_noise.
        spec: overrides keys of the first study's specification.

    Raises:
        UserError: an unreadable file; nothing is written then.
    """
    content = read_claims(claims_path)
    known = {**next(iter(content.studies.values())).spec, **(spec or {})}
    audit = examine(read_tables(tables_path, read_spec(known).level), known)
    refits = read_refits(refit_coefficients) if refit_coefficients else None
    names = _names_of_labels(content.claims)
    rows = []
    for claim in content.claims:
        row = judge(claim, audit, refits)
        if isinstance(claim, CellClaim) and claim.label:
            others = names[claim.study, claim.label.lower()] - {claim.means}
            row["label_also_names"] = ", ".join(sorted(others))
        rows.append(row)
    table = text_table(rows, COLUMNS)
    write_table(table, out_csv)
    return table
