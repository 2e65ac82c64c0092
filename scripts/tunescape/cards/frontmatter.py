"""The YAML front matter of a card, read without trust.

Scalars stay strings (no dates, no booleans, no numbers), so that nothing is lost and nothing is
constructed: tags are ignored, never executed. Depth and size are bounded before the C parser sees
the text, because libyaml's composer recurses on the C stack.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError

try:
    from yaml import CBaseLoader as _BaseLoader
except ImportError:  # a PyYAML built without libyaml: slower, the same result
    from yaml import BaseLoader as _BaseLoader  # type: ignore[assignment]

MAX_CHARS = 262_144
MAX_DEPTH = 60
_OPENING = re.compile(r"\s*---[ \t]*\n")
_LATE_OPENING = re.compile(r"[^\n]{0,120}\n(?:[^\n]{0,120}\n)?---[ \t]*\n(?=[A-Za-z_-]{2,20}:)")
_CLOSING = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.M)
_DEEP_LINE = re.compile(rf"^(?:[ ]*[-?:][ \t]){{{MAX_DEPTH}}}", re.M)
_DEEP_INDENT = re.compile(rf"^[ ]{{{8 * MAX_DEPTH}}}[ ]*[-?\w]", re.M)
_MARKERS = re.compile(r"(?:^|[\s:,\[{-])([&*!])[\w!<]", re.M)
_BLOCK_KEY = re.compile(r"^([A-Za-z_][\w-]*)[ \t]*:(.*)$")


class _Loader(_BaseLoader):
    """PyYAML's BaseLoader without the search for tags and constructors that never differ.

    Both run once a node, in Python, and take more time than parsing itself.
    """

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return ""

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        return None if node is None else _plain(node, {})


_UNFINISHED = object()


def _plain(node: yaml.Node, made: dict[yaml.Node, Any]) -> Any:
    """Strings, lists and dicts of a node; nodes behind aliases are made once.

    Raises:
        yaml.constructor.ConstructorError: for recursion and for keys that are no scalars.
    """
    if type(node) is yaml.ScalarNode:
        return node.value
    if node in made:
        if made[node] is _UNFINISHED:
            raise ConstructorError(
                None, None, "found unconstructable recursive node", node.start_mark
            )
        return made[node]
    made[node] = _UNFINISHED
    data: Any
    if type(node) is yaml.SequenceNode:
        data = [_plain(item, made) for item in node.value]
    else:
        data = {}
        for key_node, value_node in node.value:
            key = _plain(key_node, made)
            if type(key) is not str:
                raise ConstructorError(
                    "while constructing a mapping",
                    node.start_mark,
                    "found unhashable key",
                    key_node.start_mark,
                )
            data[key] = _plain(value_node, made)
    made[node] = data
    return data


def split_front_matter(text: str) -> tuple[int, int, int, str]:
    """Where the front matter lies.

    Args:
        text: the card with LF line ends.

    Returns:
        (start, end, body, problem): ``text[start:end]`` is the YAML block (empty when there is
        none), ``text[body:]`` the rest; ``problem`` names an unterminated block.
    """
    # Some cards have a line or two above the front matter.
    opening = _OPENING.match(text) or _LATE_OPENING.match(text)
    if opening is None:
        return 0, 0, 0, ""
    start = opening.end()
    closing = _CLOSING.search(text, start)
    if closing is None:
        if _BLOCK_KEY.match(text[start : text.find("\n", start) % (len(text) + 1)]):
            return start, _block_end(text, start), start, "front_matter_unterminated"
        return 0, 0, start, ""
    return start, closing.start(), closing.end(), ""


def _block_end(text: str, start: int) -> int:
    """Where an unclosed block stops looking like YAML: at a heading or at running text."""
    position = start
    for line in text[start : start + MAX_CHARS].split("\n"):
        if line.startswith("#") or (line[:1].isalpha() and not _BLOCK_KEY.match(line)):
            break
        position += len(line) + 1
    return min(position, len(text))


def load_front_matter(block: str) -> tuple[dict[str, Any], list[str]]:
    """The mapping of a YAML block, every scalar a string, and the problems met.

    A block that is no YAML, or too large or too deep to parse safely, is salvaged line by line:
    top-level ``key: value`` and ``- item`` lists survive.
    """
    problems: list[str] = []
    if not block.strip():
        return {}, problems
    if len(block) > MAX_CHARS:
        problems.append("front_matter_too_large")
        return salvage(block[:MAX_CHARS]), problems
    if _too_deep(block):
        problems.append("front_matter_too_deep")
        return salvage(block), problems
    if ("!" in block or "&" in block or "*" in block) and (marks := set(_MARKERS.findall(block))):
        marks = _confirmed(block, marks)
        if "!" in marks:
            problems.append("yaml_tag_ignored")
        if "*" in marks:
            # The loader shares the node behind an alias and refuses recursion; readers cap copies.
            problems.append("yaml_alias_bounded")
    if "\t" in block:
        # YAML forbids tabs as indentation; the intent is plain enough.
        block = block.replace("\t", " ")
        problems.append("front_matter_tabs")
    try:
        loaded = yaml.load(block, Loader=_Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, UnicodeError) as error:
        problems.append(f"front_matter_malformed: {_reason(error)}")
        return salvage(block), problems
    if not isinstance(loaded, dict):
        problems.append("front_matter_not_a_mapping")
        return {}, problems
    return {str(key)[:64]: value for key, value in loaded.items()}, problems


def _reason(error: Exception) -> str:
    """Kind and place of a YAML error, without quoting the card."""
    mark = getattr(error, "problem_mark", None)
    where = f" at line {mark.line + 1}" if mark is not None else ""
    return f"{type(error).__name__}{where}"


def _too_deep(block: str) -> bool:
    if "[" in block or "{" in block:
        depth = deepest = 0
        opening = block.count("[") + block.count("{")
        if opening > MAX_DEPTH:
            for character in block:
                if character in "[{":
                    depth += 1
                    deepest = max(deepest, depth)
                elif character in "]}" and depth:
                    depth -= 1
            # Brackets in quoted prose do not nest for YAML, so only a deep nest is refused.
            if deepest > MAX_DEPTH:
                return True
    return _DEEP_LINE.search(block) is not None or _DEEP_INDENT.search(block) is not None


def _confirmed(block: str, marks: set[str]) -> set[str]:
    """Which of the suspected anchors, aliases and tags are YAML ones, not text."""
    confirmed: set[str] = set()
    try:
        for event in yaml.parse(block, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                confirmed.add("*")
            elif isinstance(event, yaml.NodeEvent) and event.anchor:
                confirmed.add("&")
            if getattr(event, "tag", None):
                confirmed.add("!")
    except yaml.YAMLError:
        return set()
    return confirmed & (marks | {"*", "&", "!"})


def salvage(block: str) -> dict[str, Any]:
    """Top-level scalars and lists of scalars of a block that is not YAML."""
    found: dict[str, Any] = {}
    key = ""
    for line in block.split("\n")[:5000]:
        if match := _BLOCK_KEY.match(line):
            key = match[1][:64]
            value = _scalar(match[2])
            if value.startswith("[") and value.endswith("]"):
                found[key] = [_scalar(item) for item in value[1:-1].split(",") if item.strip()]
            elif value:
                found[key] = value
        elif key and (item := line.strip()).startswith("- ") and ": " not in item:
            if not line.startswith((" " * 9,)):
                items = found.setdefault(key, [])
                if isinstance(items, list) and len(items) < 200:
                    items.append(_scalar(item[2:]))
        elif line[:1] not in (" ", "\t", "-", ""):
            key = ""
    return found


def _scalar(raw: str) -> str:
    value = raw.strip()
    # Drop an anchor, alias or tag in front of a scalar.
    while value[:1] in ("&", "*", "!"):
        head, _, rest = value.partition(" ")
        if head == value:
            return ""
        value = rest.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return value
