"""Tables larger than memory, put in order range by range of their ids.

Rows are first dealt out to ranges of ids, in the order in which they come, then each range is
sorted by itself and written as row groups of one file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.tables import atomic, conform

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BATCH_ROWS = 4096
"""Rows that a file waits for before they are written."""

Put = Callable[["pa.Table"], None]


class Ranges:
    """Ranges of ids of about the same number of models.

    Args:
        ids: ids in any order.
        order: places of ``ids`` in order.
        models: models in one range.
    """

    def __init__(self, ids: Sequence[str], order: Sequence[int], models: int) -> None:
        self.bounds = [ids[order[place]] for place in range(models, len(order), models)]

    def of(self, model_id: str) -> int:
        """The range that an id belongs to."""
        return bisect_right(self.bounds, model_id)

    def files(self, folder: Path, name: str) -> list[Path]:
        """The file of each range, in order."""
        return [folder / f"{name}-{number}" for number in range(len(self.bounds) + 1)]

    @contextmanager
    def writers(self, folder: Path, name: str) -> Iterator[Put]:
        """A function that deals the rows of a table (with ``id``) out to the files."""
        import numpy as np

        with ExitStack() as stack:
            opened: dict[int, _Writer] = {}

            def put(table: pa.Table) -> None:
                if not len(table):
                    return
                ids = table["id"].to_pylist()
                known = {own: self.of(own) for own in dict.fromkeys(ids)}
                homes = np.array([known[own] for own in ids], dtype=np.int64)
                if min(known.values()) < max(known.values()):
                    order = np.argsort(homes, kind="stable")
                    table, homes = table.take(order), homes[order]
                numbers, starts = np.unique(homes, return_index=True)
                ends = [*starts[1:], len(homes)]
                for number, start, end in zip(numbers.tolist(), starts, ends, strict=True):
                    if number not in opened:
                        file = self.files(folder, name)[number]
                        opened[number] = stack.enter_context(_Writer(file))
                    opened[number].add(table.slice(start, end - start))

            yield put


def arrow_table(frame: pd.DataFrame) -> pa.Table:
    """A frame without its index as an Arrow table, which knows the frame's types."""
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False)


def write_rows(table: pa.Table, path: Path) -> None:
    """Write a table to a file that :func:`read_rows` reads."""
    with _Writer(path) as writer:
        writer.add(table)


def read_rows(path: Path) -> pa.Table:
    """All rows of a file, in the order in which they were written."""
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as reader:
        return reader.read_all()


def write_ranges(
    files: Sequence[Path],
    path: str | Path,
    columns: Mapping[str, str],
    sort_by: Sequence[str],
    check: Callable[[pd.DataFrame], None] | None = None,
) -> None:
    """Write ranges as one parquet file, sorted, with the bytes that ``tables.write_table`` gives.

    Args:
        files: a file a range; one that is not there has no rows.
        path: the parquet file.
        columns: column -> pandas dtype.
        sort_by: columns that order the rows (stable); ids first.
        check: raises for rows that must not be written.

    Raises:
        UserError: when columns do not fit.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    empty = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})
    frames = (read_rows(file).to_pandas() for file in files if file.exists())
    with atomic(path) as temporary, ExitStack() as stack:
        writer: Any = None
        for frame in frames if any(file.exists() for file in files) else [empty]:
            frame = conform(frame, columns, str(path))
            frame = frame.sort_values(list(sort_by), kind="stable").reset_index(drop=True)
            if check is not None:
                check(frame)
            table = arrow_table(frame)
            if writer is None:
                writer = stack.enter_context(
                    pq.ParquetWriter(temporary, table.schema, compression="zstd")
                )
            writer.write_table(table)


class _Writer:
    """Appends Arrow tables of one schema to a stream, in batches worth writing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()
        self._stream: Any = None
        self._waiting: list[Any] = []
        self._rows = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._stack.close()

    def add(self, table: pa.Table) -> None:
        """Append a table; the first one fixes the schema."""
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        if self._stream is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            sink = self._stack.enter_context(pa.OSFile(str(self.path), "wb"))
            self._stream = self._stack.enter_context(
                pa.ipc.new_stream(sink, self._waiting[0].schema, options=options)
            )
        schema = self._waiting[0].schema
        same = [table.cast(schema) for table in self._waiting]
        self._stream.write_table(pa.concat_tables(same).combine_chunks())
        self._waiting.clear()
        self._rows = 0
