"""YAML that people write, read as plain data of bounded size and without trust."""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tunescape.errors import UserError, refuse, show

EXPONENT = re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$")
FILE_LIMIT = 2**20
"""Most bytes of a file; the next five bound what it may hold."""
TEXT_LIMIT = 2000
KEY_LIMIT = 100
DEPTH_LIMIT = 20
VALUE_LIMIT = 100_000
WHOLE_LIMIT = 2**63


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        UserError: when it is not there, not YAML, repeats a key, or is not a mapping of plain
            data (see :func:`settle`).
    """
    where = str(path)
    try:
        with Path(path).open("rb") as handle:
            read = handle.read(FILE_LIMIT + 1)
        if len(read) > FILE_LIMIT:
            raise UserError(f"larger than {FILE_LIMIT} bytes", where=where, expected="a few pages")
        data = yaml.load(read.decode("utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise UserError("no such file", where=where) from None
    except OSError as error:
        raise UserError(f"not readable ({error.strerror})", where=where) from None
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text", where=where) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = error.problem or error.context
        raise UserError(f"not valid YAML ({problem})", where=f"{where}{line}") from None
    except RecursionError:
        raise UserError("nested too deeply", where=where) from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:
        # YAML's own types (dates, numbers) raise what their constructors raise.
        raise UserError(f"not valid YAML ({show(str(error))})", where=where) from None
    return {} if data is None else settle(data, where)


def settle(data: object, source: str) -> dict[str, Any]:
    """Plain data of bounded size, which is what everything after it relies on.

    Keys are texts; values are texts, truth values, finite numbers, lists and mappings; dates
    become texts. Aliases count each time that they are used.

    Raises:
        UserError: with every place that holds anything else, nests deeper than 20 levels, or a
            text of more than 2,000 characters.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"holds {show(data)}", where=source, expected="keys and values")
    problems: list[str] = []
    left = VALUE_LIMIT

    def plain(value: object, place: tuple[str, ...]) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise UserError(f"holds more than {VALUE_LIMIT} values", where=source)
        if isinstance(value, (Mapping, list, tuple)):
            if len(place) > DEPTH_LIMIT:
                deep = f"nested too deeply; expected at most {DEPTH_LIMIT} levels"
                raise refuse([f"{'.'.join(place[:4])}: {deep}"], source)
            if not isinstance(value, Mapping):
                return [plain(item, (*place, str(i))) for i, item in enumerate(value)]
            names = {key: name(key, place) for key in value}
            return {names[key]: plain(value[key], (*place, names[key])) for key in value}
        if isinstance(value, datetime.date):
            return value.isoformat()
        if problem := _unfit(value):
            problems.append(f"{'.'.join(place)}: got {show(value)}, {problem}")
        return value

    def name(key: object, place: tuple[str, ...]) -> str:
        if isinstance(key, str) and key.isprintable() and len(key) <= KEY_LIMIT:
            return key
        problem = f"got the key {show(key)}, expected a short text"
        if isinstance(key, bool):
            problem += "; YAML takes on, off, yes and no for truth values"
        problems.append(f"{'.'.join(place) or '(top level)'}: {problem}")
        return show(key)

    settled: dict[str, Any] = plain(data, ())
    if problems:
        raise refuse(problems, source)
    return settled


def _unfit(value: object) -> str | None:
    """What is expected instead of a single value that no configuration can hold."""
    if isinstance(value, str):
        if len(value) > TEXT_LIMIT:
            return f"expected at most {TEXT_LIMIT} characters"
        odd = any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n" for c in value)
        return "expected a text without control characters" if odd else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "expected a finite number"
    if isinstance(value, int):
        return None if abs(value) < WHOLE_LIMIT else "expected a number below 2^63"
    return None if value is None else "expected text, a number, true or false, a list or a mapping"


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice and reads ``1e-5`` as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                key = repr(key)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


# YAML 1.1 takes `1e-5` for a string; editors and people take it for a number.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))
