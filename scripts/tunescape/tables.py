"""Every file that the workflow writes goes through here: checked, sorted, atomic, deterministic."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARTIAL = ".part"
"""How the names of files and folders end while they are written (see `turns`)."""

# A spreadsheet takes a text for a formula that begins so (also with its full-width forms).
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_QUOTED = re.compile("'" + _FORMULA.pattern)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?inf")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    Readers see the old file or the new one and never a part; a failure leaves the old one.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name[:80]}.", suffix=PARTIAL
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(data: bytes, path: str | Path) -> None:
    """Write ``data`` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text(text: str, path: str | Path) -> None:
    """Write ``text`` atomically as UTF-8 with Unix line ends."""
    write_bytes(text.encode("utf-8"), path)


def write_json(obj: Any, path: str | Path) -> None:
    """Write plain data atomically: sorted keys, one-space indent, NaN and infinities refused.

    Raises:
        ValueError: when a number is not finite (``None`` says missing).
    """
    text = json.dumps(obj, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(text + "\n", path)


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: when the file is not there or not JSON, with its place.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("no such file", where=str(path)) from None
    except ValueError as error:
        raise UserError(
            f"not readable as JSON ({error})",
            where=str(path),
            fix="delete the file and run again: the rule that writes it makes it anew",
        ) from None


def write_sealed(obj: Any, path: str | Path) -> None:
    """Write plain data that is only of use when it is what was written, with its own digest."""
    text = json.dumps(obj, separators=(",", ":"), allow_nan=False)
    write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}", path)


def read_sealed(path: str | Path) -> Any:
    """Read a file of :func:`write_sealed`; ``None`` when it is missing, cut off or changed."""
    try:
        seal, _, data = Path(path).read_bytes().partition(b"\n")
    except OSError:
        return None
    return json.loads(data) if hashlib.sha256(data).hexdigest().encode() == seal else None


def write_table(
    frame: pd.DataFrame,
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    sort_by: Sequence[str] = (),
) -> None:
    """Write a table atomically with deterministic bytes.

    In CSV and TSV a text that a spreadsheet would take for a formula gets an apostrophe in front,
    which :func:`read_table` takes away. Numbers stay as they are.

    Args:
        frame: the rows; the index is not written.
        path: ``.csv``, ``.tsv`` or ``.parquet``.
        columns: column -> pandas dtype. When given, the columns must be exactly these and are
            written in this order, cast to these types.
        sort_by: columns that order the rows (stable).

    Raises:
        UserError: when columns are missing, unknown, or do not hold the stated type.
    """
    target = Path(path)
    if columns is not None:
        frame = conform(frame, columns, str(target))
    if sort_by:
        frame = frame.sort_values(list(sort_by), kind="stable")
    frame = frame.reset_index(drop=True)
    with atomic(target) as temporary:
        if target.suffix == ".parquet":
            frame.to_parquet(temporary, index=False, compression="zstd")
        elif target.suffix in SEPARATORS:
            shown = _each_text(frame, guarded)
            shown.to_csv(
                temporary,
                index=False,
                sep=SEPARATORS[target.suffix],
                lineterminator="\n",
                quoting=csv.QUOTE_NONNUMERIC if _has_return(shown) else csv.QUOTE_MINIMAL,
            )
        else:
            raise UserError(
                f"cannot write a table as '{target.suffix}'",
                where=str(target),
                expected=".csv, .tsv or .parquet",
            )


def guarded(text: str) -> str:
    """A text as a spreadsheet can show it: what could be a formula gets an apostrophe in front."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unguarded(text: str) -> str:
    """What :func:`guarded` was given."""
    return text[1:] if _QUOTED.match(text) else text


def _each_text(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The frame with every text of its columns changed; what is no text stays."""
    import pandas as pd

    changed = {}
    for name, cells in _text_columns(frame):
        new = [change(cell) if isinstance(cell, str) else cell for cell in cells]
        if new != cells:
            changed[name] = pd.Series(new, index=frame.index, dtype=frame[name].dtype)
    return frame.assign(**changed) if changed else frame


def _has_return(frame: pd.DataFrame) -> bool:
    """Whether a text holds a carriage return, which readers take for the end of a row."""
    return any(
        isinstance(cell, str) and "\r" in cell
        for _, cells in _text_columns(frame)
        for cell in cells
    )


def _text_columns(frame: pd.DataFrame) -> Iterator[tuple[str, list[Any]]]:
    """Name and cells of each column that can hold texts."""
    import pandas as pd

    for name in frame.columns:
        if pd.api.types.is_string_dtype(frame[name].dtype) or frame[name].dtype == object:
            yield name, frame[name].tolist()


def conform(frame: pd.DataFrame, columns: Mapping[str, str], where: str) -> pd.DataFrame:
    """The frame with exactly these columns, in this order, cast to these types.

    Raises:
        UserError: when columns are missing, unknown, or do not hold the stated type.
    """
    missing = [name for name in columns if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in columns]
    if missing or unknown:
        said = [f"missing {', '.join(missing)}"] if missing else []
        said += [f"unknown {', '.join(map(str, unknown))}"] if unknown else []
        raise UserError(f"columns do not fit the schema: {'; '.join(said)}", where=where)
    import pandas as pd

    cast = {}
    for name, dtype in columns.items():
        try:
            cast[name] = frame[name].astype(pd.api.types.pandas_dtype(dtype))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"column '{name}' does not hold {dtype} ({error})", where=where
            ) from None
    return pd.DataFrame(cast, index=frame.index)


def read_row_groups(
    path: str | Path, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Read a parquet table that is too large to be held, a row group at a time.

    Args:
        path: a file that :func:`write_table` or ``ranges.write_ranges`` wrote.
        columns: which to read; all by default.

    Raises:
        UserError: when the file is not there or damaged.
    """
    import pyarrow.parquet as pq

    with _told(Path(path)), pq.ParquetFile(path, pre_buffer=False) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=columns).to_pandas()


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table that :func:`write_table` wrote (by suffix).

    Raises:
        UserError: when the file is not there or damaged.
    """
    import pandas as pd

    source = Path(path)
    with _told(source):
        if source.suffix == ".parquet":
            return pd.read_parquet(source)
        # A missing value is an empty cell; "NA", "nan" and "null" are names that somebody has.
        table = pd.read_csv(
            source,
            sep=SEPARATORS[source.suffix],
            float_precision="round_trip",
            keep_default_na=False,
            na_values=[""],
        )
        return _each_text(table, unguarded)


@contextmanager
def _told(source: Path) -> Iterator[None]:
    """Tell the user what is the matter with a table that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise UserError("no such file", where=str(source)) from None
    except (ValueError, OSError) as error:
        raise UserError(
            f"not readable as a table ({error})",
            where=str(source),
            fix="delete the file and run again: the rule that writes it makes it anew",
        ) from None
