"""Parallel coordinates that a page can explore without a network: one self-contained snippet.

The data lie in the page as JSON and are drawn by a few lines of plain JavaScript: seeds fold into
the mean of their setting, a drag along an axis selects, a click on its name takes the selection
back, the colour runs towards the better end whatever the metric's direction.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunescape.figures.style import plain, use_log, wording
from tunescape.tuning.trials import explored

if TYPE_CHECKING:
    import pandas as pd


def parallel_data(
    trials: pd.DataFrame, factors: Sequence[str], metric: str, maximise: bool
) -> dict[str, Any]:
    """What parallel coordinates show, as plain data.

    Args:
        trials: rows of trials.csv (see `trials.trial_table`).
        factors: columns that become axes; those that never vary are left out.
        metric: name of the tuned metric, the last axis.

    Returns:
        ``axes`` (name, said, log, values of a factor with names), ``rows`` (search, seed,
        configuration, and the axes' values), ``metric``, ``maximise``, ``searches``.
    """
    import numpy as np
    import pandas as pd

    good = explored(trials)
    axes: list[dict[str, Any]] = []
    for name in factors:
        column = good[name]
        if column.nunique() < 2:
            continue
        axis: dict[str, Any] = {"name": name, "said": wording(name), "log": False, "names": None}
        if pd.api.types.is_numeric_dtype(column):
            axis["log"] = use_log(np.asarray(column, dtype=float))
        else:
            axis["names"] = sorted({plain(value) for value in column})
        axes.append(axis)
    axes.append({"name": "value", "said": wording(metric), "log": False, "names": None})
    rows = []
    for row in good.to_dict("records"):
        values = [
            plain(row[axis["name"]]) if axis["names"] else float(row[axis["name"]]) for axis in axes
        ]
        if all(isinstance(v, str) or math.isfinite(v) for v in values):
            rows.append(
                {
                    "search": plain(row["search"]),
                    "seed": int(row["seed"]),
                    "setting": str(row["configuration"]),
                    "values": values,
                }
            )
    return {
        "axes": axes,
        "rows": rows,
        "metric": wording(metric),
        "maximise": bool(maximise),
        "searches": list(dict.fromkeys(row["search"] for row in rows)),
    }


def parallel_snippet(data: Mapping[str, Any], identifier: str = "parallel") -> str:
    """HTML of an interactive figure: a container, its data and its script, nothing fetched.

    Args:
        data: see `parallel_data`.
        identifier: unique in the page; letters, digits and hyphens.

    Raises:
        ValueError: another identifier.
    """
    if not identifier.replace("-", "").isalnum():
        raise ValueError(f"not an identifier: {identifier!r}")
    # `<` cannot end the script element or open a comment when it is escaped.
    text = json.dumps(data, allow_nan=False, ensure_ascii=True).replace("<", "\\u003c")
    label = html.escape(f"Parallel coordinates of {len(data['rows'])} runs and their settings")
    return _TEMPLATE.replace("@ID@", identifier).replace("@LABEL@", label).replace("@DATA@", text)


_TEMPLATE = """<div class="parallel small" id="@ID@" hidden>
<p><label><input type="checkbox" checked> one line a setting (mean over its seeds)</label>
<label>stage <select><option value="">all</option></select></label> <output></output></p>
<svg role="img" aria-label="@LABEL@" viewBox="0 0 860 320" width="100%"></svg>
<script type="application/json">@DATA@</script>
<script>
(() => {
  const root = document.getElementById("@ID@"), svg = root.querySelector("svg");
  root.hidden = false;
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const fold = root.querySelector("input"), stage = root.querySelector("select");
  const said = root.querySelector("output"), brushes = new Map();
  const W = 860, top = 46, bottom = 296, left = 50, right = 810;
  const step = data.axes.length > 1 ? (right - left) / (data.axes.length - 1) : 0;
  for (const name of data.searches) stage.add(new Option(name, name));
  const scales = data.axes.map((axis, k) => {
    if (axis.names) {
      const at = new Map(axis.names.map((n, i) => [n, (i + 0.5) / axis.names.length]));
      return {place: v => at.get(v), low: axis.names[0], high: axis.names[axis.names.length - 1]};
    }
    const all = data.rows.map(r => r.values[k]);
    const low = Math.min(...all), high = Math.max(...all), g = axis.log ? Math.log : x => x;
    const span = g(high) - g(low) || 1;
    return {place: v => (g(v) - g(low)) / span, low, high};
  });
  const short = v => typeof v === "string" ? v : Number(v.toPrecision(3)).toString();
  const rows = () => {
    let kept = data.rows.filter(r => !stage.value || r.search === stage.value);
    if (!fold.checked) return kept.map(r => ({...r, n: 1}));
    const groups = new Map();
    for (const r of kept) groups.set(r.setting, [...(groups.get(r.setting) || []), r]);
    return [...groups.values()].map(g => {
      const mean = g.reduce((sum, r) => sum + r.values[r.values.length - 1], 0) / g.length;
      return {...g[0], n: g.length, values: [...g[0].values.slice(0, -1), mean]};
    });
  };
  const make = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const y = t => bottom - t * (bottom - top);
  const draw = () => {
    svg.replaceChildren();
    const last = data.axes.length - 1, drawn = rows();
    const sign = data.maximise ? 1 : -1;
    drawn.sort((a, b) => sign * (a.values[last] - b.values[last]));
    drawn.forEach((r, i) => { r.rank = drawn.length > 1 ? i / (drawn.length - 1) : 1; });
    const good = r => r.rank;
    let count = 0;
    for (const r of drawn) {
      const inside = [...brushes].every(([k, [lo, hi]]) => {
        const t = scales[k].place(r.values[k]);
        return t >= lo && t <= hi;
      });
      count += inside;
      const points = r.values.map((v, k) => left + k * step + "," + y(scales[k].place(v)));
      const line = make("polyline", {points: points.join(" "), fill: "none",
        style: "stroke: " + (inside ? "var(--accent, #005a8c)" : "currentColor"),
        "stroke-width": inside ? 0.8 + good(r) : 0.5,
        "stroke-opacity": inside ? 0.2 + 0.8 * good(r) : 0.15});
      line.append(make("title", {}, r.search + (r.n > 1 ? ", mean of " + r.n + " seeds" :
        ", seed " + r.seed) + "\\n" +
        data.axes.map((a, k) => a.said + " " + short(r.values[k])).join("\\n")));
      svg.append(line);
    }
    data.axes.forEach((axis, k) => {
      const x = left + k * step;
      svg.append(make("line", {x1: x, x2: x, y1: top, y2: bottom, stroke: "currentColor",
        "stroke-opacity": 0.6}));
      const style = {x, "text-anchor": "middle", fill: "currentColor", "font-size": 11};
      const title = make("text", {...style, y: 16, cursor: "pointer"}, axis.said);
      title.onclick = () => { brushes.delete(k); draw(); };
      svg.append(title, make("text", {...style, y: 36, "font-size": 10}, short(scales[k].high)),
        make("text", {...style, y: 312, "font-size": 10}, short(scales[k].low)));
      if (brushes.has(k)) {
        const [lo, hi] = brushes.get(k);
        svg.append(make("rect", {x: x - 5, width: 10, y: y(hi), height: y(lo) - y(hi),
          fill: "currentColor", "fill-opacity": 0.25}));
      }
      const grip = make("rect", {x: x - 12, width: 24, y: top, height: bottom - top,
        fill: "transparent", cursor: "crosshair"});
      const at = event => {
        const box = svg.getBoundingClientRect();
        const t = (bottom - (event.clientY - box.top) * W / box.width) / (bottom - top);
        return Math.min(Math.max(t, 0), 1);
      };
      grip.onpointerdown = down => {
        const from = at(down);
        const move = event => {
          const to = at(event);
          brushes.set(k, [Math.min(from, to), Math.max(from, to)]);
          draw();
        };
        const up = () => { removeEventListener("pointermove", move);
                           removeEventListener("pointerup", up); };
        addEventListener("pointermove", move);
        addEventListener("pointerup", up);
        down.preventDefault();
      };
      svg.append(grip);
    });
    said.textContent = count + " of " + drawn.length + (fold.checked ? " settings" : " runs");
  };
  fold.onchange = stage.onchange = draw;
  draw();
})();
</script>
</div>
"""
