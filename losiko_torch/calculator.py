"""The loss as an ASE calculator, for every ASE optimizer, filter and dynamics.

>>> from ase.build import molecule
>>> from ase.optimize import BFGS
>>> from losiko_torch import SOAP, EnvironmentDatabase, LosikoCalculator
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3)
>>> water = molecule("H2O")
>>> database = EnvironmentDatabase.build([water], soap)
>>> water.rattle(0.1, seed=1)
>>> water.calc = LosikoCalculator(database, targets="nearest")
>>> bool(BFGS(water, logfile=None).run(fmax=0.001)), water.get_potential_energy() < 1e-6
(True, True)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Unpack, cast

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from losiko_torch.accelerators import kernels_for
from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import StructureError
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.settings import LossOptions, LossSettings
from losiko_torch.loss.stress import stresses
from losiko_torch.loss.terms.interface import CALCULATOR, for_calculator

#: Arrays of atoms that the loss does not read, or that ASE compares.
IGNORED = {
    "numbers",
    "positions",
    "momenta",
    "initial_charges",
    "initial_magmoms",
    "tags",
    "masses",
}


@names_unknown
class LosikoCalculator(Calculator):
    """ASE calculator whose energy is the loss.

    The loss has no unit; where ASE says eV read 1, so that forces are in 1/Angstrom and the stress
    in 1/Angstrom^3. References are searched at every new geometry: the energy depends on it alone.
    With "locally-linear" targets it jumps slightly where an atom's set of references changes.

    Args:
        database: References; None takes the built-in ones.
        atoms, label, directory: As for every calculator of ASE.
        options: Options of the loss as for ``relax``: ``targets``, ``n_neighbors``, ``reg``,
            ``degree``, ``weights``, ``terms``, ``device``, ``dtype`` ("float64" by default). The
            array ``losiko_weight`` of the atoms
            counts too.

    Properties: energy, free_energy, energies (of each atom), forces and, where a structure is
    periodic in any direction and its cell has a volume, stress. That of slabs and wires is by the
    volume of the whole cell, vacuum included, and zero across the directions in which they are not
    periodic (``loss.stress``), so that ASE's cell filters do what ``relax(cell=True)`` does.

    Calculators can be pickled and copied, for process pools; the built-in database does not travel,
    but is loaded from the cache there.

    Raises:
        UnknownOption: For an option that there is none of.
        StructureError: On calculation, for a structure that the database cannot judge.
    """

    implemented_properties = [  # noqa: RUF012 (as ASE declares it)
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        database: EnvironmentDatabase | str | None = None,
        *,
        atoms: Atoms | None = None,
        label: str | None = None,
        directory: str = ".",
        **options: Unpack[LossOptions],
    ):
        options.setdefault("dtype", "float64")
        super().__init__(label=label, atoms=atoms, directory=directory)
        settings = LossSettings(**options)
        terms = for_calculator(settings.terms, CALCULATOR)
        self._settings = replace(settings, terms=terms)
        self._built_in = database is None
        self.evaluator = Evaluator.make(database, self._settings)
        # One structure is evaluated often: kernels pay, compiled or not.
        kernels_for(self.evaluator.device)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._built_in:
            # It is large, and every process has it.
            del state["evaluator"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._built_in:
            self.evaluator = Evaluator.make(None, self._settings)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Return what has changed since the last calculation, arrays of the atoms included."""
        changes = super().check_state(atoms, tol=tol)
        if changes:
            return changes
        before = cast(Atoms, self.atoms).arrays
        # Weights and terms of the loss read arrays; ASE compares positions and numbers itself.
        names = (before.keys() | atoms.arrays.keys()) - IGNORED
        return [
            name for name in sorted(names) if not _same(atoms.arrays.get(name), before.get(name))
        ]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties or ["energy"], system_changes)
        # The copy that ASE keeps to notice changes.
        here = cast(Atoms, self.atoms)
        # ASE applies constraints itself, to the forces that it asks for.
        item = self.evaluator.prepare(here)
        if item.problem is not None:
            raise StructureError(f"{here.get_chemical_formula()}: {item.problem}")
        batch = self.evaluator.batch([item])
        objective = self.evaluator.objective.restricted(batch.numbers)
        found = objective.evaluate(batch)
        for term, value in zip(objective.terms, found.terms[:, 0].tolist(), strict=True):
            if not np.isfinite(value):
                name = here.get_chemical_formula()
                raise StructureError(f"{name}: the term '{term.name}' is not a finite number")
        loss = float(found.loss[0])
        self.results = {
            "energy": loss,
            "free_energy": loss,
            "energies": _numpy(found.distances),
            "forces": -_numpy(found.gradient),
        }
        if here.pbc.any() and here.cell.rank == 3:
            stress = _numpy(stresses(found.virial, batch)[0])
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    # NaN stands for "no number here" in the arrays of files: it equals itself.
    return np.array_equal(one, other, equal_nan=one.dtype.kind == other.dtype.kind == "f")


def _numpy(values: torch.Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
