"""Known carbon: its crystals, and recognising them among relaxed structures."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from cases import data
from losiko_torch import SOAP, EnvironmentDatabase, score
from losiko_torch.relaxation.symmetry import symmetrized

#: Two carbon atoms closer than this (A) are bonded.
BOND = 1.85
#: Largest energy above the lowest, eV/atom, of carbon in the combined database.
WINDOW = 0.5
#: Squared distance below which an environment is that of a reference.
ALIKE = 5e-3
#: Tolerance (A) to which structures are symmetrized before comparison with known crystals.
SYMPREC = 0.3
#: Names of Materials Project entries.
NAMES = {
    "mp-48": "graphite",
    "mp-66": "diamond",
    "mp-47": "lonsdaleite",
    "mp-611426": "diamond polytype mp-611426",
    "mp-611448": "diamond polytype mp-611448",
}
LAYERS = "graphene layers"


def coordination(atoms: Atoms) -> np.ndarray:
    """Number of neighbours of each atom within ``BOND``."""
    return np.bincount(neighbor_list("i", atoms, BOND), minlength=len(atoms))


def descriptor(r_cut: float = 2.3, sigma: float = 0.25) -> SOAP:
    """SOAP of the paper's Table S1 for carbon, with a smooth cutoff; or a wider one."""
    return SOAP(
        species=["C"], r_cut=r_cut, n_max=8, l_max=6, sigma=sigma, periodic=True, smooth_width=0.5
    )


def known_carbon() -> list[Atoms]:
    """Crystals of carbon up to ``WINDOW`` above the hull, by the Materials Project."""
    return [atoms.copy() for atoms in _read_once()]


@lru_cache(maxsize=1)
def _read_once() -> list[Atoms]:
    return data.crystals("C", hull=WINDOW)


def named(structures: Iterable[Atoms], name: str) -> Atoms:
    """Structure of this name, such as "graphite"."""
    return next(atoms for atoms in structures if name_of(atoms.info["material_id"]) == name)


def name_of(identifier: str) -> str:
    return NAMES.get(identifier, identifier)


def kind(atoms: Atoms) -> str:
    """Name of the carbon that this is: graphene layers in any stacking, a crystal, or ""."""
    for name, prototype in _prototypes().items():
        # Atom by atom, since the layers' stacking differs from one result to the next.
        judged = score(atoms, prototype, targets="nearest")[0]
        if judged.problem is None and judged.distances.max() < ALIKE:
            return name
    if not (coordination(atoms) >= 3).all():
        return ""
    probe = AseAtomsAdaptor.get_structure(symmetrized(atoms, SYMPREC) or atoms)
    primitive = probe.get_primitive_structure(tolerance=SYMPREC)
    for name, known in _crystals():
        if len(known) == len(primitive) and _matcher().fit(primitive, known):
            return name
    return ""


@lru_cache(maxsize=1)
def _prototypes() -> dict[str, EnvironmentDatabase]:
    crystals = known_carbon()
    of = {LAYERS: "graphite", "diamond": "diamond"}
    return {
        name: EnvironmentDatabase.build(named(crystals, crystal), descriptor())
        for name, crystal in of.items()
    }


@lru_cache(maxsize=1)
def _crystals() -> list[tuple[str, Structure]]:
    """Names and primitive cells of known carbon of at most 16 atoms, the lowest in energy first."""
    found = sorted(known_carbon(), key=lambda atoms: atoms.info["e_above_hull"])
    cells = [
        (name_of(atoms.info["material_id"]), AseAtomsAdaptor.get_structure(atoms))
        for atoms in found
        if len(atoms) <= 16
    ]
    return [(name, cell.get_primitive_structure()) for name, cell in cells]


@lru_cache(maxsize=1)
def _matcher() -> StructureMatcher:
    return StructureMatcher(ltol=0.15, stol=0.2, angle_tol=5, primitive_cell=False)
