"""The loss as a TorchSim model, for its batched optimizers, integrators and workflows.

>>> import torch_sim as ts
>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase
>>> from losiko_torch.torchsim import LosikoModel
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3)
>>> model = LosikoModel(EnvironmentDatabase.build([molecule("H2O")], soap))
>>> state = ts.initialize_state([molecule("H2O"), molecule("H2O")], model.device, model.dtype)
>>> found = model(state)
>>> found["energy"].abs().max() < 1e-10, found["forces"].shape, found["stress"].shape
(tensor(True), torch.Size([6, 3]), torch.Size([2, 3, 3]))
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import torch
from ase import Atoms
from ase.geometry import complete_cell

from losiko_torch.accelerators import kernels_for
from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.interface import is_periodic
from losiko_torch.errors import StructureError
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.judge import judge
from losiko_torch.loss.settings import LossOptions, LossSettings
from losiko_torch.loss.stress import stresses
from losiko_torch.loss.terms.interface import arrays_of, for_calculator
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.validity import FARTHEST

try:
    from torch_sim.models.interface import ModelInterface
except ImportError as error:
    raise ImportError("LosikoModel needs TorchSim: pip install 'losiko-torch[torchsim]'") from error


@names_unknown
class LosikoModel(ModelInterface):
    """TorchSim model whose energy is the loss.

    The loss has no unit; where TorchSim says eV read 1, so that forces are in 1/Angstrom and the
    stress in 1/Angstrom^3. References are searched at every new geometry: the energy depends on it
    alone. With "locally-linear" targets it jumps slightly where an atom's set of references
    changes. The model stays on its device: ``.to()`` moves nothing.

    Args:
        database: References; None takes the built-in ones.
        compute_forces, compute_stress: Results wanted beside the energies; each can be set later.
        options: Options of the loss as for ``relax``: ``targets``, ``n_neighbors``, ``reg``,
            ``degree``, ``weights``, ``terms``, ``device``, ``dtype`` ("float64" by default).

    Returns, on a call with a state of B systems and N atoms:
        "energy" (B,), "energies" of each atom (N,), "forces" (N, 3) and "stress" (B, 3, 3), which
        is zero across the directions in which a system is not periodic (``loss.stress``); without
        gradient history, on the model's device, in its precision.

    Raises:
        StructureError: On a call, for a system that the database cannot judge, naming it. Atoms on
            one spot are none: TorchSim's drivers may pass through such a geometry.
    """

    # Rows of the descriptor and the atoms' references outweigh the pairs within the cutoff.
    _memory_scales_with = "n_atoms"

    def __init__(
        self,
        database: EnvironmentDatabase | str | None = None,
        *,
        compute_forces: bool = True,
        compute_stress: bool = True,
        **options: Unpack[LossOptions],
    ):
        super().__init__()
        options.setdefault("dtype", "float64")
        settings = LossSettings(**options)
        terms = for_calculator(settings.terms, "a model")
        self.evaluator = Evaluator.make(database, replace(settings, terms=terms))
        # A few structures are evaluated often: kernels pay, compiled or not.
        kernels_for(self.evaluator.device)
        self._device, self._dtype = self.evaluator.device, self.evaluator.dtype
        self._compute_forces, self._compute_stress = compute_forces, compute_stress

    @property
    def compute_forces(self) -> bool:
        return self._compute_forces

    @compute_forces.setter
    def compute_forces(self, wanted: bool) -> None:
        self._compute_forces = wanted

    @property
    def compute_stress(self) -> bool:
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, wanted: bool) -> None:
        self._compute_stress = wanted

    def forward(self, state: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        # Keyword arguments are the interface's, for other models of a sum.
        batch = self._batch(state)
        self._check(batch)
        objective = self.evaluator.objective.restricted(batch.numbers)
        batch = self._with_arrays(batch)
        if not (self._compute_forces or self._compute_stress):
            judged = judge(objective, batch)
            return {"energy": judged.losses, "energies": judged.distances}
        found = objective.evaluate(batch)
        results = {"energy": found.loss, "energies": found.distances}
        if self._compute_forces:
            results["forces"] = -found.gradient
        if self._compute_stress:
            results["stress"] = stresses(found.virial, batch)
        return results

    def _batch(self, state: Any) -> Batch:
        """Return a TorchSim state as a batch; its cell vectors are columns, ours rows."""
        cells = state.cell.detach().transpose(1, 2)
        # One switch in TorchSim 0.3, one a direction in later ones.
        pbc = torch.as_tensor(state.pbc, device=cells.device).expand(len(cells), 3)
        if not pbc.all():
            whole = torch.as_tensor(np.array([_completed(cell) for cell in cells.cpu().numpy()]))
            cells = torch.where(pbc[:, :, None], cells, whole.to(cells))
        numbers = state.atomic_numbers.to(self._device, torch.long)
        return Batch(
            positions=state.positions.detach().to(self._device, self._dtype),
            numbers=numbers,
            cells=cells.to(self._device, self._dtype),
            pbc=pbc.to(self._device),
            system_idx=state.system_idx.to(self._device, torch.long),
            weights=self._weights(numbers),
        )

    def _with_arrays(self, batch: Batch) -> Batch:
        """Return the batch with the per-atom arrays that terms of the loss keep of its systems.

        Raises:
            StructureError: For a system to which a term does not apply.
        """
        terms = [term for term in self.evaluator.objective.terms if hasattr(term, "prepare")]
        if not terms:
            return batch
        found = []
        for number in range(batch.n_systems):
            one = _atoms(batch, number)
            try:
                found.append(arrays_of(terms, one, number))
            except StructureError as error:
                name = one.get_chemical_formula()
                raise StructureError(f"system {number} ({name}): {error}") from None
        arrays = {
            name: torch.as_tensor(np.concatenate([each[name] for each in found])).to(
                batch.positions
            )
            for name in found[0]
        }
        return replace(batch, arrays=arrays)

    def _weights(self, numbers: torch.Tensor) -> torch.Tensor | None:
        """Return the weights of atoms in the loss, shape (N,), by their elements; None means 1."""
        if not self.evaluator.factors:
            return None
        weights = torch.ones(len(numbers), dtype=self._dtype, device=self._device)
        for number, factor in self.evaluator.factors.items():
            weights[numbers == number] = factor
        return weights

    def _check(self, batch: Batch) -> None:
        """Look for bad systems all at once; ``prepare`` then finds the reason of the first."""
        database = self.evaluator.objective.database
        usable = [z for z, part in database.environments.items() if part.usable]
        if self.evaluator.learned:
            usable = [z for z in usable if z in self.evaluator.objective.model.networks]
        known = torch.tensor(usable, device=self._device)
        atoms = ~torch.isin(batch.numbers, known)
        # Written so that NaN fails.
        atoms |= ~(batch.positions.abs() <= FARTHEST).all(1)
        systems = ~batch.cells.isfinite().all(2).all(1)
        systems |= batch.pbc.any(1) & ~(_volumes(batch) > 1e-6)
        if not is_periodic(database.descriptor):
            systems |= batch.pbc.any(1)
        systems[batch.system_idx[atoms]] = True
        for number in systems.nonzero().squeeze(1).tolist():
            one = _atoms(batch, number)
            problem = self.evaluator.prepare(one).problem
            if problem is not None:
                raise StructureError(f"system {number} ({one.get_chemical_formula()}): {problem}")


def _completed(cell: np.ndarray) -> np.ndarray:
    return complete_cell(cell) if np.isfinite(cell).all() else cell


def _volumes(batch: Batch) -> torch.Tensor:
    return torch.linalg.det(batch.cells).abs()


def _atoms(batch: Batch, system: int) -> Atoms:
    rows = batch.system_idx == system
    return Atoms(
        batch.numbers[rows].cpu().numpy(),
        positions=batch.positions[rows].cpu().numpy(),
        cell=batch.cells[system].cpu().numpy(),
        pbc=batch.pbc[system].cpu().numpy(),
    )
