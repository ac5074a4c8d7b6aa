"""Files of many formats, damaged in four ways, and what `losiko relax` makes of each.

    python benchmarks/mutated_files.py [--files 2000] [--seed 0] [--keep FOLDER]

Four small structures are written in each format, and each file is damaged: cut at a random byte,
up to five bytes replaced, a line repeated up to three times (in binary files 40 bytes), a number
replaced by another one (zero, negative, huge, no number). `losiko relax` takes each in this
process, at most ten seconds. The ends are counted:

whole: all structures came out, whatever their values are now.
told: what is missing is told, by a failed structure or a warning.
refused: one sentence, status 2, nothing written.
silent: fewer atoms came out, all called good, and nothing says so.
unseen: as silent, but what is left is a whole file, of a format that announces no number.
traceback, hang: an exception, more than ten seconds.

The script fails if there is any traceback, hang or silent loss; `--keep` keeps these files.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io.gromacs import write_gromacs
from ase.io.vasp import write_vasp

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.cli import main as losiko
from losiko_torch.io.read import frames_of
from losiko_torch.io.writers import result_file
from losiko_torch.results import Result
from losiko_torch.systems.names import UNREADABLE

ENDS = ("whole", "told", "refused", "unseen", "silent", "traceback", "hang")
BAD = ("silent", "traceback", "hang")
NAMES = ("H2O", "CH4", "CH3OH", "CO2")
LIMIT = 10
#: Least exit status of a program that a signal ended.
SIGNALLED = 128
NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?")
NUMBERS = (b"0", b"1", b"-1", b"7", b"3.5", b"1e308", b"nan", b"99999999999", b"*****", b"")


class Hang(BaseException):
    """Raised where a file takes too long."""


def structures() -> list[Atoms]:
    """Molecules in boxes, so that every format can hold them."""
    made = []
    for number, name in enumerate(NAMES):
        atoms = molecule(name)
        atoms.set_cell([8.0, 9.0, 10.0])
        atoms.center()
        atoms.pbc = True
        atoms.info = {"number": number, "name": name}
        made.append(atoms)
    return made


def results(many: list[Atoms]) -> list[Result]:
    """Results that the package's own writers take."""
    zeros = [np.zeros(len(atoms)) for atoms in many]
    return [
        Result(atoms, 0.0, 0.0, True, 1, "converged", zero, None, number)
        for number, (atoms, zero) in enumerate(zip(many, zeros, strict=True))
    ]


def by_losiko(path: Path, many: list[Atoms]) -> None:
    """Write with this package."""
    with result_file(path) as add:
        add(results(many))


def by_ase(path: Path, many: list[Atoms]) -> None:
    """Write with ASE."""
    ase.io.write(path, many)


def joined(write: Callable[[Any, Atoms], None]) -> Callable[[Path, list[Atoms]], None]:
    """Write structures one behind the other."""

    def written(path: Path, many: list[Atoms]) -> None:
        with path.open("w") as file:
            for atoms in many:
                write(file, atoms)

    return written


def qm9(file: Any, atoms: Atoms) -> None:
    """Write a raw frame of QM9."""
    file.write(f"{len(atoms)}\ngdb {atoms.info['number'] + 1}\t1.5\t2.5*^-6\n")
    for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True):
        file.write(f"{symbol}\t{x:.6f}\t{y:.6f}\t{z:.6f}\t-0.1\n")
    file.write("100.5\t200.5\nCC\tCC\nInChI=1S/X\tInChI=1S/X\n")


def sdf_v3000(path: Path, many: list[Atoms]) -> None:
    """Write records of V3000."""
    with path.open("w") as file:
        for atoms in many:
            file.write(f"{atoms.info['name']}\n\n\n  0  0  0  0  0  0  0  0  0  0999 V3000\n")
            file.write(f"M  V30 BEGIN CTAB\nM  V30 COUNTS {len(atoms)} 0 0 0 0\n")
            file.write("M  V30 BEGIN ATOM\n")
            for k, (symbol, xyz) in enumerate(zip(atoms.symbols, atoms.positions, strict=True)):
                place = " ".join(f"{x:.4f}" for x in xyz)
                file.write(f"M  V30 {k + 1} {symbol} {place} 0\n")
            file.write("M  V30 END ATOM\nM  V30 END CTAB\nM  END\n$$$$\n")


def pymatgen_json(path: Path, many: list[Atoms]) -> None:
    """Write structures as pymatgen's dictionaries."""
    written = []
    for atoms in many:
        sites = [
            {"species": [{"element": symbol, "occu": 1}], "abc": list(abc), "label": symbol}
            for symbol, abc in zip(atoms.symbols, atoms.get_scaled_positions(), strict=True)
        ]
        lattice = {"matrix": atoms.cell.tolist(), "pbc": [True] * 3}
        written.append({"@class": "Structure", "lattice": lattice, "sites": sites})
    path.write_text(json.dumps(written, indent=1))


def npz(path: Path, many: list[Atoms]) -> None:
    """Write an archive in the manner of QM9's."""
    np.savez(
        path,
        Z=np.concatenate([atoms.numbers for atoms in many]),
        R=np.concatenate([atoms.positions for atoms in many]),
        offsets=np.cumsum([0, *map(len, many)]),
    )


#: Names of the files, and how they are written.
FORMATS: dict[str, Callable[[Path, list[Atoms]], None]] = {
    "a.extxyz": by_ase,
    "a.xyz": lambda path, many: ase.io.write(path, many, format="xyz"),
    "a.qm9.xyz": joined(qm9),
    "a.cif": by_losiko,
    "POSCAR": joined(write_vasp),
    "a.pdb": by_losiko,
    "a.sdf": by_losiko,
    "a.v3000.sdf": sdf_v3000,
    "a.gro": joined(write_gromacs),
    "a.xsf": lambda path, many: ase.io.write(path, many[0]),
    "a.json": by_losiko,
    "a.pymatgen.json": pymatgen_json,
    "a.traj": by_ase,
    "a.db": by_losiko,
    "a.npz": npz,
}


def cut(contents: bytes, random: np.random.Generator) -> bytes:
    """Return the beginning."""
    return contents[: random.integers(len(contents))]


def flipped(contents: bytes, random: np.random.Generator) -> bytes:
    """Return the contents with some bytes replaced."""
    changed = bytearray(contents)
    for _ in range(random.integers(1, 6)):
        changed[random.integers(len(changed))] = random.integers(256)
    return bytes(changed)


def repeated(contents: bytes, random: np.random.Generator) -> bytes:
    """Return the contents with a line repeated."""
    pieces = contents.splitlines(keepends=True)
    if b"\0" in contents:
        pieces = [contents[k : k + 40] for k in range(0, len(contents), 40)]
    k = random.integers(len(pieces))
    return b"".join(pieces[: k + 1] + [pieces[k]] * random.integers(1, 4) + pieces[k + 1 :])


def renumbered(contents: bytes, random: np.random.Generator) -> bytes:
    """Return the contents with a number replaced."""
    found = list(NUMBER.finditer(contents))
    one = found[random.integers(len(found))]
    return contents[: one.start()] + random.choice(NUMBERS) + contents[one.end() :]


MUTATIONS = (cut, flipped, repeated, renumbered)


def end_of(path: Path, database: Path, expected: list[int], ends_well: bool) -> tuple[str, str]:
    """Relax the structures of a file; return the end, and what was printed.

    Args:
        path: The file.
        database: References.
        expected: Numbers of atoms of the structures before the file was damaged.
        ends_well: Whether it was cut where a whole one may end.
    """
    out = path.with_name("out.extxyz")
    out.unlink(missing_ok=True)
    printed, status = io.StringIO(), None
    arguments = ["relax", str(path), "-d", str(database), "-o", str(out), "--max-steps", "1"]
    signal.alarm(LIMIT)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            losiko([*arguments, "--targets", "nearest"])
    except SystemExit as end:
        status = end.code
        if isinstance(status, int) and status >= SIGNALLED:
            raise  # somebody ends this program
    except Hang:
        return "hang", printed.getvalue()
    except Exception:
        return "traceback", traceback.format_exc()
    finally:
        signal.alarm(0)
    text = printed.getvalue()
    if "Traceback" in text or status not in (0, 1, 2):
        return "traceback", text
    if status == 2:
        sentence = [line for line in text.splitlines() if "error:" in line]
        return ("refused" if len(sentence) == 1 and not out.exists() else "silent"), text
    good = sorted(len(atoms) for atoms in frames_of(out) if UNREADABLE not in atoms.info and atoms)
    if len(good) >= len(expected) and sum(good) >= sum(expected):
        return "whole", text
    if status == 1 or "warning:" in text:
        return "told", text
    return ("unseen" if ends_well else "silent"), text


def mutated(files: int, seed: int) -> Iterator[tuple[str, str, bytes, bool]]:
    """Yield name, mutation and contents of damaged files, formats and mutations in turn.

    The last entry tells whether the file was cut where a whole one may end.
    """
    many = structures()
    with tempfile.TemporaryDirectory() as folder:
        originals = {}
        for name, write in FORMATS.items():
            write(Path(folder) / name, many)
            originals[name] = (Path(folder) / name).read_bytes()
    names = list(FORMATS)
    for k in range(files):
        place, round_ = k % len(names), k // len(names)
        name, mutation = names[place], MUTATIONS[(place + round_) % len(MUTATIONS)]
        random = np.random.default_rng((seed, k))
        original = originals[name]
        contents = mutation(original, random)
        yield name, mutation.__name__, contents, mutation is cut and ends_well(original, contents)


def ends_well(original: bytes, contents: bytes) -> bool:
    """Whether a file was cut where a whole one may end.

    That is at the end of a line, in a remark, or in the last entry of a row, of which nothing tells
    how long it is.
    """
    if b"\0" in original:
        return False
    start = contents.rfind(b"\n") + 1
    row, whole = contents[start:].split(), original[start:].split(b"\n")[0].split()
    return len(row) in (0, len(whole)) or row[0] in (b"#", b"REMARK")


def tried(
    files: int, seed: int = 0, keep: Path | None = None
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Return counts of (file, end), and descriptions of the bad ends."""

    def hang(*_: Any) -> None:
        raise Hang

    counts: Counter[tuple[str, str]] = Counter()
    bad = []
    before = signal.signal(signal.SIGALRM, hang)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("always")  # what was told of one file is told of the next
        database = Path(folder) / "few.losiko"
        soap = SOAP(species=["H", "C", "O"], r_cut=3, n_max=2, l_max=1, sigma=0.3, periodic=True)
        EnvironmentDatabase.build(structures(), soap).save(database)
        sizes = [len(atoms) for atoms in structures()]
        for number, (name, mutation, contents, ends_well) in enumerate(mutated(files, seed)):
            path = Path(folder) / name
            path.write_bytes(contents)
            expected = sizes[:1] if name == "a.xsf" else sizes
            end, text = end_of(path, database, expected, ends_well)
            counts[name, end] += 1
            if end in BAD:
                bad.append(f"{number} {name} {mutation}: {end}\n{text}")
                if keep is not None:
                    (keep / f"{number}_{end}_{mutation}_{name}").write_bytes(contents)
    signal.signal(signal.SIGALRM, before)
    return counts, bad


def main() -> None:
    """Print the table, and what is bad."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(exist_ok=True)
    counts, bad = tried(arguments.files, arguments.seed, arguments.keep)
    print(f"| file | {' | '.join(ENDS)} |\n|---|{'---|' * len(ENDS)}")
    for name in FORMATS:
        print(f"| {name} | {' | '.join(str(counts[name, end]) for end in ENDS)} |")
    totals = [sum(n for (_, each), n in counts.items() if each == end) for end in ENDS]
    print(f"| all | {' | '.join(map(str, totals))} |\n")
    print("\n\n".join(bad))
    if bad:
        sys.exit(f"{len(bad)} bad ends")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
