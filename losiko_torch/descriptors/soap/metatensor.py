"""SOAP as a ``TensorMap`` of metatensor, laid out as featomic's ``SoapPowerSpectrum``.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=2, sigma=0.3)
>>> features = tensor_map(soap, [molecule("H2O"), molecule("OH")], gradients=["positions"])
>>> features.keys.names
['center_type', 'neighbor_1_type', 'neighbor_2_type']
>>> block = features.block(center_type=8, neighbor_1_type=1, neighbor_2_type=8)
>>> block.samples.names, block.properties.names, block.values.shape
(['system', 'atom'], ['l', 'n_1', 'n_2'], (2, 48))
>>> block.gradient("positions").samples.names, block.gradient("positions").values.shape
(['sample', 'system', 'atom'], (5, 3, 48))

A block holds the atoms of one element that see both elements of a pair, and the products of the
densities of these, of all n_1 and n_2: those of one element appear twice. Values are DScribe's, as
``create`` gives them; featomic's are scaled otherwise, and by the root of 2 for unlike elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms

from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError
from losiko_torch.extras import needs
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import find_pairs

KEYS = ["center_type", "neighbor_1_type", "neighbor_2_type"]
#: Numbers of a dense Jacobian computed at once; bounds the memory besides the result.
NUMBERS_AT_ONCE = 20_000_000


def tensor_map(
    soap: SOAP, systems: Atoms | Sequence[Atoms] | Batch, gradients: Sequence[str] = ()
) -> Any:
    """Return features of every atom as a ``TensorMap``.

    Args:
        soap: Descriptor without averaging, with compression "off" or "crossover".
        systems: Structures, for a ``metatensor.TensorMap`` of numpy arrays of the descriptor's
            ``dtype``; or a batch, for a ``metatensor.torch.TensorMap`` of tensors, differentiable
            by autograd with respect to the batch's positions and cells.
        gradients: ["positions"] for derivatives by the positions (1/Angstrom) of each center and
            the neighbours of the block's elements; centers move with their atoms. Structures only.

    Returns:
        Blocks by elements of center and pair, ``KEYS``, ascending; samples ``system`` and ``atom``;
        properties ``l``, ``n_1`` and ``n_2``; gradients of samples ``sample``, ``system`` and
        ``atom`` and component ``xyz``. What is in no block is zero.

    Raises:
        InputError: For a descriptor that this layout does not serve, unknown gradients, or where
            metatensor is not installed.
        StructureError: For a structure that cannot be described, naming its place in the list.
    """
    mode = soap.compression["mode"]
    if soap.average != "off" or mode not in ("off", "crossover"):
        raise InputError(
            "a TensorMap needs SOAP with average='off' and compression 'off' or 'crossover', "
            f"not average={soap.average!r} and compression {mode!r}"
        )
    if isinstance(gradients, str) or not set(gradients) <= {"positions"}:
        raise InputError(f"gradients must be [] or ['positions'], not {gradients!r}")
    if isinstance(systems, Batch):
        if gradients:
            raise InputError(
                "gradients are stored for structures; features of a Batch have them by autograd"
            )
        needs("metatensor_torch", "a TensorMap of tensors")
        import metatensor.torch

        rows = soap(systems)
        return _Layout.of(soap, systems).map(metatensor.torch, rows)
    structures = [systems] if isinstance(systems, Atoms) else list(systems)
    if not structures:
        raise InputError("a TensorMap needs at least one structure")
    needs("metatensor", "a TensorMap")
    import metatensor

    checked = [soap.checked(number, atoms) for number, atoms in enumerate(structures)]
    created = soap.create(structures)
    rows = np.concatenate([_dense(row) for row in (created if len(structures) > 1 else [created])])
    layout = _Layout.of(soap, Batch.from_atoms(checked))
    slopes = layout.slopes(structures) if gradients else None
    return layout.map(metatensor, rows, slopes)


@dataclass(frozen=True)
class _Layout:
    """Layout of a ``TensorMap``: N atoms of some systems, E pairs of an atom and what moves it.

    Attributes:
        soap: Descriptor.
        numbers: Atomic numbers, shape (N,).
        place: System, and atom within it, of each atom, shape (N, 2).
        seen: Which of the descriptor's species each atom sees, shape (N, n_species).
        center, moved: Pairs, each once, ascending, shape (E,); every atom is moved by itself.
    """

    soap: SOAP
    numbers: np.ndarray
    place: np.ndarray
    seen: np.ndarray
    center: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, soap: SOAP, batch: Batch) -> _Layout:
        """Return the layout of a batch's features."""
        pairs = find_pairs(batch, soap.cutoff, soap.periodic)
        n, numbers = batch.n_atoms, batch.numbers.cpu().numpy()
        pair = np.unique(pairs.center.cpu().numpy() * n + pairs.neighbor.cpu().numpy())
        center, moved = pair // n, pair % n
        seen = np.zeros((n, len(soap.species)), dtype=bool)
        atom = numbers[moved] > 0  # a point of a batch that is no atom is seen by none
        seen[center[atom], np.searchsorted(soap.species, numbers[moved[atom]])] = True
        counts = batch.counts.cpu().numpy()
        first = np.repeat(np.cumsum(counts) - counts, counts)
        place = np.stack([batch.system_idx.cpu().numpy(), np.arange(n) - first], 1)
        return cls(soap, numbers, place, seen, center, moved)

    def map(self, library: Any, rows: Any, slopes: np.ndarray | None = None) -> Any:
        """Return features (N, F) and their slopes (E, 3, F) in metatensor's classes."""
        species, keys, blocks = self.soap.species, [], []
        for kind in np.unique(self.numbers):
            for first, one in enumerate(species):
                for second, other in enumerate(species[first:], first):
                    seen = self.seen[:, first] & self.seen[:, second] & (self.numbers == kind)
                    if not seen.any() or (one != other and self._mode == "crossover"):
                        continue
                    keys.append((kind, one, other))
                    blocks.append(self._block(library, rows, slopes, seen, (one, other)))
        return library.TensorMap(_labels(library, KEYS, keys, rows), blocks)

    def slopes(self, structures: list[Atoms]) -> np.ndarray:
        """Return derivatives of each pair's center by what it is moved by, shape (E, 3, F)."""
        features = self.soap.get_number_of_features()
        out = np.empty((len(self.center), 3, features), self.soap.dtype)
        start = 0
        for atoms in structures:
            at_once = max(1, NUMBERS_AT_ONCE // (3 * len(atoms) * features))
            for first in range(0, len(atoms), at_once):
                last = min(first + at_once, len(atoms))
                found = self.soap.derivatives(
                    atoms, list(range(first, last)), attach=True, return_descriptor=False
                )
                part = slice(*np.searchsorted(self.center, (start + first, start + last)))
                center, moved = self.center[part] - start - first, self.moved[part] - start
                out[part] = _dense(found)[center, moved]
            start += len(atoms)
        return out

    @property
    def _mode(self) -> str:
        return self.soap.compression["mode"]

    def _block(
        self, library: Any, rows: Any, slopes: np.ndarray | None, seen: np.ndarray, pair: tuple
    ) -> Any:
        """Return a block of the atoms ``seen`` (N,) and the features of a pair of elements."""
        columns, degrees = self._columns(pair)
        (chosen,) = np.nonzero(seen)
        properties = _labels(library, ["l", "n_1", "n_2"], degrees, rows)
        block = library.TensorBlock(
            values=rows[chosen][:, columns],
            samples=_labels(library, ["system", "atom"], self.place[chosen], rows),
            components=[],
            properties=properties,
        )
        if slopes is not None:
            ours = seen[self.center]
            ours &= (self.center == self.moved) | np.isin(self.numbers[self.moved], pair)
            sample = np.searchsorted(chosen, self.center[ours])
            samples = np.column_stack([sample, self.place[self.moved[ours]]])
            gradient = library.TensorBlock(
                values=slopes[ours][:, :, columns],
                samples=_labels(library, ["sample", "system", "atom"], samples, rows),
                components=[_labels(library, ["xyz"], [[0], [1], [2]], rows)],
                properties=properties,
            )
            block.add_gradient("positions", gradient)
        return block

    def _columns(self, pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Feature, and l, n_1 and n_2, of each of a block's properties: (P,) and (P, 3)."""
        n, l_max = self.soap.n_max, self.soap.l_max
        degrees = np.indices((l_max + 1, n, n)).reshape(3, -1).T
        place = np.arange(n * n).reshape(n, n)
        if pair[0] == pair[1]:
            upper = np.triu_indices(n)
            place[upper] = np.arange(len(upper[0]))
            place.T[upper] = place[upper]
        per_degree = place.max() + 1
        level, first, second = degrees.T
        start = self.soap.get_location(pair).start
        return start + level * per_degree + place[first, second], degrees


def _labels(library: Any, names: list[str], values: Any, like: Any) -> Any:
    """Labels of integers (n, len(names)), where the values ``like`` are."""
    integers = np.asarray(values, dtype=np.int32).reshape(-1, len(names))
    if isinstance(like, torch.Tensor):
        return library.Labels(names, torch.from_numpy(integers).to(like.device))
    return library.Labels(names, integers)


def _dense(found: Any) -> np.ndarray:
    return found if isinstance(found, np.ndarray) else found.todense()
