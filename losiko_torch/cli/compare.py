"""``losiko compare``: how far the structures of one file are from those of another."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from ase import Atoms
from rich.text import Text

from losiko_torch.cli import shared_options, tables
from losiko_torch.cli.console import stdout
from losiko_torch.cli.inputs import (
    STRUCTURES_HELP,
    Force,
    NoPbc,
    input_files,
    read_inputs,
)
from losiko_torch.cli.pipe import read_pipe
from losiko_torch.errors import InputError, StructureError
from losiko_torch.extras import needs
from losiko_torch.io.atomic import check_output, replacement, replacing
from losiko_torch.options import WHAT
from losiko_torch.report.wording import plural
from losiko_torch.systems.comparison import difference, matched
from losiko_torch.systems.names import SOURCE, formula_of, source_of

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="A B",
        show_default=False,
        help=f"Two of them: {STRUCTURES_HELP}",
        callback=read_pipe,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT.csv|OUT.json|OUT.parquet",
        show_default=False,
        help="All rows, as a table.",
        rich_help_panel=WHAT,
    ),
]
Permute = Annotated[
    bool,
    typer.Option(
        "--permute",
        help="Exchange atoms of the same element so that the RMSD is small (the best of some "
        "assignments).",
    ),
]
Worst = Annotated[
    int | None, shared_options.worst("Show this many pairs, those with the largest RMSD first.")
]
COLUMNS = {
    "structure": "fold",
    "formula": "fold",
    "RMSD\n(A)": "right",
    "largest\n(A)": "right",
    "atom": "left",
    "bonds, mean\nchange (A)": "right",
    "bonds, largest\nchange (A)": "right",
    "bonds made,\nbroken": "left",
}
#: Columns of cells, which stand behind these where any pair is periodic.
CELLS = {"volume\n(%)": "right", "cell\n(A)": "right", "angles\n(deg)": "right"}
SUFFIXES = (".csv", ".json", ".parquet")


def compare(
    structures: Files,
    output: Output = None,
    permute: Permute = False,
    worst: Worst = None,
    no_pbc: NoPbc = False,
    force: Force = False,
) -> int:
    """Compare the geometries of two files, A and B: how far B is from A.

    Structures are matched by the names in their info, or by the files they were read from at first,
    where these tell them apart, else by their order. Molecules are superposed; in crystals each
    atom is compared with the nearest image in the cell of A, after a common shift. Atoms correspond
    by their order unless --permute exchanges like ones. Bonds are pairs closer than 1.3 times the
    sum of the covalent radii. Energies are not compared. Structures that have no partner or cannot
    be compared are listed, and make the exit status 1.

    Example: [bold]losiko compare guesses.xyz relaxed.extxyz[/bold]

    Example: [bold]losiko compare dft.extxyz relaxed.extxyz --worst 5 -o differences.csv[/bold]
    """
    if len(structures) != 2:
        raise InputError(f"two files are compared, A and B, and {len(structures)} given")
    if output is not None:
        if output.suffix.lower() not in SUFFIXES:
            raise InputError(f"{output}: tables are written to {', '.join(SUFFIXES)}: name it so")
        if output.suffix.lower() == ".parquet":
            needs("pyarrow", f"{output}: a file of this kind")
        check_output(output, input_files(structures), force)
    files = [read_inputs([name], no_pbc) for name in structures]
    pairs, key = matched(*files)
    rows = [_row(number, *pair, permute) for number, pair in enumerate(pairs)]
    if output is not None:
        _write(rows, output, force)
    _print(rows, worst)
    problems = [(row["structure"], row["problem"]) for row in rows if row["problem"]]
    tables.print_failures(problems, "not compared")
    _print_summary(rows, key, permute)
    if output is not None:
        stdout().print(Text(f"written to {output}"))
    return 1 if problems else 0


def _row(number: int, first: Atoms | None, second: Atoms | None, permute: bool) -> dict[str, Any]:
    there = first if first is not None else second
    assert there is not None
    row: dict[str, Any] = {
        "number": number,
        "structure": _name(there, number),
        "source": str(there.info.get(SOURCE, "")),
        "formula": formula_of(there),
        "n_atoms": len(there),
        "atoms": "permuted" if permute else "by index",
    }
    numbers = ("rmsd", "largest", "atom", "bond_mean", "bond_max")
    rest = ("volume_change", "length_change", "angle_change")
    row |= dict.fromkeys(numbers) | {"made": "", "broken": ""} | dict.fromkeys(rest)
    if first is None or second is None:
        return row | {"problem": f"it is in {'A' if second is None else 'B'} alone"}
    try:
        found = difference(first, second, permute)
    except StructureError as error:
        return row | {"problem": str(error)}
    row |= {name: _finite(getattr(found, name)) for name in numbers}
    row |= {"made": " ".join(found.made), "broken": " ".join(found.broken)}
    changes = zip(rest, (found.volume, found.lengths, found.angles), strict=True)
    return row | {name: _finite(value) for name, value in changes} | {"problem": ""}


def _name(atoms: Atoms, number: int) -> str:
    name = atoms.info.get("name")
    return str(name) if isinstance(name, (str, int)) and name != "" else source_of(atoms, number)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _print(rows: Sequence[dict[str, Any]], limit: int | None) -> None:
    keys = [(row["problem"] != "", row["rmsd"] or 0.0) for row in rows]
    shown, title = tables.chosen_rows(keys, limit)
    cells = any(row["length_change"] is not None for row in rows)
    table = tables.structure_table(title, COLUMNS | (CELLS if cells else {}))
    for k in shown:
        row = rows[k]
        symbol = "-" if row["atom"] is None else str(row["atom"])
        bonds = f"{len(row['made'].split())}, {len(row['broken'].split())}"
        entries = [
            Text(row["structure"]),
            row["formula"],
            Text("not compared", style="red") if row["problem"] else _length(row["rmsd"]),
            _length(row["largest"]),
            symbol,
            _length(row["bond_mean"]),
            _length(row["bond_max"]),
            "-" if row["problem"] else Text(bonds, style="" if bonds == "0, 0" else "yellow"),
        ]
        if cells:
            volume = row["volume_change"]
            entries.append("-" if volume is None else f"{100 * volume:+.2f}")
            entries += [_length(row["length_change"]), _length(row["angle_change"])]
        table.add_row(*entries)
    stdout().print(table)


def _length(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _print_summary(rows: Sequence[dict[str, Any]], key: str, permute: bool) -> None:
    good = [row for row in rows if not row["problem"]]
    by = {"order": "their order", SOURCE: "the file that they come from"}.get(key, f"their {key}")
    line = f"{len(good):,} of {plural(len(rows), 'pair')} compared, matched by {by}"
    done = "done (--permute)" if permute else "not done"
    line += f"; permutations of like atoms: {done}"
    if good:
        rmsds = [row["rmsd"] for row in good]
        largest = max(row["largest"] for row in good)
        changed = sum(bool(row["made"] or row["broken"]) for row in good)
        line += (
            f": RMSD {np.median(rmsds):.4f} A (median), {max(rmsds):.4f} A at most, an atom "
            f"{largest:.4f} A at most; bonds made or broken in {plural(changed, 'structure')}"
        )
    stdout().print(Text(line, style="bold"))


def _write(rows: list[dict[str, Any]], path: Path, overwrite: bool) -> None:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = ("structure", "source", "formula", "atoms", "made", "broken", "problem")
        whole = ("number", "n_atoms", "atom")
        kinds = {name: pa.string() for name in texts} | {name: pa.int64() for name in whole}
        schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in rows[0]])
        with replacement(path, overwrite) as temporary:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)
        return
    with replacing(path, overwrite) as file:
        if suffix == ".json":
            json.dump(rows, file, indent=1)
        else:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
