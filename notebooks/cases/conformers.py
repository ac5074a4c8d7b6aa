"""Geometries of a molecule by RDKit, as near to a known one as its conformers come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem
from scipy.optimize import linear_sum_assignment

from cases.energies import MMFF_ITERATIONS, has_parameters, perceive
from losiko_torch.systems.geometry import rmsd, superposed

#: Conformers made of a molecule, and the seed they come from.
CONFORMERS, SEED = 20, 7
#: Largest RMSD (Angstrom) at which two geometries count as the same conformer.
SAME = 0.3


class SameConformers(NamedTuple):
    """Molecules whose DFT conformer RDKit finds, and its geometries of them.

    Attributes:
        molecules, starts: DFT and RDKit geometries, with the same order of atoms.
        lost: Number of molecules without such a geometry, by reason.
    """

    molecules: list[Atoms]
    starts: list[Atoms]
    lost: dict[str, int]


def same_conformers(molecules: list[Atoms]) -> SameConformers:
    """Find the nearest to each DFT geometry among 20 ETKDG conformers, relaxed by MMFF94."""
    RDLogger.DisableLog("rdApp.*")
    kept: list[tuple[Atoms, Atoms]] = []
    lost = {"bonds not perceived": 0, "no MMFF94 parameters": 0, f"no conformer within {SAME} A": 0}
    for atoms in molecules:
        mol = perceive(atoms)
        if mol is None or not has_parameters(mol):
            lost["bonds not perceived" if mol is None else "no MMFF94 parameters"] += 1
            continue
        made = Chem.Mol(mol)
        AllChem.EmbedMultipleConfs(made, CONFORMERS, randomSeed=SEED)
        if made.GetNumConformers():  # none where ETKDG cannot make the rings
            AllChem.MMFFOptimizeMoleculeConfs(made, maxIters=MMFF_ITERATIONS)
        conformers = [each.GetPositions() for each in made.GetConformers()]
        relabelled = [relabel(mol, atoms, positions) for positions in conformers]
        best = min(relabelled, key=lambda start: rmsd(start, atoms), default=None)
        if best is None or rmsd(best, atoms) > SAME:
            lost[f"no conformer within {SAME} A"] += 1
        else:
            kept.append((atoms, best))
    return SameConformers([a for a, _ in kept], [b for _, b in kept], lost)


def relabel(mol: Chem.Mol, reference: Atoms, positions: np.ndarray) -> Atoms:
    """Molecule at these positions, equivalent atoms permuted to be nearest to a reference geometry.

    An embedding numbers equivalent atoms, such as the hydrogens of a methyl group, at random.
    """
    heavy = np.flatnonzero(reference.numbers > 1)
    hydrogens = {
        int(k): np.array(
            [n.GetIdx() for n in mol.GetAtomWithIdx(int(k)).GetNeighbors() if n.GetAtomicNum() == 1]
        ).astype(int)
        for k in heavy
    }
    skeleton = Chem.RemoveAllHs(mol)
    found = []
    for mapping in skeleton.GetSubstructMatches(skeleton, uniquify=False, maxMatches=64):
        order = np.arange(len(reference))
        order[heavy] = heavy[list(mapping)]
        if any(len(hydrogens[k]) != len(hydrogens[order[k]]) for k in heavy):
            continue
        for k in heavy:
            order[hydrogens[k]] = hydrogens[order[k]]
        for _ in range(3):  # superpose, then permute each atom's hydrogens to their nearest
            placed = superposed(Atoms(reference.numbers, positions[order]), reference).positions
            for mine in hydrogens.values():
                apart = reference.positions[mine][:, None] - placed[mine]
                names = linear_sum_assignment(np.square(apart).sum(2))[1]
                order[mine] = order[mine][names]
        found.append(Atoms(reference.numbers, positions[order]))
    return min(found, key=lambda atoms: rmsd(atoms, reference))
