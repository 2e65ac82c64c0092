"""``python -m tunescape.audit TABLE.csv``: audit a published regression table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from tunescape.audit.findings import SEVERITIES, Finding, Severity, finding_table
from tunescape.audit.study import Audit, examine, read_spec
from tunescape.audit.table import read_tables
from tunescape.errors import UserError
from tunescape.plain import read_yaml
from tunescape.tables import write_json, write_table

_EPILOG = """columns of TABLE.csv: term, coef, std_err and some of t, p, ci_low, ci_high (or
'Std Err', 'P>|t|', '[0.025', '0.975]' ...); optionally table, metric, view. Numbers are read as
printed.
Exit status: 0 when the audit ran, whatever it found; 2 when it could not."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tunescape.audit",
        description="Check a published regression table against itself.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", metavar="TABLE.csv")
    parser.add_argument("-o", "--output", metavar="OUT.csv", help="write the findings here")
    parser.add_argument("--summary", metavar="OUT.json", help="write the summary by table here")
    parser.add_argument("--level", type=float, help="confidence level of the intervals (0.95)")
    parser.add_argument("--alpha", type=float, help="level of significance (0.05)")
    parser.add_argument("--n", type=int, help="stated number of observations of every table")
    parser.add_argument("--factors", metavar="A,B,C", help="factors of numbered terms, in order")
    parser.add_argument(
        "--baseline", metavar="NAME=VALUE,...", help="what a relative view refers to"
    )
    parser.add_argument(
        "--at", metavar="NAME=VALUE,...", action="append", default=[],
        help="a setting at which to predict; may be repeated",
    )  # fmt: skip
    parser.add_argument("--spec", metavar="SPEC.yaml", help="all of the above as one file")
    parser.add_argument(
        "--least", choices=SEVERITIES, default="note", help="least severity printed (note)"
    )
    return parser


def _assignments(text: str, option: str) -> dict[str, float]:
    result = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            result[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise UserError(f"{part!r}", where=option, expected="NAME=VALUE,NAME=VALUE")
    return result


def _specification(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if options.spec:
        spec = read_yaml(options.spec)
    for key in ("level", "alpha"):
        if getattr(options, key) is not None:
            spec[key] = getattr(options, key)
    if options.factors:
        spec["factors"] = [name.strip() for name in options.factors.split(",")]
    if options.baseline:
        spec["baseline"] = _assignments(options.baseline, "--baseline")
    if options.at:
        points = {text: _assignments(text, "--at") for text in options.at}
        spec["settings"] = {**dict(spec.get("settings") or {}), **points}
    if options.n is not None:
        spec["n"] = dict.fromkeys(names, options.n)
    return spec


def describe(audit: Audit, least: Severity = "note") -> str:
    """A summary to read: one line a table, then the findings from the most severe."""
    lines = []
    for name, told in audit.summary()["tables"].items():
        table = next(t for t in audit.tables if t.name == name)
        df = told["df"] if told["df"] is not None else _range(told["df_range"])
        parts = [
            f"{told['rows']} rows" + ("" if table.constant else " (no constant)"),
            f"df {df}",
            f"n {_range(told['n'])}",
            f"p < {audit.spec.alpha:g}: {len(told['survivors']['printed'])}"
            f" (Holm {len(told['survivors']['holm'])}, BH {len(told['survivors']['bh'])}"
            f", BY {len(told['survivors']['by'])})",
        ]
        if told["surface"]:
            parts.append(told["surface"]["nature"])
        title = " ".join(filter(None, (name, told["metric"], told["view"])))
        lines.append(f"{title}: " + ", ".join(parts))
    shown = SEVERITIES[SEVERITIES.index(least) :]
    for severity in reversed(shown):
        found = [f for f in audit.findings if f.severity == severity]
        if found:
            lines += ["", f"{severity} ({len(found)})"]
            lines += [_line(finding) for finding in found]
    counts = ", ".join(
        f"{sum(f.severity == s for f in audit.findings)} {s}" for s in reversed(SEVERITIES)
    )
    return "\n".join([*lines, "", f"findings: {counts}"])


def _line(finding: Finding) -> str:
    said = " -> ".join(filter(None, (finding.printed, finding.recomputed)))
    return f"  {finding.id}: {said}\n      {finding.why}"


def _range(limits: Sequence[int] | None) -> str:
    if limits is None:
        return "unknown"
    low, high = limits
    return f"{low}" if low == high else f"{low} to {high}"


def _printable(text: str) -> str:
    """Without control characters, which a cell could use to write on a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        level = options.level
        if level is None and options.spec:
            level = read_spec(_specification(options, ())).level
        tables = read_tables(options.table, level)
        audit = examine(tables, _specification(options, [table.name for table in tables]))
        if options.output:
            write_table(finding_table(audit.findings), options.output)
        if options.summary:
            write_json(audit.summary(), options.summary)
    except (UserError, OSError) as error:
        print(_printable(f"audit: {error}"), file=sys.stderr)
        return 2
    try:
        print(_printable(describe(audit, options.least)), flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
