"""Energies from methods that have no part in the relaxation: CHGNet for crystals, GFN2-xTB and
MMFF94 for molecules.

CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023) is a potential trained on the Materials
Project's DFT; its package carries its weights. GFN2-xTB (Bannwarth et al., J. Chem. Theory Comput.
15, 1652, 2019) comes from tblite, MMFF94 (Halgren, J. Comput. Chem. 17, 490, 1996) from RDKit.
"""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from functools import lru_cache
from io import StringIO
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE, LBFGS
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, rdDetermineBonds
from tblite.ase import TBLite

#: GFN2-xTB relaxations end at this force (eV/Angstrom), or after so many steps.
XTB_FMAX, XTB_STEPS = 0.05, 500
MMFF_ITERATIONS = 1000


class Relaxed(NamedTuple):
    """A relaxed molecule; ``evaluations`` is NaN where the method does not report them."""

    atoms: Atoms
    converged: bool
    evaluations: float


@lru_cache(maxsize=1)
def chgnet() -> Calculator:
    """CHGNet's ASE calculator, on the CPU."""
    from chgnet.model.dynamics import CHGNetCalculator
    from chgnet.model.model import CHGNet

    warnings.filterwarnings("ignore", module="chgnet|pymatgen")
    with redirect_stdout(StringIO()):  # CHGNet prints its device each time
        model = CHGNet.load(verbose=False)
        return CHGNetCalculator(model=model, use_device="cpu", on_isolated_atoms="ignore")


def chgnet_energy(atoms: Atoms) -> float:
    """Total energy (eV) by CHGNet; NaN where atoms are too far apart for its graph."""
    model = chgnet().model
    from pymatgen.io.ase import AseAtomsAdaptor

    structure = AseAtomsAdaptor.get_structure(atoms)
    graph = model.graph_converter(structure)
    if graph is None:
        return float("nan")
    return float(model.predict_graph(graph, task="e")["e"]) * len(atoms)


def chgnet_relaxed(atoms: Atoms, cell: bool, fmax: float = 0.05, steps: int = 500) -> Atoms:
    """Relax by CHGNet and FIRE, with ``cell`` also the cell (fmax in eV/Angstrom)."""
    relaxed = atoms.copy()
    relaxed.calc = chgnet()
    FIRE(FrechetCellFilter(relaxed) if cell else relaxed, logfile=None).run(fmax, steps)
    energy = relaxed.get_potential_energy()
    relaxed.calc = None
    relaxed.info["chgnet_energy"] = float(energy)
    return relaxed


def xtb_energy(atoms: Atoms) -> float:
    """Total energy (eV) by GFN2-xTB; NaN where its self-consistent field does not converge."""
    probe = atoms.copy()
    probe.calc = TBLite(method="GFN2-xTB", verbosity=0)
    try:
        return float(probe.get_potential_energy())
    except Exception:  # tblite raises errors of its own and RuntimeError
        return float("nan")


def xtb_relaxed(starts: list[Atoms], fmax: float = XTB_FMAX) -> list[Relaxed]:
    """Relax one molecule after the other by GFN2-xTB and ASE's L-BFGS (fmax in eV/Angstrom).

    Their charge is that of ``info``.
    """
    relaxed = []
    for start in starts:
        atoms = start.copy()
        charge = float(start.info.get("charge", 0))
        atoms.calc = TBLite(method="GFN2-xTB", charge=charge, verbosity=0)
        optimizer = LBFGS(atoms, logfile=None)
        try:
            converged = optimizer.run(fmax=fmax, steps=XTB_STEPS)
        except Exception as error:  # a self-consistent field that does not converge, for one
            print(f"GFN2-xTB, {atoms.get_chemical_formula()}: {error}")
            converged = False
        atoms.calc = None
        relaxed.append(Relaxed(atoms, bool(converged), optimizer.nsteps + 1))
    return relaxed


class ForceField:
    """MMFF94 for those molecules whose bonds RDKit perceives and for which it has parameters.

    Attributes:
        usable: Mask of these molecules, (n,). mols: RDKit's molecules, in the same order.
    """

    def __init__(self, molecules: list[Atoms]) -> None:
        RDLogger.DisableLog("rdApp.*")
        perceived = [perceive(atoms) for atoms in molecules]
        self.unperceived = sum(mol is None for mol in perceived)
        self.usable = np.array([mol is not None and has_parameters(mol) for mol in perceived])
        self.mols = [mol for mol, usable in zip(perceived, self.usable, strict=True) if usable]

    @property
    def unparametrised(self) -> int:
        return len(self.usable) - self.unperceived - len(self.mols)

    def run(self, starts: list[Atoms]) -> list[Relaxed]:
        """Relax starts of the usable molecules, in order (or of the first few of them)."""
        relaxed = []
        for mol, start in zip(self.mols, starts, strict=False):
            conformer = mol.GetConformer()
            conformer.SetPositions(start.positions)
            more = AllChem.MMFFOptimizeMolecule(mol, maxIters=MMFF_ITERATIONS)
            atoms = Atoms(start.numbers, conformer.GetPositions())
            relaxed.append(Relaxed(atoms, more == 0, np.nan))
        return relaxed


def perceive(atoms: Atoms) -> Chem.Mol | None:
    """RDKit's molecule with bonds perceived from a geometry; None means no neutral molecule."""
    lines = [f"{atom.symbol} {atom.x:.8f} {atom.y:.8f} {atom.z:.8f}" for atom in atoms]
    mol = Chem.MolFromXYZBlock("\n".join([str(len(atoms)), "", *lines]))
    try:
        rdDetermineBonds.DetermineBonds(mol, charge=0)
        Chem.SanitizeMol(mol)
    except (ValueError, RuntimeError):
        return None
    return mol


def has_parameters(mol: Chem.Mol) -> bool:
    return AllChem.MMFFHasAllMoleculeParams(mol)
