r"""SOAP power spectra, differentiable, equal to DScribe's.

>>> from ase.build import molecule
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=2, sigma=0.3)
>>> soap.create(molecule("H2O")).shape
(3, 108)
>>> import torch
>>> batch = Batch.from_atoms(molecule("H2O"))
>>> batch = batch.with_positions(batch.positions.requires_grad_())
>>> torch.autograd.grad(soap(batch).sum(), batch.positions)[0].shape
torch.Size([3, 3])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import nn

from losiko_torch.descriptors.dscribe_api import NumpyInterface
from losiko_torch.descriptors.dscribe_names import RadialNames
from losiko_torch.descriptors.interface import expected_neighbors
from losiko_torch.descriptors.soap.arrays import arrays_for
from losiko_torch.descriptors.soap.density import expand_density
from losiko_torch.descriptors.soap.function import features_by_kernels, kernels_serve
from losiko_torch.descriptors.soap.gaussian_basis import GaussianBasis, cutoff_padding
from losiko_torch.descriptors.soap.jacobian import derived
from losiko_torch.descriptors.soap.neighbor_weights import check_weighting, infer_r_cut
from losiko_torch.descriptors.soap.pair_weights import pair_weights
from losiko_torch.descriptors.soap.parameters import check_compression, check_ranges
from losiko_torch.descriptors.soap.polynomial_basis import PolynomialBasis
from losiko_torch.descriptors.soap.power_spectrum import (
    Coefficients,
    feature_count,
    power_spectrum,
    scale_degrees,
)
from losiko_torch.errors import InputError
from losiko_torch.keywords import names_unknown
from losiko_torch.systems.batch import Batch, mean_by_system
from losiko_torch.systems.kept import kept
from losiko_torch.systems.neighbors import Pairs, find_pairs
from losiko_torch.systems.species import species_numbers


@names_unknown
class SOAP(RadialNames, NumpyInterface, nn.Module):
    """Smooth overlap of atomic positions (Bartok, Kondor, Csanyi, PRB 87, 184115, 2013).

    A call with a ``Batch`` returns torch features, differentiable with respect to positions and
    cells; ``create`` and ``derivatives`` take ``ase.Atoms`` and return numpy, as DScribe's do.

    Args:
        r_cut: Cutoff of the radial basis in Angstrom, above 1 for ``gto``. None means the one that
            follows from the weighting function.
        n_max: Number of radial functions.
        l_max: Highest degree of spherical harmonics, 0 to 20.
        sigma: Standard deviation in Angstrom of the Gaussian that smears each atom.
        rbf: "gto" or "polynomial".
        weighting: DScribe's dictionary: function "poly", "pow" or "exp" and its parameters, w0.
        average: "off", "inner" (coefficients) or "outer" (power spectra) over a structure's
            centers; either gives one row a structure.
        compression: {"mode": "off" | "mu2" | "mu1nu1" | "crossover",
            "species_weighting": None or {species: weight}}.
        species: Elements that can occur, as symbols or atomic numbers.
        periodic: Whether the periodicity of the structures (``atoms.pbc``) is honoured.
        sparse, dtype: Form of what ``create`` and ``derivatives`` return.
        smooth_width: Width in Angstrom over which neighbours fade out before the cutoff; 0 is
            DScribe's sharp cutoff.

    Raises:
        InputError: For parameters out of range.

    DScribe 2.1.2 departs from its own formulas, and so from this, in three places: the polynomial
    basis (see ``soap.polynomial_basis``); atoms outside a periodic cell, of which it misses
    neighbours; and ``derivatives`` with ``attach`` of averages, where it moves the wrong centers if
    some are free or an atom is not a neighbour of all.
    """

    element_of_number: torch.Tensor
    species_weights: torch.Tensor

    def __init__(
        self,
        r_cut: float | None = None,
        n_max: int | None = None,
        l_max: int | None = None,
        sigma: float = 1.0,
        rbf: str = "gto",
        weighting: Mapping[str, Any] | None = None,
        average: str = "off",
        compression: Mapping[str, Any] | None = None,
        species: Iterable[str | int] | None = None,
        periodic: bool = False,
        sparse: bool = False,
        dtype: str = "float64",
        smooth_width: float = 0.0,
    ):
        super().__init__()
        if species is None or n_max is None or l_max is None:
            raise InputError("SOAP needs species, n_max and l_max")
        check_ranges(n_max, l_max, sigma, rbf, average, smooth_width, dtype)
        self.weighting = check_weighting(weighting)
        self.r_cut = float(r_cut) if r_cut else infer_r_cut(self.weighting)
        if not 0 < self.r_cut < float("inf"):
            raise InputError(f"r_cut must be positive, not {self.r_cut}")
        if rbf == "gto" and self.r_cut <= 1:
            raise InputError("r_cut must be larger than 1 A for the gto basis")
        self.n_max, self.l_max, self.sigma = int(n_max), int(l_max), float(sigma)
        self.rbf, self.average, self.periodic = rbf, average, periodic
        self.sparse, self.dtype, self.smooth_width = sparse, dtype, float(smooth_width)
        self._species = species_numbers(species)
        self._compression, weights = check_compression(compression, self.species)
        #: Interatomic distance in Angstrom beyond which atoms have no influence.
        self.cutoff = self.r_cut + cutoff_padding(self.sigma)

        basis = GaussianBasis if rbf == "gto" else PolynomialBasis
        self.basis_arguments = (self.r_cut, self.n_max, self.l_max, self.sigma, self.cutoff)
        self.basis = basis(*self.basis_arguments)
        element_of_number = torch.full((len(chemical_symbols) + 1,), -1)
        element_of_number[list(self.species)] = torch.arange(len(self.species))
        self.register_buffer("element_of_number", element_of_number, persistent=False)
        species_weights = torch.tensor(weights, dtype=torch.float64)
        self.register_buffer("species_weights", species_weights, persistent=False)
        self.weighs_species = any(weight != 1 for weight in weights)

    @property
    def compression(self) -> dict[str, Any]:
        """``mode`` and ``species_weighting`` (by symbol, or None). Unlike DScribe's, fixed."""
        return self._compression

    def forward(
        self, batch: Batch, centers: torch.Tensor | None = None, pairs: Pairs | None = None
    ) -> torch.Tensor:
        """Features of every atom, or of the points ``centers`` (indices into the batch).

        ``pairs`` are those within the cutoff. None means that they are found here.

        Returns:
            Features (n_centers, n_features), or (n_systems, n_features) with averaging.

        Raises:
            StructureError: If an element is not among ``species``.
        """
        if type(self) is SOAP and kernels_serve(self, batch):
            if pairs is None:
                pairs = find_pairs(batch, self.cutoff, self.periodic)
            return features_by_kernels(self, batch, centers, pairs)
        return self.plain(batch, centers, pairs)

    def plain(
        self, batch: Batch, centers: torch.Tensor | None = None, pairs: Pairs | None = None
    ) -> torch.Tensor:
        """Return what a call does, by plain torch: slower, differentiable in every way."""
        coefficients = self.coefficients(batch, centers, pairs)
        if centers is None:
            centers = torch.arange(batch.n_atoms, device=batch.positions.device)
        systems = batch.system_idx[centers], batch.n_systems
        if self.average == "inner":
            coefficients = [mean_by_system(c, *systems) for c in coefficients]
        features = power_spectrum(coefficients, self.compression["mode"])
        if self.average == "outer":
            features = mean_by_system(features, *systems)
        return features

    def coefficients(
        self, batch: Batch, centers: torch.Tensor | None = None, pairs: Pairs | None = None
    ) -> Coefficients:
        """Return the density's coefficients, scaled for the power spectrum; see ``forward``."""
        if pairs is None:
            pairs = find_pairs(batch, self.cutoff, self.periodic)
        if centers is None:
            everyone = torch.arange(batch.n_atoms, device=batch.positions.device)
            return self._coefficients(batch, pairs, everyone)
        # A center may be listed several times; its pairs are summed once.
        distinct, place = torch.unique(centers, return_inverse=True)
        seen = torch.zeros(batch.n_atoms, dtype=torch.bool, device=centers.device)
        seen[distinct] = True
        pairs = pairs.keep(seen[pairs.center])
        found = self._coefficients(batch, pairs, distinct)
        return [block.index_select(0, place) for block in found]

    def get_number_of_features(self) -> int:
        return feature_count(len(self.species), self.n_max, self.l_max, self.compression["mode"])

    def get_location(self, species: tuple[str | int, str | int]) -> slice:
        """Slice of the features of a pair of elements, e.g. ``get_location(("H", "O"))``."""
        if len(species) != 2:
            raise InputError("get_location needs a pair of species")
        for number in species_numbers(species):
            if number not in self.species:
                raise InputError(f"{chemical_symbols[number]} is not among the species")
        first, second = sorted(self.species.index(species_numbers([s])[0]) for s in species)
        mode, degrees, n = self.compression["mode"], self.l_max + 1, self.n_max
        if mode == "mu2":
            return slice(0, self.get_number_of_features())
        if mode in ("mu1nu1", "crossover"):
            if first != second:
                raise InputError(f"compression '{mode}' has no features of two elements")
            size = (n**2 if mode == "mu1nu1" else n * (n + 1) // 2) * degrees
            return slice(first * size, (first + 1) * size)
        same, different = n * (n + 1) // 2 * degrees, n**2 * degrees
        start = 0
        for a in range(len(self.species)):
            for b in range(a, len(self.species)):
                size = same if a == b else different
                if (a, b) == (first, second):
                    return slice(start, start + size)
                start += size
        raise AssertionError("unreachable: both species were found above")

    def restricted(self, numbers: Iterable[int]) -> tuple[SOAP, torch.Tensor]:
        """A cheaper equivalent for structures of some of the elements only.

        Returns:
            The descriptor, and the features of this one that it gives, shape (f,); the others
            vanish for these elements. Compression "mu2" leaves nothing to restrict.
        """
        kept = tuple(z for z in self.species if z in set(numbers))
        mode = self.compression["mode"]
        if mode == "mu2" or not kept or kept == self.species:
            return self, torch.arange(self.get_number_of_features())
        parameters = self.parameters_dict()
        parameters["species"] = list(kept)
        weights = self.compression["species_weighting"]
        if weights is not None:
            kept_weights = {chemical_symbols[z]: weights[chemical_symbols[z]] for z in kept}
            parameters["compression"] = {"mode": mode, "species_weighting": kept_weights}
        pairs = [(a, b) for a in kept for b in kept if a == b or (a < b and mode == "off")]
        places = [self.get_location(pair) for pair in pairs]
        columns = torch.cat([torch.arange(place.start, place.stop) for place in places])
        return SOAP(**parameters).to(self.element_of_number.device), columns

    def parameters_dict(self) -> dict[str, Any]:
        """The constructor's arguments that define the features, ready for JSON."""
        return {
            "species": [chemical_symbols[number] for number in self.species],
            "r_cut": self.r_cut,
            "n_max": self.n_max,
            "l_max": self.l_max,
            "sigma": self.sigma,
            "rbf": self.rbf,
            "weighting": self.weighting or None,
            "average": self.average,
            "compression": self.compression,
            "periodic": self.periodic,
            "smooth_width": self.smooth_width,
        }

    def bytes_per_atom(self, item: int) -> int:
        """Bytes for each atom at the peak of a gradient, with numbers of ``item`` bytes.

        The features and their products count about eight times, the pairs' outer products of
        radial and angular functions about three times.
        """
        pairs = expected_neighbors(self.cutoff)
        products = self.n_max * (2 * self.l_max + 1)
        harmonics = (self.l_max + 1) ** 2 + self.n_max * (self.l_max + 1)
        features = 8 * self.get_number_of_features()
        return int((features + pairs * (3 * products + 6 * harmonics)) * item)

    def summary(self) -> str:
        """Parameters of the descriptor on a line."""
        return (
            f"SOAP, r_cut {self.r_cut:g} A, n_max {self.n_max}, l_max {self.l_max}, "
            f"sigma {self.sigma:g} A, smooth_width {self.smooth_width:g} A, "
            f"{self.rbf} basis, {'periodic' if self.periodic else 'not periodic'}"
        )

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.parameters_dict().items())

    def check_batch(self, batch: Batch) -> None:
        """Raise ``StructureError`` for an element that is not among ``species``."""
        numbers = batch.numbers

        def known() -> bool:
            return not ((self.element_of_number[numbers] < 0) & (numbers > 0)).any()

        if not kept(numbers, ("known to", tuple(self.species)), known):
            self.check_elements(numbers.cpu().numpy())

    def channel_of(self, numbers: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Density that each atomic number (E,) adds to, shape (E,), and the number of densities.

        Each element has a density of its own, but compression "mu2" has a single one.
        """
        if self.compression["mode"] == "mu2":
            return torch.zeros_like(numbers), 1
        return self.element_of_number[numbers], len(self.species)

    @property
    def weighs_neighbors(self) -> bool:
        """True if neighbours have weights other than 1."""
        return bool(self.weighting) or self.smooth_width > 0 or self.weighs_species

    def expanded(
        self, vectors: torch.Tensor, numbers: torch.Tensor, row: torch.Tensor, n: int
    ) -> Coefficients:
        """Return the coefficients of n centers, by plain torch.

        Args:
            vectors: Vectors to neighbours, Angstrom, shape (E, 3).
            numbers: Atomic numbers of the neighbours, shape (E,).
            row: Center of each neighbour, 0 to n - 1, shape (E,).
            n: Number of centers.
        """
        r2 = (vectors * vectors).sum(1)
        channel, n_channels = self.channel_of(numbers)
        radial = self.basis(r2)
        weights = pair_weights(self, r2, numbers)
        if weights is not None:
            radial = radial * weights[None, :, None]
        slot = row * n_channels + channel
        return scale_degrees(expand_density(vectors, radial, slot, n, n_channels, self.cutoff))

    def _created(self, structures, centers, n_jobs):
        arrays = arrays_for(self, n_jobs) if type(self) is SOAP else None
        if arrays is None:
            return super()._created(structures, centers, n_jobs)
        return arrays.created(structures, centers)

    def _derived(self, number, atoms, centers, moved, attach, n_jobs):
        arrays = arrays_for(self, n_jobs) if type(self) is SOAP else None
        if arrays is None:
            return super()._derived(number, atoms, centers, moved, attach, n_jobs)
        return derived(arrays, arrays.site(number, atoms, centers), moved, attach)

    def _coefficients(self, batch: Batch, pairs: Pairs, centers: torch.Tensor) -> Coefficients:
        self.check_batch(batch)
        row = centers.new_full((batch.n_atoms,), -1)
        row[centers] = torch.arange(len(centers), device=row.device)
        numbers = batch.numbers[pairs.neighbor]
        return self.expanded(pairs.vectors(batch), numbers, row[pairs.center], len(centers))
