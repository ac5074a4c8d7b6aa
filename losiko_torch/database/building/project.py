"""Environments of any number of structures: all are described, only their components are kept.

The bases come first, from samples that the atomic numbers alone choose. All structures are then
described part by part, and each part is projected onto the bases at once. Environments that lose
too much of their length join the samples, and all environments of their elements are projected
again.

The features of a hundred thousand molecules take some 30 GB, their components a tenth of it. No
other memory grows with the number of structures, except for the structures themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from losiko_torch.database.building.checkpoint import Parts, Projected
from losiko_torch.database.building.describe import describe
from losiko_torch.database.building.order import Block, Layout
from losiko_torch.database.components import (
    basis_of,
    joining_rows,
    kept_components,
    rounded,
    sample_rows,
)
from losiko_torch.database.element import Environments
from losiko_torch.database.reference_weights import as_weight
from losiko_torch.descriptors.interface import restriction

#: Bytes of features that are held rather than computed again: enough for small databases.
HELD = 2**29
#: Passes over all structures; the second serves elements whose basis had missed environments.
PASSES = 2


class Features:
    """Unit descriptors of structures, held in memory while ``room`` (bytes) lasts."""

    def __init__(self, layout: Layout, descriptor: nn.Module, room: int):
        self.layout, self.descriptor, self.room = layout, descriptor, room
        self.held: dict[int, torch.Tensor] = {}

    def of(self, block: Block) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Unit descriptors (n, f) of all atoms of a block, and the features (f,) that they hold.

        None in place of the features means all of them.
        """
        numbers = np.unique(self.layout.structures[block[0]].numbers).tolist()
        cheaper, columns = restriction(self.descriptor, numbers)
        found = {k: self.held[k] for k in block if k in self.held}
        missing = [k for k in block if k not in found]
        if missing:
            structures = [self.layout.structures[k] for k in missing]
            described = describe(structures, cheaper)
            split = described.split([len(atoms) for atoms in structures])
            new = dict(zip(missing, split, strict=True))
            found |= new
            size = described.numel() * described.element_size()
            if size <= self.room:
                self.held |= new
                self.room -= size
        return torch.cat([found[k] for k in block]), columns

    def sample(self, rows: dict[int, torch.Tensor], n_features: int) -> dict[int, torch.Tensor]:
        """Unit descriptors of the environments ``rows`` of each element, shape (S, n_features)."""
        layout = self.layout
        place = np.full(len(layout.numbers), -1)
        for number, chosen in rows.items():
            place[np.flatnonzero(layout.numbers == number)[chosen.numpy()]] = np.arange(len(chosen))
        sample: dict[int, torch.Tensor] = {}
        for block in layout.blocks(layout.holding(np.flatnonzero(place >= 0))):
            found, columns = self.of(block)
            atoms = layout.atoms_of(block)
            for number in rows.keys() & set(layout.numbers[atoms].tolist()):
                here = np.flatnonzero((layout.numbers[atoms] == number) & (place[atoms] >= 0))
                if number not in sample:
                    sample[number] = found.new_zeros(len(rows[number]), n_features)
                to = torch.from_numpy(place[atoms[here]]).to(found.device)[:, None]
                of = torch.arange(n_features) if columns is None else columns
                sample[number][to, of.to(found.device)] = found[torch.from_numpy(here)]
        return sample


@torch.no_grad()
def environments_of(
    layout: Layout,
    descriptor: nn.Module,
    components: dict[int, int | None],
    parts: Parts,
    progress: Callable[[int], None],
) -> dict[int, Environments]:
    """The environments of all structures, by atomic number.

    Args:
        layout: The structures, and the order of their environments.
        descriptor: Descriptor of the atoms.
        components: Number of components kept of each element. None means all.
        parts: Store of finished parts, which are not computed again.
        progress: Called with the number of structures described since the last call.
    """
    # Features may differ in rounding by the structures that were described beside them, which are
    # others after a new start: a build that can be resumed holds no features.
    features = Features(layout, descriptor, HELD if parts.folder is None else 0)
    one = describe(layout.structures[:1], descriptor)
    n_features, device = one.shape[1], one.device
    counts = layout.counts
    samples = {z: sample_rows(n, n_features, components[z]) for z, n in counts.items()}
    bases: dict[int, torch.Tensor] = {}
    vectors: dict[int, torch.Tensor] = {}
    for passage in range(PASSES):
        found = parts.bases(passage)
        if found is None:
            sample = features.sample(samples, n_features)
            found = {
                z: basis_of(sample.pop(z), kept_components(counts[z], n_features, components[z]))
                for z in sorted(samples)
            }
            parts.keep_bases(passage, found)
        found = {z: basis.to(device) for z, basis in found.items()}
        bases |= found
        projection = _Projection(features, found, passage, parts)
        lost = projection.run(vectors, progress)
        samples = {
            z: sample_rows(counts[z], n_features, components[z], joining)
            for z, each in lost.items()
            if len(joining := joining_rows(each))
        }
        if not samples:
            break
    environments = {}
    for z in sorted(counts):
        structure, atom = (each.to(device) for each in layout.places(z))
        weight = as_weight(layout.weights(z).to(device))
        environments[z] = Environments(vectors.pop(z), bases[z], structure, atom, weight)
    return environments


@dataclass(frozen=True)
class _Projection:
    """The projection of all environments of some elements onto their bases, part by part."""

    features: Features
    bases: dict[int, torch.Tensor]
    passage: int
    parts: Parts

    def run(
        self, vectors: dict[int, torch.Tensor], progress: Callable[[int], None]
    ) -> dict[int, torch.Tensor]:
        """Write the ``vectors`` of each element, and return what its environments lose.

        Returns:
            Share of its squared length that lies off the basis, by atomic number, each shape (n,).
        """
        layout, counts = self.features.layout, self.features.layout.counts
        lost = {}
        for z, basis in self.bases.items():
            vectors[z] = basis.new_empty(counts[z], basis.shape[1])
            lost[z] = basis.new_empty(counts[z])
        for number, blocks in enumerate(layout.parts()):
            rows = self._rows(blocks)
            part = self.parts.load(self.passage, number, {z: len(r) for z, r in rows.items()})
            if part is None:
                part = self._projected(blocks)
                self.parts.keep(self.passage, number, part)
            for z, (found, missed) in part.items():
                vectors[z][rows[z]], lost[z][rows[z]] = found.to(vectors[z]), missed.to(lost[z])
            if self.passage == 0:
                progress(sum(map(len, blocks)))
        return lost

    def _rows(self, blocks: list[Block]) -> dict[int, torch.Tensor]:
        """Rows, by atomic number, of the environments that these blocks hold, in their order."""
        layout = self.features.layout
        atoms = np.concatenate([layout.atoms_of(block) for block in blocks])
        numbers = layout.numbers[atoms]
        return {
            z: torch.from_numpy(layout.rows[atoms[numbers == z]]).to(basis.device)
            for z, basis in self.bases.items()
            if (numbers == z).any()
        }

    def _projected(self, blocks: list[Block]) -> dict[int, Projected]:
        layout, counts = self.features.layout, self.features.layout.counts
        pieces: dict[int, list[Projected]] = {}
        for block in blocks:
            numbers = layout.numbers[layout.atoms_of(block)]
            wanted = self.bases.keys() & set(numbers.tolist())
            if not wanted:
                continue
            found, columns = self.features.of(block)
            for z in wanted:
                basis = self.bases[z] if columns is None else self.bases[z][columns]
                own = found[torch.from_numpy(np.flatnonzero(numbers == z))] @ basis
                lost = 1 - own.square().sum(1)
                pieces.setdefault(z, []).append((rounded(own, counts[z]), lost))
        return {
            z: (torch.cat([own for own, _ in each]), torch.cat([lost for _, lost in each]))
            for z, each in sorted(pieces.items())
        }
