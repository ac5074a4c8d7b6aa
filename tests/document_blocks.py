"""Code blocks of documents, and how a page's are run: all of them in order, in one folder.

Python shares one namespace a page. Commands of ``losiko`` run within this process; a pipe runs in a
shell. A line whose comment says what it needs or how long it takes ("# needs a GPU", "# takes 20
minutes") is left out, and so are lines that set up an environment (``NOT_RUN``).
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal

from losiko_torch.cli import main

#: Beginnings of lines that are not run: they would change the environment or take a cluster.
NOT_RUN = ("pip install", "make ", "git clone", "cd ", "sbatch ", ".venv/bin/", "python ")
#: Modules of extras: a page that imports one is skipped without it.
EXTRAS = {"torch_sim": "torchsim", "tblite": "benchmarks", "rdkit": "files", "pymatgen": "files"}
#: Languages of blocks whose lines are commands.
SHELL = ("bash", "console")
#: Commands that tell of structures that failed, as their pages say.
SOME_FAIL = ("losiko relax some.smi -o relaxed.sdf",)
LEFT_OUT = re.compile(r"#\s*(needs|takes) \S")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line at which it begins."""

    language: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    found = []
    for match in re.finditer(
        r"^```(\{?[\w-]*\}?)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    ):
        found.append(Block(match[1], match[2], text[: match.start()].count("\n") + 2))
    return found


def commands(block: Block) -> list[str]:
    """Return the commands of a block of a shell that are to be run."""
    joined = block.text.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    return [
        line
        for line in lines
        if line and not line.startswith(("#", *NOT_RUN)) and not LEFT_OUT.search(line)
    ]


def run_page(name: str, text: str, folder: Path) -> None:
    """Run a page's blocks in a folder; an error says at which line of the page it began."""
    names = {"__name__": "document"}
    for block in blocks(text):
        if block.language == "python":
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, name, "exec"), names)
        elif block.language in SHELL:
            for command in commands(block):
                run_command(command, folder)


def run_command(command: str, folder: Path) -> None:
    """Run a line of a shell; it must end well."""
    if "|" not in shlex.split(command, comments=True):
        program, *arguments = shlex.split(command, comments=True)
        assert program == "losiko", f"{command}: tests run `losiko` alone"
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == (command in SOME_FAIL), command
        return
    stub = folder / ".bin" / "losiko"
    stub.parent.mkdir(exist_ok=True)
    program = "from losiko_torch.cli import main; main()"
    stub.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c '{program}' \"$@\"\n")
    stub.chmod(0o755)
    path = os.pathsep.join([str(stub.parent), os.environ["PATH"]])
    subprocess.run(["bash", "-c", command], check=True, env={**os.environ, "PATH": path})


def skip_without_extras(text: str) -> None:
    """Skip a page whose modules are not installed."""
    for module, extra in EXTRAS.items():
        used = re.search(rf"^\s*(?:import|from) {module}\b", text, re.MULTILINE)
        if used and importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (extra [{extra}])")


def write_inputs(folder: Path) -> None:
    """Write the files that pages take for the reader's own."""
    true = [molecule(name) for name in ("CH3CH2OH", "CH3CONH2", "H2O", "C6H6", "CH3OCH3", "HCOOH")]
    rough = []
    for k, atoms in enumerate(true):
        rough.append(atoms.copy())
        rough[-1].rattle(0.08, seed=k)
    ase.io.write(folder / "true.xyz", true)
    ase.io.write(folder / "molecules.xyz", rough)
    ase.io.write(folder / "guesses.xyz", rough[:3])
    ase.io.write(folder / "distorted.xyz", rough[0])
    good = [
        molecule(name)
        for name in ("CH3OH", "C2H6", "CH3OCH3", "CH3CHO", "HCOOH", "CH3NO2", "CH3CONH2")
    ]
    ase.io.write(folder / "good.extxyz", good)
    silica = crystal(
        ["Si", "O"],
        [(0.3003, 0.3003, 0), (0.2392, 0.1044, 0.1787)],
        spacegroup=92,
        cellpar=[4.9717, 4.9717, 6.9223, 90, 90, 90],
    )
    plain = Atoms(silica.numbers, silica.positions, cell=silica.cell, pbc=True)
    ase.io.write(folder / "mp-Si-O.extxyz", [plain, bulk("Si")])
    strained = plain.copy()
    strained.set_cell(1.01 * np.asarray(plain.cell), scale_atoms=True)
    strained.rattle(0.03, seed=1)
    ase.io.write(folder / "POSCAR", strained, format="vasp")
    slab = bulk("Si", cubic=True) * (1, 1, 2)
    slab.center(vacuum=4.0, axis=2)
    ase.io.write(folder / "slab.xyz", slab, format="extxyz")


def written_by(text: str) -> set[str]:
    """Return the files that the commands of a page write."""
    return set(re.findall(r"(?:-o|--output) (\S+)", text)) - {"-"}
