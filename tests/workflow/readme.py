"""The README's generated blocks: rule graph and rerun table. Run it to write them anew.

The graph is whole only where the study has run: behind a checkpoint that has not, jobs are unknown.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GRAPH = re.compile(r"(<!-- rule graph[^>]*-->\n).*?(<!-- end of rule graph -->)", re.S)
TABLE = re.compile(r"(<!-- rerun table -->\n).*?(<!-- end of rerun table -->)", re.S)


def rule_graph(project: Path) -> str:
    """The rule graph of a finished study as Mermaid text, edges sorted by name."""
    snakemake = Path(sys.executable).parent / "snakemake"
    drawn = subprocess.run(
        [snakemake, "--rulegraph", "mermaid-js"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = dict(re.findall(r"^\s*(id\d+)\[\"?(\w+)\"?\]", drawn, re.M))
    edges = {
        (names[a], names[b])
        for a, b in re.findall(r"^\s*(id\d+) --> (id\d+)", drawn, re.M)
        if names[b] != "all"
    }
    lines = [f"    {a} --> {b}" for a, b in sorted(edges)]
    return "\n".join(["```mermaid", "flowchart LR", *lines, "```", ""])


def fill(text: str, graph: str, table: str) -> str:
    """The README with both blocks replaced."""
    text = GRAPH.sub(lambda found: found[1] + graph + found[2], text)
    return TABLE.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "scripts"))
    from test_reruns import rerun_table

    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(), rule_graph(ROOT), rerun_table()))
