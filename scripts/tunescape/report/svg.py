"""SVG files made fit to stand inside a page."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup, escape

from tunescape.errors import UserError
from tunescape.figures.style import NEUTRALS

_HEAD = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_DROPPED = re.compile(
    r"<!--.*?-->|<metadata>.*?</metadata>|<defs>\s*<style[^>]*>.*?</style>\s*</defs>", re.DOTALL
)
_ROOT = re.compile(r"<svg\b[^>]*>")
_VIEW = re.compile(r'viewBox="([^"]*)"')
_TAG = re.compile(r"<[^>]*>")
_ID = re.compile(r'\b(id="|href="#|url\(#)([^")]+)')
_UNWANTED = re.compile(
    r"^</?(?:script|style|foreignObject|iframe|a|animate|set)\b|\son\w+\s*="
    r"|href=\"(?!#|data:image/png;base64,)|url\((?!#)",
    re.IGNORECASE,
)


def inline_svg(path: str | Path, prefix: str, alt: str) -> Markup:
    """The drawing as an element of a page.

    Ids get a prefix that is unique on the page, neutral colours become the page's own (so that a
    dark page has light axes), and the alternative text is set.

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
    body = _TAG.sub(lambda m: _adapted(m[0], prefix), body[root.end() :])
    body = re.sub(r">\s+<", "><", body)
    head = f'<svg viewBox="{escape(view[1])}" role="img" aria-label="{escape(alt)}">'
    return Markup(head + body.strip())


def _adapted(tag: str, prefix: str) -> str:
    tag = _ID.sub(lambda m: f"{m[1]}{prefix}-{m[2]}", tag.replace("xlink:href", "href"))
    for name, colour in NEUTRALS.items():
        tag = tag.replace(colour, f"var(--{name})")
    return tag
