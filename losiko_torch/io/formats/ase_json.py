"""JSON as a database of ASE, a row for each structure, written as rows come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ase.db.core import now
from ase.db.row import AtomsRow
from ase.io.jsonio import encode

from losiko_torch.io.atomic import replacing
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.formats.left_out import left_out
from losiko_torch.io.formats.rows import row_of
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result


@contextmanager
def json_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds structures with their numbers to a JSON database of ASE.

    ASE's own writer writes the whole file anew for each row.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    with left_out("json") as tell, replacing(path, overwrite) as file:
        count = 0
        file.write("{")

        def add(results: Sequence[Result]) -> None:
            nonlocal count
            for result in results:
                text, lost = _row(result)
                count += 1
                file.write(f'"{count}": {text},\n')
                tell(lost)

        yield add
        file.write(f'"ids": {list(range(1, count + 1))},\n"nextid": {count + 1}}}\n')


FORMAT = Format("json", (".json",), json_file)


def _row(result: Result) -> tuple[str, list[str]]:
    atoms = labelled(result)
    pairs, data, lost = row_of(atoms)
    row: Any = AtomsRow(atoms)
    row.ctime = row.mtime = now()
    row.user = None
    hidden = {*row._keys, "id", "key_value_pairs", "data"}
    entries = {k: row[k] for k in row.__dict__ if not k.startswith("_") and k not in hidden}
    entries |= {"key_value_pairs": pairs, "data": data}
    if atoms.constraints:
        entries["constraints"] = [each.todict() for each in atoms.constraints]
    return encode(entries), lost
