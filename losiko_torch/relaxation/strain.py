"""Choice of the strains that a cell may take, in the terms of ASE's cell filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.stress import voigt_6_to_full_3x3_stress

from losiko_torch.errors import InputError
from losiko_torch.loss.stress import periodic_directions
from losiko_torch.systems.batch import Batch


@dataclass(frozen=True)
class StrainFilter:
    """Strains that a cell may take.

    Attributes:
        mask: Components that may change, 1 or 0, in Voigt order (xx, yy, zz, yz, xz, xy);
            (1, 1, 0, 0, 0, 1) relaxes the xy plane only.
        hydrostatic_strain: Only a uniform scaling of the periodic directions.
        constant_volume: No change of volume (area, length, where fewer directions are periodic).

    Raises:
        InputError: For a mask that is not six numbers 0 or 1, and for conditions that together
            allow no strain.
    """

    mask: tuple[float, ...] = (1, 1, 1, 1, 1, 1)
    hydrostatic_strain: bool = False
    constant_volume: bool = False

    def __post_init__(self) -> None:
        if self.hydrostatic_strain and self.constant_volume:
            raise InputError("hydrostatic_strain and constant_volume together allow no strain")
        if self.hydrostatic_strain and not all(self.mask):
            raise InputError("hydrostatic_strain takes no strain_mask: every strain is the same")
        if self.constant_volume and sum(self.mask) == sum(self.mask[:3]) == 1:
            raise InputError("constant_volume and a strain_mask of one length allow no strain")

    @classmethod
    def make(
        cls, mask: Sequence | None, hydrostatic_strain: bool, constant_volume: bool
    ) -> StrainFilter:
        """Return the filter for a mask of six or, symmetric, 3 x 3 entries; None allows all."""
        if mask is None:
            return cls(cls.mask, hydrostatic_strain, constant_volume)
        try:
            entries = np.asarray(mask, dtype=float)
        except (TypeError, ValueError):
            entries = np.empty(0)
        if entries.shape == (3, 3) and (entries == entries.T).all():
            entries = entries[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        if entries.shape != (6,) or not np.isin(entries, (0, 1)).all() or not entries.any():
            raise InputError(
                "strain_mask must be six numbers 0 or 1, not all 0, for xx, yy, zz, yz, xz, xy "
                f"(or a symmetric 3 x 3 matrix of them), not {mask!r}"
            )
        return cls(tuple(entries.tolist()), hydrostatic_strain, constant_volume)

    @property
    def changes_volume(self) -> bool:
        """Return whether the volume can change."""
        return not self.constant_volume and any(self.mask[:3])

    def projections(self, batch: Batch) -> torch.Tensor:
        """Return the projection of each structure onto its allowed strains, shape (B, 9, 9).

        Allowed are symmetric strains (the rest would only rotate the structure, which no loss
        notices) along the directions in which the structure is periodic, so that a slab keeps its
        normal, and of these what the filter leaves.
        """
        periodic = periodic_directions(batch)
        identity = torch.eye(9).to(periodic)
        transposed = identity.reshape(3, 3, 9).transpose(0, 1).reshape(9, 9)
        along = torch.einsum("bij,bkl->bikjl", periodic, periodic).reshape(-1, 9, 9)
        allowed = voigt_6_to_full_3x3_stress(np.array(self.mask)) != 0
        masked = torch.diag(torch.as_tensor(allowed).reshape(9).to(periodic))
        symmetric = (identity + transposed) / 2
        conditions = [along, symmetric.expand_as(along), masked.expand_as(along)]
        if self.hydrostatic_strain or self.constant_volume:
            scaling = periodic.reshape(-1, 9, 1)
            size = scaling.square().sum(1, keepdim=True).clamp(min=1)
            uniform = scaling @ scaling.transpose(1, 2) / size
            conditions.append(uniform if self.hydrostatic_strain else identity - uniform)
        return _intersection(conditions)


ANY_STRAIN = StrainFilter()


def _intersection(projections: list[torch.Tensor]) -> torch.Tensor:
    """Return the projection (B, n, n) onto the vectors that all of these leave as they are."""
    # Each adds the squared share of a vector that it takes away: the common vectors lose nothing.
    identity = torch.eye(projections[0].shape[1]).to(projections[0])
    lost, vectors = torch.linalg.eigh(sum(identity - projection for projection in projections))
    kept = vectors * (lost < 1e-9)[:, None, :]
    return kept @ kept.transpose(1, 2)
