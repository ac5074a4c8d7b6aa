"""The work of ``losiko relax``: from a stream of structures into a file or the folder of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ase import Atoms

from losiko_torch.batching.shards import WAITING, RelaxedShard, by_number
from losiko_torch.cli.console import note, progress, stderr
from losiko_torch.cli.inputs import open_database
from losiko_torch.cli.pipe import is_stdout, results_to_stdout, write_stdout
from losiko_torch.cli.tally import READ, Tally
from losiko_torch.errors import InputError
from losiko_torch.io.overlap import Behind
from losiko_torch.io.result_rows import rows_of
from losiko_torch.io.stream import count_of, streamed
from losiko_torch.io.trajectories import (
    AddResults,
    check_trajectory,
    folder_of,
    trajectories,
)
from losiko_torch.io.writers import convert, result_file
from losiko_torch.relaxation.execute import Workers, execute
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.settings import Settings
from losiko_torch.relaxation.watch import Watching
from losiko_torch.systems.reference_geometry import with_references


@dataclass(frozen=True)
class Paths:
    """Trajectories that are wanted.

    Attributes:
        target: File or folder of the trajectories, within a run's folder if there is one.
        interval: Evaluations from one frame to the next.
        force: Whether to overwrite what is there.
        within: Name of the folder in that of a run, and suffix of the files; None without a run.
    """

    target: str
    interval: int
    force: bool
    within: tuple[str, str] | None

    @classmethod
    def make(cls, target: str, interval: int, force: bool, in_run: bool) -> Paths:
        """Check a target; ``InputError`` tells what is wrong with it."""
        if in_run:
            from losiko_torch.runs.folder import OWN

            within = folder_of(target)
            if within[0] in OWN:
                raise InputError(f"{target}: the run keeps its own there: give another name")
            return cls(target, interval, force, within)
        check_trajectory(target, force)
        return cls(target, interval, force, None)

    def writing(self) -> AbstractContextManager[AddResults]:
        """Return a context with a function that adds the frames of results."""
        return trajectories(self.target, self.force)


@dataclass(frozen=True)
class RelaxRequest:
    """Everything that results follow from.

    Attributes:
        sources: Files of structures.
        references: Files of the geometries that these should have.
        database: File of the database. None means the built-in one.
        reference_weights: Key of the references' weights in the structures' records.
        no_pbc: Whether all structures are molecules.
        settings: Options of the relaxation.
        paths: Trajectories that are wanted; None without any.
    """

    sources: list[str]
    references: list[str]
    database: Path | None
    reference_weights: str | None
    no_pbc: bool
    settings: Settings
    paths: Paths | None = None

    def structures(self) -> Iterator[Atoms]:
        """Return the structures as they are read, with their references."""
        read = streamed(self.sources, self.no_pbc)
        return with_references(read, streamed(self.references)) if self.references else read

    def count(self) -> int | None:
        """Return the number of structures for a progress bar, where one is shown."""
        return count_of(self.sources) if stderr().is_terminal else None

    def relaxer(self, batch_atoms: int | None = None) -> Relaxer:
        """Return the relaxer, with so many atoms in a batch or as many as the settings say."""
        database = open_database(self.database, self.reference_weights)
        settings = self.settings
        if batch_atoms is not None:
            settings = replace(settings, batch_atoms=batch_atoms)
        interval = None if self.paths is None else self.paths.interval
        made = Relaxer.make(None, database, settings)
        return replace(made, watching=Watching(interval=interval))

    def identity(self) -> dict[str, Any]:
        """Return what makes a run the same, ready for JSON."""
        from losiko_torch.runs.folder import TRAJECTORY
        from losiko_torch.runs.identity import configuration

        named: dict[str, Any] = {"reference_weights": self.reference_weights, "no_pbc": self.no_pbc}
        if self.paths is not None and self.paths.within is not None:
            named[TRAJECTORY] = [*self.paths.within, self.paths.interval]
        options = named | self.settings.identity()
        return configuration(self.sources, self.references, self.database, options)


def relax_into_file(
    request: RelaxRequest, output: Path, force: bool, in_order: bool, workers: Workers
) -> tuple[Tally, str, bool]:
    """Write results as they come; return their tally, the end of the summary, if all are there."""
    tally, start = Tally(), time.perf_counter()
    refused = 0
    relaxer = request.relaxer()
    size = relaxer.evaluator.batch_atoms

    @contextmanager
    def writing() -> Iterator[Callable[[RelaxedShard], None]]:
        opened = results_to_stdout() if is_stdout(output) else result_file(output, force)
        paths = nullcontext() if request.paths is None else request.paths.writing()
        with opened as add, paths as add_frames:

            def write(shard: RelaxedShard) -> None:
                nonlocal refused
                refused += add(shard.results)
                tally.add(rows_of(shard.results))
                if add_frames is not None:
                    add_frames(shard.results)

            yield write

    with progress("relaxing", request.count()) as done, Behind(writing(), WAITING) as writer:
        relaxed = execute(relaxer, request.structures(), workers, done)
        for shard in by_number(relaxed) if in_order else relaxed:
            size = shard.batch_atoms
            writer.put(shard)
    seconds = time.perf_counter() - start
    written = "the standard output" if is_stdout(output) else str(output)
    if request.paths is not None:
        written += f", {request.paths.target}"
    end = f"{seconds:.1f} s in batches of {size:,} atoms\nwritten to {written}"
    return tally, end, not refused


def relax_into_folder(
    request: RelaxRequest, path: Path, output: Path | None, force: bool, workers: Workers
) -> tuple[Tally, str, bool]:
    """Relax what the run has not done yet; return what ``relax_into_file`` does, of all."""
    # Runs are kept by a package that is an extra; files are written without it.
    import pyarrow.parquet as pq

    from losiko_torch.runs import resume
    from losiko_torch.runs.folder import RECORD, locked

    with locked(path):
        there = (path / RECORD).exists()
        folder = resume.folder_of(
            path, sys.argv, request.sources, request.database, request.identity()
        )
        if folder.finished:
            note(f"{path}: the run has finished already")
        elif there:
            note(f"{path}: going on after {folder.n_done():,} structures")
        with progress("relaxing", request.count()) as done:
            folder = resume.go_on(folder, request.structures, request.relaxer, workers, done)
    tally = Tally()
    for group in pq.ParquetFile(folder.table_file).iter_batches():
        tally.add(group.select([name for name in READ if name in group.schema.names]).to_pylist())
    record = folder.record
    written = [str(folder.structures_file), str(folder.table_file)]
    refused = 0
    if request.paths is not None and request.paths.within is not None:
        written.append(str(path / request.paths.within[0]))
    if output is not None and is_stdout(output):
        write_stdout(folder.structures_file.read_bytes())
    elif output is not None:
        refused = convert(folder.structures_file, folder.table_file, output, force)
        written.append(str(output))
    end = f"{record['seconds']:.1f} s in batches of {record['batch_atoms']:,} atoms"
    return tally, f"{end}\nwritten to {', '.join(written)}", not refused
