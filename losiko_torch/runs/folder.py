"""The folder of a run: its record, the shards that are done, and finally the results.

    run.json          record of the run: its configuration and its state
    shards/000012.*   results of shard 12: extended xyz, and a table as Arrow holds it
    NAME/             trajectories of the structures, a file for each, if they are asked for
    relaxed.extxyz    all structures, in input order, once the run has finished
    results.parquet   their table, see ``losiko_torch.io.table``

A shard is done once its table is there, which is written last. Every file appears whole or not at
all, so that the folder is consistent at any moment, whatever ended the process.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ase import Atoms
from ase.io.extxyz import read_xyz
from filelock import FileLock, Timeout

from losiko_torch.batching.shards import RelaxedShard
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacement, replacing
from losiko_torch.io.formats.extxyz import NAME
from losiko_torch.io.formats.frames import frames_of
from losiko_torch.io.formats.left_out import left_out
from losiko_torch.io.table import SCHEMA, table_of
from losiko_torch.io.trajectories import write_each
from losiko_torch.results.columns import ManyResults

RECORD, SHARDS, RELAXED, TABLE = "run.json", "shards", "relaxed.extxyz", "results.parquet"
LOCK = ".lock"
#: Columns with few values among many rows: dictionaries of others take time and no less room.
FEW_VALUES = ["formula", "reason", "worst_element", "doubt"]
#: Suffixes of a shard's table: now, and in runs of earlier versions.
ROWS, ROWS_BEFORE = ".arrow", ".parquet"
#: Names in the folder that are no trajectories'.
OWN = (RECORD, SHARDS, RELAXED, TABLE, "report.html")
#: Entry of a configuration for the folder, suffix and interval of trajectories.
TRAJECTORY = "trajectory"


@dataclass(frozen=True)
class RunFolder:
    """A run on disk.

    Attributes:
        path: The folder.
        record: Contents of ``run.json``.
    """

    path: Path
    record: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder of an existing run.

        Raises:
            InputError: If it is not the folder of a run.
        """
        path = Path(path)
        try:
            record = json.loads((path / RECORD).read_text())
        except FileNotFoundError:
            raise InputError(f"{path}: not the folder of a run: it has no {RECORD}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path / RECORD}: cannot be read ({error})") from None
        return cls(path, record)

    @classmethod
    def create(cls, path: str | Path, record: dict[str, Any]) -> RunFolder:
        """Begin a new run, in a folder that is empty or does not exist.

        Raises:
            InputError: If the folder has other files in it, or cannot be written to.
        """
        path = Path(path)
        try:
            path.mkdir(exist_ok=True)
            if any(each.name != LOCK for each in path.iterdir()):
                raise InputError(f"{path}: has files in it that are no run: choose a new folder")
            (path / SHARDS).mkdir()
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
        return cls(path, {}).updated(**record)

    def updated(self, **facts: Any) -> RunFolder:
        """Return the run with ``facts`` in its record, which is written."""
        record = self.record | facts
        with replacing(self.path / RECORD, overwrite=True) as file:
            json.dump(record, file, indent=1)
        return RunFolder(self.path, record)

    @property
    def finished(self) -> bool:
        """True once the run has finished."""
        return self.record["state"] == "finished"

    @property
    def structures_file(self) -> Path:
        """File of all structures, once the run has finished."""
        return self.path / RELAXED

    @property
    def table_file(self) -> Path:
        """File of the table, once the run has finished."""
        return self.path / TABLE

    def done(self) -> list[int]:
        """Return the numbers of the shards that are done, ascending."""
        files = (self.path / SHARDS).glob("*")
        return sorted(int(each.stem) for each in files if each.suffix in (ROWS, ROWS_BEFORE))

    def n_done(self) -> int:
        """Return the number of structures in the shards that are done."""
        return sum(len(self._rows(number)) for number in self.done())

    def add(self, shard: RelaxedShard) -> None:
        """Write a shard's results."""
        results = shard.results
        if isinstance(results, ManyResults):
            results = results.ordered()
        sizes: list[int] = []
        structures = self._shard(shard.number, ".extxyz")
        with (
            left_out(NAME) as tell,
            replacement(structures, overwrite=True) as temporary,
            temporary.open("wb") as file,
        ):
            for frames in frames_of(results, tell):
                file.write(b"".join(frames))
                sizes += map(len, frames)
        paths = self._trajectories()
        if paths is not None:
            # What a killed process wrote of the shard is replaced by the same.
            paths[0].mkdir(exist_ok=True)
            write_each(*paths, results)
        rows = table_of(results, np.cumsum([0, *sizes])[:-1])
        with (
            replacement(self._shard(shard.number, ROWS), overwrite=True) as temporary,
            pa.OSFile(str(temporary), "wb") as file,
            pa.ipc.new_file(file, SCHEMA) as table,
        ):
            table.write_table(rows)

    def finish(self, **facts: Any) -> RunFolder:
        """Join all shards and return the finished run, with ``facts`` in its record."""
        with (
            replacement(self.structures_file, overwrite=True) as temporary,
            temporary.open("wb") as structures,
            replacement(self.table_file, overwrite=True) as beside,
            pq.ParquetWriter(beside, SCHEMA, use_dictionary=FEW_VALUES) as table,
        ):
            for part, path in self._parts():
                table.write_table(part)
                with path.open("rb") as file:
                    shutil.copyfileobj(file, structures)
        paths = self._trajectories()
        for left in [] if paths is None else paths[0].glob(".*"):  # of a process that was killed
            left.unlink()
        finished = self.updated(state="finished", **facts)
        shutil.rmtree(self.path / SHARDS, ignore_errors=True)
        return finished

    def table(self) -> pa.Table:
        """Return the rows of all structures that are done, in input order."""
        if self.finished:
            return pq.read_table(self.table_file)
        parts = [part for part, _ in self._parts()]
        return pa.concat_tables(parts) if parts else SCHEMA.empty_table()

    def atoms(self, numbers: Sequence[int]) -> dict[int, Atoms]:
        """Return relaxed structures by their numbers; those that are not done are left out."""
        wanted = pa.array(sorted(set(numbers)), pa.int64())
        found = {}
        for path, rows in self._tables():
            some = rows.filter(pc.is_in(rows["number"], wanted))
            with path.open("rb") as file:
                for number, place in zip(
                    some["number"].to_pylist(), some["offset"].to_pylist(), strict=True
                ):
                    file.seek(place)
                    found[number] = _frame(file)
        return found

    def _trajectories(self) -> tuple[Path, str] | None:
        """Return the folder of trajectories and the suffix of its files; None without any."""
        wanted = self.record.get("configuration", {}).get(TRAJECTORY)
        return None if wanted is None else (self.path / wanted[0], wanted[1])

    def _tables(self) -> Iterator[tuple[Path, pa.Table]]:
        """Files of structures, and the rows of each."""
        if self.finished:
            yield self.structures_file, pq.read_table(self.table_file)
            return
        for number in self.done():
            yield self._shard(number, ".extxyz"), self._rows(number)

    def _rows(self, number: int) -> pa.Table:
        """Return the rows of a shard."""
        path = self._shard(number, ROWS)
        if not path.exists():
            return pq.read_table(self._shard(number, ROWS_BEFORE))
        with pa.OSFile(str(path)) as file:
            return pa.ipc.open_file(file).read_all()

    def _parts(self) -> Iterator[tuple[pa.Table, Path]]:
        """Rows and files of the shards in order, with offsets into all of them joined."""
        before = 0
        for path, rows in self._tables():
            moved = pc.add(rows["offset"], pa.scalar(before, pa.int64()))
            column = rows.schema.get_field_index("offset")
            yield rows.set_column(column, SCHEMA.field("offset"), moved), path
            before += path.stat().st_size

    def _shard(self, number: int, suffix: str) -> Path:
        return self.path / SHARDS / f"{number:06d}{suffix}"


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Lock a run's folder, made if need be, against other processes while the context lasts.

    The lock ends with the process, whatever ends that.

    Raises:
        InputError: If another process has locked the folder, or if it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(exist_ok=True)
        with FileLock(path / LOCK, timeout=0):
            yield
    except Timeout:
        raise InputError(f"{path}: another process works on this run") from None
    except FileExistsError:
        raise InputError(f"{path}: a file, not a folder for a run") from None
    except FileNotFoundError:
        raise InputError(f"{path}: there is no folder {path.parent} to make it in") from None


def _frame(file: Any) -> Atoms:
    """Read the frame of extended xyz that begins at the file's position."""
    count = int(file.readline())
    lines = [file.readline().decode() for _ in range(count + 1)]
    return next(read_xyz(io.StringIO(f"{count}\n" + "".join(lines)), slice(0, 1)))
