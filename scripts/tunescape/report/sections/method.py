"""How it was done: configuration, versions, and how to cite."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import tunescape
from tunescape.report.data import ReportData
from tunescape.report.section import Context, Section

PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "statsmodels",
    "matplotlib",
    "Jinja2",
    "snakemake",
)


def build(data: ReportData) -> Context:
    """Configuration as YAML, versions of what computed it, and citations."""
    import yaml

    config = data.spec.get("config", {})
    return {
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=88),
        "versions": versions(),
        "mined": bool(data.populations),
        "experiments": bool(data.experiments),
        "works": [work for work in (_work(w) for w in _works(data)) if work],
    }


def versions() -> list[tuple[str, str]]:
    """Name and version of the project, the language and the libraries that are installed."""
    found = [
        ("tunescape", str(getattr(tunescape, "__version__", ""))),
        ("Python", platform.python_version()),
    ]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return [(name, version) for name, version in found if version]


def _works(data: ReportData) -> list[Any]:
    citation = dict(data.citation)
    return [citation, *citation.get("references", [])] if citation else []


def _work(entry: Any) -> dict[str, str] | None:
    """One entry of a CITATION.cff (1.2.0) as authors, title and where to find it."""
    if not isinstance(entry, dict) or not entry.get("title"):
        return None
    authors = []
    for author in entry.get("authors", []):
        given = str(author.get("given-names", ""))
        family = str(author.get("family-names", author.get("name", "")))
        authors.append(f"{given} {family}".strip())
    where = [str(i.get("value", "")) for i in entry.get("identifiers", []) if isinstance(i, dict)]
    if entry.get("version"):
        where.insert(0, f"version {entry['version']}")
    return {"authors": ", ".join(authors), "title": str(entry["title"]), "where": ", ".join(where)}


SECTION = Section("method", "Method, versions, citation", build)
