"""SVG files made fit to stand inside a page."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection
from pathlib import Path

from markupsafe import Markup, escape

from tunescape.errors import UserError
from tunescape.figures.style import NEUTRALS, PAGE_WIDTH

_HEAD = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_DROPPED = re.compile(
    r"<!--.*?-->|<metadata>.*?</metadata>|<defs>\s*<style[^>]*>.*?</style>\s*</defs>", re.DOTALL
)
_ROOT = re.compile(r"<svg\b[^>]*>")
_VIEW = re.compile(r'viewBox="([^"]*)"')
_TAG = re.compile(r"<[^>]*>")
_ID = re.compile(r'\b(id="|href="#|url\(#)([^")]+)')
_ANCHOR = re.compile(r' id="([^"]+)"')
_STYLE = re.compile(r' style="[^"]*"')
_SPACE = re.compile(r"(?<=[:;]) ")
# Coordinates are in points: a hundredth is finer than any screen or printer shows.
_PLACED = re.compile(r'(?<= )(?:d|x|y|x1|x2|y1|y2|points)="[^"]*"')
_EXCESS = re.compile(r"(\.\d\d)\d+")
_UNWANTED = re.compile(
    r"^</?(?:script|style|foreignObject|iframe|a|animate|set)\b|\son\w+\s*="
    r"|href=\"(?!#|data:image/png;base64,)|url\((?!#)",
    re.IGNORECASE,
)


def inline_svg(path: str | Path, prefix: str, alt: str) -> Markup:
    """The drawing as an element of a page.

    Ids get a prefix made from one that is unique on the page (those that nothing points to go),
    neutral colours become the page's own (so that a dark page has light axes), coordinates lose
    digits that cannot be seen, and the alternative text is set.

    Raises:
        UserError: when the file is no SVG, or holds scripts or anything to be loaded.
    """
    text = Path(path).read_text(encoding="utf-8")
    body = _DROPPED.sub("", _HEAD.sub("", text, count=1))
    root = _ROOT.search(body)
    view = _VIEW.search(root[0]) if root else None
    if root is None or view is None:
        raise UserError("not an SVG drawing", where=str(path))
    if any(_UNWANTED.search(tag) for tag in _TAG.findall(body)):
        raise UserError("holds a script or a link to load", where=str(path))
    # Only tags are touched: text between them is somebody's and stays as it is.
    body = body[root.end() :]
    used = {name for tag in _TAG.findall(body) for how, name in _ID.findall(tag) if how != 'id="'}
    body = _TAG.sub(lambda m: _adapted(m[0], _short(prefix), used), body)
    body = re.sub(r">\s+<", "><", body)
    head = f'<svg viewBox="{escape(view[1])}" role="img" aria-label="{escape(alt)}"'
    share = float(view[1].split()[2]) / (72 * PAGE_WIDTH)
    # A drawing made for a column keeps its letters as small as those of the others.
    narrow = f' style="width:{share:.0%};min-width:{38 * share:.0f}rem"' if share < 0.8 else ""
    head += f"{narrow}>"
    return Markup(head + body.strip())


def _short(prefix: str) -> str:
    """A prefix that is not longer than need be: ids are repeated a thousand times."""
    return f"g{zlib.crc32(prefix.encode()):x}"


def _adapted(tag: str, prefix: str, used: Collection[str]) -> str:
    """A tag with its ids prefixed, those that nothing points to left out, and less to carry."""
    tag = _ANCHOR.sub(lambda m: m[0] if m[1] in used else "", tag)
    tag = _ID.sub(lambda m: f"{m[1]}{prefix}-{m[2]}", tag.replace("xlink:href", "href"))
    tag = _STYLE.sub(lambda m: _SPACE.sub("", m[0]), tag)
    tag = _PLACED.sub(lambda m: _EXCESS.sub(r"\1", m[0]), tag)
    for name, colour in NEUTRALS.items():
        tag = tag.replace(colour, f"var(--{name})")
    return tag
