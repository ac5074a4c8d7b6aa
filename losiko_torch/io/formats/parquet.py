"""Parquet: the table of results alone, without structures, see ``losiko_torch.io.table``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from losiko_torch.io.atomic import replacement
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.table import SCHEMA, table_of


@contextmanager
def parquet_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds the rows of results to a Parquet file.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    with replacement(path, overwrite) as temporary, pq.ParquetWriter(temporary, SCHEMA) as file:
        yield lambda results: file.write_table(table_of(results))


FORMAT = Format("parquet", (".parquet",), parquet_file, already="table")
