r"""SOAP of mixed density channels: features whose number does not depend on the elements.

A channel of the neighbour density is a pair of element and radial function. A center of element X
mixes them, degree by degree, into a few that tell its surroundings apart:

    d^a_lm(i) = sum_{Z n} A^X_{l a Zn} c^Z_nlm(i),      p^{ab}_l(i) = sum_m d^a_lm d^b_lm

so that the power spectrum has q (q + 1) / 2 entries a degree, where that of SOAP grows with the
square of the elements times radial functions. Every element is a combination of few densities, as
in the alchemical SOAP of Willatt, Musil and Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018);
here elements and radial functions are combined at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from losiko_torch.accelerators import gpu_kernel
from losiko_torch.descriptors.interface import expected_neighbors
from losiko_torch.descriptors.soap.power_spectrum import power_spectrum
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.kept import by_element, kept
from losiko_torch.systems.neighbors import Pairs
from losiko_torch.systems.pieces import all_of, places_of


class MixedSoap(nn.Module):
    """Power spectrum of mixed channels.

    Attributes:
        soap: Source of the density; it must neither average nor compress.
        centers: Atomic numbers of the elements that are described, ascending.
        mixing: Mixing A of each center's element, shape (centers, l_max + 1, species, n_max, q).
    """

    mixing: torch.Tensor

    def __init__(self, soap: SOAP, centers: Sequence[int], mixing: torch.Tensor):
        super().__init__()
        self.soap, self.centers = soap, tuple(centers)
        self.register_buffer("mixing", mixing, persistent=False)

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers of the elements that are seen."""
        return self.soap.species

    @property
    def cutoff(self) -> float:
        """Interatomic distance in Angstrom beyond which atoms have no influence."""
        return self.soap.cutoff

    @property
    def periodic(self) -> bool:
        """Return whether periodic images are seen."""
        return self.soap.periodic

    @property
    def n_channels(self) -> int:
        """Number q of mixed channels."""
        return self.mixing.shape[-1]

    def get_number_of_features(self) -> int:
        """Return the number of features, whatever the elements."""
        return self.n_channels * (self.n_channels + 1) // 2 * (self.soap.l_max + 1)

    def forward(
        self, batch: Batch, centers: torch.Tensor | None = None, pairs: Pairs | None = None
    ) -> torch.Tensor:
        """Return the features of all atoms or of some, shape (n, F); see ``SOAP.forward``."""
        numbers = batch.numbers if centers is None else batch.numbers[centers]
        mixed = []
        for degree, block in enumerate(self.soap.coefficients(batch, centers, pairs)):
            rows = block.flatten(1, 2).transpose(1, 2)
            mixed.append(self._mixed(rows, numbers, degree).transpose(1, 2)[:, None])
        return power_spectrum(mixed, "off")

    def mixed(self, coefficients: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Return mixed coefficients (n, (l_max + 1)^2, q) of atoms of these numbers (n,).

        ``coefficients`` (n, (l_max + 1)^2, species * n_max) are those of the kernels.
        """
        return self._times(coefficients, numbers, back=False)

    def unmixed(self, by_mixed: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Return the gradient by coefficients that follows from the one by mixed ones."""
        return self._times(by_mixed, numbers, back=True)

    def restricted(self, numbers: Iterable[int]) -> tuple[MixedSoap, torch.Tensor]:
        """Return a cheaper equivalent for structures of some elements; all features stay."""
        wanted = set(numbers)
        every = torch.arange(self.get_number_of_features())
        soap, _ = self.soap.restricted(wanted)
        kept = [k for k, number in enumerate(self.centers) if number in wanted]
        if soap is self.soap and len(kept) in (0, len(self.centers)):
            return self, every
        seen = [self.soap.species.index(number) for number in soap.species]
        mixing = self.mixing[kept][:, :, seen].contiguous()
        return MixedSoap(soap, [self.centers[k] for k in kept], mixing), every

    def bytes_per_atom(self, item: int) -> int:
        """Return the bytes for each atom at the peak of a gradient by kernels.

        Mixed coefficients and their gradient are there all the time, and either features, whose
        gradient is written over them, or the gradient by coefficients and both in other orders.
        """
        rows, q = (self.soap.l_max + 1) ** 2, self.n_channels
        unmixed = rows * (2 * len(self.species) * self.soap.n_max + q)
        numbers = 2 * rows * q + max(self.get_number_of_features(), unmixed)
        return int(numbers * item + expected_neighbors(self.cutoff) * (12 * item + 64))

    def _times(self, values: torch.Tensor, numbers: torch.Tensor, back: bool) -> torch.Tensor:
        """Return rows (n, (l_max + 1)^2, ...) times the mixing of their atoms' elements."""
        kernel = gpu_kernel(values.device, "mix")
        if kernel is not None:
            piece = all_of(numbers)
            for number, _ in piece.elements:
                self.centers.index(number)  # raises for others, as plain torch does
            place = self._places(values.device)
            return kernel(values, piece.rows, piece.tiles, place, self._mixing(values), back)
        atoms = by_element(numbers)
        values = atoms.together(values)
        channels = self.mixing.shape[2] * self.mixing.shape[3] if back else self.n_channels
        out = values.new_empty((*values.shape[:2], channels))
        for number, some in atoms.elements:
            matrices = self._matrices(number, values)
            matrices = matrices.transpose(1, 2) if back else matrices
            own, into = (each[some].transpose(0, 1) for each in (values, out))
            torch.bmm(own, matrices, out=into)
        return atoms.apart(out)

    def _places(self, device: torch.device) -> torch.Tensor:
        """Return the place of each atomic number among the centers, kept."""
        return kept(self.mixing, ("places", device), lambda: places_of(self.centers, device))

    def _mixing(self, like: torch.Tensor) -> torch.Tensor:
        """Return the mixing of all centers, (centers, l_max + 1, species * n_max, q), kept."""
        kind = ("mixing", like.dtype, like.device)
        return kept(self.mixing, kind, lambda: self.mixing.flatten(2, 3).to(like).contiguous())

    def _matrices(self, number: int, like: torch.Tensor) -> torch.Tensor:
        """Return the mixing of a center's element, ((l_max + 1)^2, species * n_max, q), kept."""

        def found() -> torch.Tensor:
            own = self._mixing(like)[self.centers.index(number)]
            orders = 2 * torch.arange(len(own), device=own.device) + 1
            return own.repeat_interleave(orders, 0)

        return kept(self.mixing, ("matrices", number, like.dtype, like.device), found)

    def _mixed(self, rows: torch.Tensor, numbers: torch.Tensor, degree: int) -> torch.Tensor:
        """Return rows (n, 2l + 1, species * n_max) of one degree mixed, differentiable."""
        places = numbers.new_zeros(len(numbers))
        for k, number in enumerate(self.centers):
            places[numbers == number] = k
        return rows @ self.mixing.to(rows.dtype)[places, degree].flatten(1, 2)
