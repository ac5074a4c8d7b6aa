r"""Atom-centred symmetry functions, differentiable, equal to DScribe's.

>>> from ase.build import molecule
>>> acsf = ACSF(r_cut=4.0, g2_params=[[1.0, 0.5]], g4_params=[[0.1, 2, -1]], species=["H", "O"])
>>> acsf.create(molecule("H2O")).shape
(3, 7)
>>> import torch
>>> batch = Batch.from_atoms(molecule("H2O"))
>>> batch = batch.with_positions(batch.positions.requires_grad_())
>>> torch.autograd.grad(acsf(batch).sum(), batch.positions)[0].shape
torch.Size([3, 3])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import nn
from torch.utils.checkpoint import checkpoint

from losiko_torch.descriptors.acsf.functions import (
    angular_functions,
    cutoff_function,
    log_cutoff,
    mixing_matrix,
    neighbor_pairs,
    number_or_nan,
    parameter_table,
    radial_functions,
    sign_rows,
    sum_angular,
    with_third_side,
)
from losiko_torch.descriptors.dscribe_api import NumpyInterface
from losiko_torch.descriptors.interface import expected_neighbors
from losiko_torch.errors import InputError
from losiko_torch.keywords import names_unknown
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import Pairs, find_pairs
from losiko_torch.systems.species import species_numbers
from losiko_torch.systems.sums import summed

#: Distance in Angstrom from a center below which an atom is the central atom itself, which symmetry
#: functions leave out. Positions are rounded to less than this, even in float32.
ON_CENTER = 1e-4
#: Numbers that a triple of atoms takes besides one for each angular function (measured: 27).
NUMBERS_PER_TRIPLE = 30
#: Numbers that triples take at once, up to those of one center beyond: as many as stay in a CPU's
#: cache, and enough to keep a GPU busy.
CPU_NUMBERS, GPU_NUMBERS = 2**19, 2**24
#: Numbers of all triples (256 MiB in float64) above which gradients compute them again, part by
#: part, instead of keeping them.
KEPT_NUMBERS = 2**25


@names_unknown
class ACSF(NumpyInterface, nn.Module):
    """Symmetry functions G1 to G5 (Behler, J. Chem. Phys. 134, 074106, 2011, eqs. 4 to 9).

    A call with a ``Batch`` returns torch features, differentiable with respect to positions and
    cells; ``create`` and ``derivatives`` take ``ase.Atoms`` and return numpy, as DScribe's do.

    Features are ordered by element of the neighbour, ascending, each with G1, the G2 and the G3;
    then by pair of elements (0,0), (1,0), (1,1), (2,0), ..., each with the G4 and the G5. The
    element of the central atom does not enter, and the central atom is not its own neighbour.
    Unlike DScribe's, centers may be positions: a position is described as an atom there would be,
    and an atom already there (within ``ON_CENTER``) counts as the central one.

    Args:
        r_cut: Cutoff in Angstrom, at which all functions vanish with zero slope.
        g2_params: Pairs eta (1/Angstrom^2) and R_s (Angstrom) of the G2 functions.
        g3_params: kappa (1/Angstrom) of the G3 functions.
        g4_params, g5_params: Triples eta (1/Angstrom^2), zeta and lambda of the angular functions.
        species: Elements that can occur, as symbols or atomic numbers.
        periodic: Whether the periodicity of the structures (``atoms.pbc``) is honoured.
        sparse, dtype: Form of what ``create`` and ``derivatives`` return.

    Raises:
        InputError: For parameters out of range: eta below 0, zeta not above 0, or a zeta that is
            not whole with a lambda beyond -1 to 1, where (1 + lambda cos theta)^zeta is undefined.
    """

    element_of_number: torch.Tensor
    radial_g2: torch.Tensor
    radial_g3: torch.Tensor
    mixing_g4: torch.Tensor
    mixing_g5: torch.Tensor
    signs_g4: torch.Tensor
    signs_g5: torch.Tensor
    slot_of_elements: torch.Tensor

    def __init__(
        self,
        r_cut: float,
        g2_params: Sequence | np.ndarray | None = None,
        g3_params: Sequence | np.ndarray | None = None,
        g4_params: Sequence | np.ndarray | None = None,
        g5_params: Sequence | np.ndarray | None = None,
        species: Iterable[str | int] | None = None,
        periodic: bool = False,
        sparse: bool = False,
        dtype: str = "float64",
    ):
        super().__init__()
        if species is None:
            raise InputError("ACSF needs species")
        if dtype not in ("float32", "float64"):
            raise InputError(f"dtype '{dtype}' is none of float32, float64")
        self.r_cut = number_or_nan(r_cut)
        if not 0 < self.r_cut < float("inf"):
            raise InputError(f"r_cut must be a positive number, not {r_cut!r}")
        #: Interatomic distance in Angstrom beyond which atoms have no influence.
        self.cutoff = self.r_cut
        self.periodic, self.average, self.sparse, self.dtype = periodic, "off", sparse, dtype
        self._species = species_numbers(species)
        self.g2_params = parameter_table("g2_params", g2_params, ("eta", "R_s")).tolist()
        self.g3_params = parameter_table("g3_params", g3_params, ("kappa",)).tolist()
        self.g4_params = parameter_table("g4_params", g4_params, ("eta", "zeta", "lambda")).tolist()
        self.g5_params = parameter_table("g5_params", g5_params, ("eta", "zeta", "lambda")).tolist()

        angular = [*self.g4_params, *self.g5_params]
        self._lambdas = sorted({value for _, _, value in angular})
        element_of_number = torch.full((len(chemical_symbols) + 1,), -1)
        element_of_number[list(self._species)] = torch.arange(len(self._species))
        index = torch.arange(len(self._species))
        larger = torch.maximum(index[:, None], index)
        slot_of_elements = larger * (larger + 1) // 2 + torch.minimum(index[:, None], index)
        for name, table in (
            ("element_of_number", element_of_number),
            ("slot_of_elements", slot_of_elements),
            ("radial_g2", torch.tensor(self.g2_params, dtype=torch.float64).reshape(-1, 2)),
            ("radial_g3", torch.tensor(self.g3_params, dtype=torch.float64)),
            ("mixing_g4", mixing_matrix(self.g4_params, self._lambdas)),
            ("mixing_g5", mixing_matrix(self.g5_params, self._lambdas)),
            ("signs_g4", sign_rows(self.g4_params, self._lambdas)),
            ("signs_g5", sign_rows(self.g5_params, self._lambdas)),
        ):
            self.register_buffer(name, table, persistent=False)

    def forward(
        self, batch: Batch, centers: torch.Tensor | None = None, pairs: Pairs | None = None
    ) -> torch.Tensor:
        """Features of every atom, or of the points ``centers`` (indices into the batch).

        Args:
            batch: The structures.
            centers: Points to describe, shape (n_centers,). None means every atom.
            pairs: Pairs within the cutoff. None means that they are found here.

        Returns:
            Features (n_centers, n_features).

        Raises:
            StructureError: If an element is not among ``species``.
        """
        elements = self.element_of_number[batch.numbers]
        if ((elements < 0) & (batch.numbers > 0)).any():
            self.check_elements(batch.numbers.cpu().numpy())
        if centers is None:
            distinct = torch.arange(batch.n_atoms, device=batch.positions.device)
            place = None
        else:
            # A center may be listed several times; it is computed once.
            distinct, place = torch.unique(centers, return_inverse=True)
        row = distinct.new_full((batch.n_atoms,), -1)
        row[distinct] = torch.arange(len(distinct), device=row.device)

        if pairs is None:
            pairs = find_pairs(batch, self.cutoff, self.periodic)
        pairs = pairs.keep(row[pairs.center] >= 0)
        with torch.no_grad():
            apart = pairs.vectors(batch).square().sum(1) > ON_CENTER**2
        pairs = pairs.keep(apart)
        vectors = pairs.vectors(batch)
        r = vectors.square().sum(1).sqrt()
        fc = cutoff_function(r, self.r_cut)
        element, row = elements[pairs.neighbor], row[pairs.center]
        features = self._radial(r, fc, element, row, len(distinct))
        if self.g4_params or self.g5_params:
            geometry = torch.cat([vectors.T / r, r[None], log_cutoff(r, self.r_cut)[None]])
            angular = self._angular(geometry, element, row, len(distinct))
            features = torch.cat([features, angular], dim=1)
        return features if place is None else features.index_select(0, place)

    def derivatives(
        self,
        system: Atoms | Sequence[Atoms],
        centers: Sequence | None = None,
        include: Sequence | None = None,
        exclude: Sequence | None = None,
        method: str = "auto",
        return_descriptor: bool = True,
        attach: bool = True,
        n_jobs: int = 1,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> Any:
        """Derivatives of the features with respect to atomic positions (1/Angstrom).

        ``NumpyInterface.derivatives`` describes the arguments. A center that is an atom's index
        always moves with that atom, as in DScribe: if it stayed behind, the atom would appear as a
        neighbour of its own center, and the features would jump.

        Raises:
            InputError: For ``attach=False``.
        """
        return super().derivatives(
            system,
            centers,
            include=include,
            exclude=exclude,
            method=method,
            return_descriptor=return_descriptor,
            attach=attach,
        )

    def validate_derivatives_method(self, method: str, attach: bool = True) -> str:
        """Return "analytical"; raise ``InputError`` for an unknown method or ``attach=False``."""
        if not attach:
            raise InputError(
                "ACSF leaves out the atom on its center, so the two move together: use attach=True"
            )
        return super().validate_derivatives_method(method, attach)

    def get_number_of_features(self) -> int:
        """Length of the feature vector."""
        n_species = len(self.species)
        radial = 1 + len(self.g2_params) + len(self.g3_params)
        angular = len(self.g4_params) + len(self.g5_params)
        return n_species * radial + n_species * (n_species + 1) // 2 * angular

    def restricted(self, numbers: Iterable[int]) -> tuple[ACSF, torch.Tensor]:
        """Return this descriptor and all its features: fewer elements would not be cheaper."""
        return self, torch.arange(self.get_number_of_features())

    def parameters_dict(self) -> dict[str, Any]:
        """The constructor's arguments that define the features, ready for JSON."""
        return {
            "species": [chemical_symbols[number] for number in self.species],
            "r_cut": self.r_cut,
            "g2_params": self.g2_params or None,
            "g3_params": self.g3_params or None,
            "g4_params": self.g4_params or None,
            "g5_params": self.g5_params or None,
            "periodic": self.periodic,
        }

    def bytes_per_atom(self, item: int) -> int:
        """Bytes for each atom at the peak of a gradient, with numbers of ``item`` bytes.

        The features count about eight times, the pairs' radial functions four times, and the
        triples' numbers once.
        """
        pairs = expected_neighbors(self.cutoff)
        radial = 1 + len(self.g2_params) + len(self.g3_params)
        angular = len(self.g4_params) + len(self.g5_params)
        triples = pairs * (pairs - 1) / 2 * (angular + NUMBERS_PER_TRIPLE) if angular else 0.0
        return int((8 * self.get_number_of_features() + 4 * pairs * radial + triples) * item)

    def summary(self) -> str:
        """Parameters of the descriptor on a line."""
        tables = (self.g2_params, self.g3_params, self.g4_params, self.g5_params)
        counts = [f"{len(table)} G{k}" for k, table in enumerate(tables, start=2) if table]
        functions = ", ".join(["G1", *counts])
        periodic = "periodic" if self.periodic else "not periodic"
        return f"ACSF, r_cut {self.r_cut:g} A, {functions}, {periodic}"

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.parameters_dict().items())

    def _radial(
        self,
        r: torch.Tensor,
        fc: torch.Tensor,
        element: torch.Tensor,
        row: torch.Tensor,
        n_rows: int,
    ) -> torch.Tensor:
        """G1, G2, G3 of every element, shape (n_rows, n_species (1 + n_g2 + n_g3))."""
        terms = radial_functions(r, fc, self.radial_g2.to(r.dtype), self.radial_g3.to(r.dtype))
        n_species = len(self.species)
        sums = summed(terms, row * n_species + element, n_rows * n_species)
        return sums.reshape(n_rows, n_species * terms.shape[1])

    def _angular(
        self, geometry: torch.Tensor, element: torch.Tensor, row: torch.Tensor, n_rows: int
    ) -> torch.Tensor:
        """G4 and G5 of every pair of elements, shape (n_rows, n_element_pairs (n_g4 + n_g5)).

        Args:
            geometry: Argument of ``angular_functions``, shape (5, E), for pairs sorted by ``row``.
            element: Element of the neighbour of each pair, shape (E,).
            row: Row of the center of each pair, shape (E,).
            n_rows: Number of rows.
        """
        n_functions = len(self.g4_params) + len(self.g5_params)
        counts = torch.bincount(row, minlength=n_rows)
        numbers = torch.cumsum(counts * (counts - 1) // 2, 0) * (n_functions + NUMBERS_PER_TRIPLE)
        at_once = GPU_NUMBERS if geometry.is_cuda else CPU_NUMBERS
        _, rows = torch.unique_consecutive(numbers // at_once, return_counts=True)
        counts_of = counts.split(rows.tolist())
        n_pairs = [int(part.sum()) for part in counts_of]
        again = torch.is_grad_enabled() and n_rows > 0 and int(numbers[-1]) > KEPT_NUMBERS
        sums = []
        for part, its_elements, its_counts in zip(
            geometry.split(n_pairs, dim=1), element.split(n_pairs), counts_of, strict=True
        ):
            arguments = (part, its_elements, its_counts)
            sums.append(
                checkpoint(
                    self._angular_sums, *arguments, use_reentrant=False, preserve_rng_state=False
                )
                if again
                else self._angular_sums(*arguments)
            )
        n_slots = len(self.species) * (len(self.species) + 1) // 2
        whole = torch.cat(sums, dim=1) if sums else geometry.new_zeros((n_functions, 0))
        return whole.T.reshape(n_rows, n_slots * n_functions)

    def _angular_sums(
        self, geometry: torch.Tensor, element: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        """G4 and G5, (n_g4 + n_g5, n_rows n_element_pairs), of rows with ``counts`` neighbours."""
        n_species = len(self.species)
        n_slots = n_species * (n_species + 1) // 2
        first, second = neighbor_pairs(counts)
        row = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        slot = row[first] * n_slots + self.slot_of_elements[element[first], element[second]]
        parts, r2_jk, signs = angular_functions(geometry, first, second, self._lambdas)
        size = n_slots * len(counts)
        sums = []
        if self.g4_params:
            near = (r2_jk.detach() < self.r_cut**2).nonzero().squeeze(1)
            parts_g4 = with_third_side(
                parts.index_select(1, near), r2_jk.index_select(0, near), self.r_cut
            )
            own = None if signs is None else signs[self.signs_g4][:, near]
            mixing = self.mixing_g4.to(parts.dtype)
            sums.append(sum_angular(mixing, parts_g4, slot[near], size, own))
        if self.g5_params:
            own = None if signs is None else signs[self.signs_g5]
            sums.append(sum_angular(self.mixing_g5.to(parts.dtype), parts, slot, size, own))
        return torch.cat(sums)
