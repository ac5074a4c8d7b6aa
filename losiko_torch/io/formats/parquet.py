"""Parquet: the table of results alone, without structures, see ``losiko_torch.io.table``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from losiko_torch.io.atomic import replacement
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.results import Result

#: Rows that are written together.
GROUP = 512


@contextmanager
def parquet_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds the rows of results to a Parquet file.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from losiko_torch.io.table import SCHEMA, table_of

    with replacement(path, overwrite) as temporary, pq.ParquetWriter(temporary, SCHEMA) as file:
        waiting: list[pa.Table] = []

        def write() -> None:
            if waiting:
                file.write_table(pa.concat_tables(waiting).combine_chunks())
                waiting.clear()

        def add(results: Sequence[Result]) -> None:
            waiting.append(table_of(results))
            if sum(map(len, waiting)) >= GROUP:
                write()

        yield add
        write()


FORMAT = Format("parquet", (".parquet",), parquet_file, already="table", package="pyarrow")
