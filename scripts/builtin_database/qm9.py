"""Make the built-in database ``qm9``: networks fitted to all of QM9, and some of its molecules.

    OMP_NUM_THREADS=1 python scripts/builtin_database/qm9.py --work WORK_FOLDER

QM9's molecules of H, C, N and O come from ``LOSIKO_DATA``, else from their public place. The
molecules on which the benchmarks and notebooks choose settings or report results are set apart:
they are in no fit and no reference, and the file names them. References are those of 30,000 random
ones that cover surroundings best (``choose.py``). The same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from choose import choose
from learned import DATA, describe, fit, fit_further

from losiko_torch import SOAP
from losiko_torch.io.fetching.qm9 import METADATA
from losiko_torch.learned.fit import FitOptions
from losiko_torch.learned.stored import write as write_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "notebooks"))
from cases.molecules import QM9, SPECIES

#: Counts with which ``QM9.reporting`` is asked for molecules; other counts give other molecules.
REPORTED = (20, 50, 60, 73, 100, 150, 160, 200, 220, 250, 300, 360, 400, 500, 1000)
#: Molecules on which settings are chosen.
CHOSEN_ON = 1000
#: SOAP of the networks, before its channels are mixed (lengths in Angstrom), and their width.
NETWORKS, WIDTH = {"r_cut": 3.0, "n_max": 6, "l_max": 4, "sigma": 0.3, "smooth_width": 0.5}, 256
#: Molecules that are surely no stand-ins.
ALL = 100_000
#: Molecules to choose references from, references, atoms that tell the coverage, seed.
DRAWN, COUNT, SAMPLE, SEED = 30_000, 3000, 2000, 7
UNIT = 1e-4  # angstrom


def set_apart(qm9: QM9) -> np.ndarray:
    """QM9's numbers of the molecules that are neither fitted nor referred to, ascending."""
    chosen_on = qm9.choosing(CHOSEN_ON)
    reported = [atoms for count in REPORTED for atoms in qm9.reporting(count)]
    return np.unique([atoms.info["id"] for atoms in (*chosen_on, *reported)])


def covering(molecules: list[Atoms]) -> np.ndarray:
    """Places of those of some drawn molecules that cover surroundings best, best first."""
    drawn = np.random.default_rng(SEED).permutation(len(molecules))[:DRAWN]
    bare = [(molecules[k].numbers.tolist(), molecules[k].positions) for k in drawn]
    return drawn[choose(bare, 0, COUNT, SAMPLE, SEED)]


def plan(checkpoint: Path, steps: int, seed: int) -> FitOptions:
    """Options of a fit."""
    return FitOptions(seed=seed, steps=steps, width=WIDTH, checkpoint=checkpoint)


def write(qm9: QM9, kept: np.ndarray, fitted: int, apart: np.ndarray, path: Path) -> None:
    """Write molecules, given by their places, in the order given."""
    molecules = [qm9.molecule(k) for k in kept]
    sizes = list(map(len, molecules))
    metadata = {
        **METADATA,
        "elements": SPECIES,
        "n_molecules": len(kept),
        "n_atoms": sum(sizes),
        "fitted_to": f"{fitted} molecules, these among them; {len(apart)} others are set apart",
        "limits": "lone molecules of at most nine heavy atoms, no ions, no contacts",
        "made_by": "scripts/builtin_database",
        "seed": SEED,
        "date": datetime.date.today().isoformat(),
    }
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        id=qm9.ids[kept].astype(np.int32),
        n_atoms=np.array(sizes, dtype=np.uint8),
        Z=np.concatenate([atoms.numbers for atoms in molecules]).astype(np.uint8),
        R=np.rint(np.concatenate([atoms.positions for atoms in molecules]) / UNIT).astype(np.int32),
        R_unit=np.array(UNIT),
        offsets=np.cumsum([0, *sizes], dtype=np.int32),
        set_apart=apart.astype(np.int32),
        metadata=np.frombuffer(json.dumps(metadata).encode(), dtype=np.uint8),
    )
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for what can be resumed")
    parser.add_argument("--steps", type=int, default=50_000, help="steps of the fit")
    parser.add_argument("--more", type=int, default=5_000, help="steps with small ones repeated")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    qm9 = QM9()
    if len(qm9.ids) < ALL:
        parser.error("QM9 itself is needed: set LOSIKO_DATA, or run where it can be fetched")
    apart = set_apart(qm9)
    pool = np.flatnonzero(~np.isin(qm9.ids, apart))
    molecules = [qm9.molecule(k) for k in pool]
    path = DATA / "qm9.npz"
    order = arguments.work / "qm9.order.npy"
    if not order.exists():
        np.save(order, covering(molecules))
    kept = np.load(order)
    write(qm9, pool[kept], len(pool), apart, path)
    print(f"{path}: {len(kept)} molecules of {len(pool)}; {len(apart)} are set apart", flush=True)
    soap = SOAP(species=SPECIES, **NETWORKS)
    learned = DATA / "qm9_learned.safetensors"
    first = plan(arguments.work / "qm9.fit", arguments.steps, seed=0)
    write_model(fit(soap, molecules, first), learned)
    again = plan(arguments.work / "qm9.again", arguments.more, seed=1)
    write_model(fit_further(soap, molecules, again, learned, held_out_of=0), learned)
    describe("qm9", SPECIES, [molecules[k] for k in kept], fitted=molecules)


if __name__ == "__main__":
    main()
