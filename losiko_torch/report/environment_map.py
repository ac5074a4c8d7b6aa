"""A map of environments: where the atoms of structures lie among the references of a database.

For each element the plane in which the references vary most, their first two principal components;
references and structures are projected on it. ``drawing`` draws the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols

from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.batching.prepare import Prepared
from losiko_torch.database.element import Environments
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.loss.settings import LossSettings
from losiko_torch.systems.names import known_as
from losiko_torch.systems.pymatgen import AnyStructure

#: Variance of unit vectors below which it is rounding.
NO_VARIANCE = 1e-10
#: Vectors worked on at once in float64.
BLOCK = 65536


class Points(NamedTuple):
    """Environments on the map: coordinates (n, 2), and structure and atom of each, (n,)."""

    xy: np.ndarray
    structure: np.ndarray
    atom: np.ndarray


@dataclass(frozen=True, eq=False)
class ElementMap:
    """The environments of one element.

    Attributes:
        number: Atomic number.
        references: All environments of the database.
        atoms: Those of the structures.
        distance: Of each of ``atoms`` to its nearest reference, |p - z| of the unit descriptors in
            all their components, shape (n,).
        nearest: Which of ``references`` that is, shape (n,).
        axes: The two directions in the database's basis, orthonormal columns (r, 2); zero where
            the references do not vary any more.
        share: Of the references' variance along each, shape (2,).
    """

    number: int
    references: Points
    atoms: Points
    distance: np.ndarray
    nearest: np.ndarray
    axes: np.ndarray
    share: np.ndarray

    @property
    def symbol(self) -> str:
        return chemical_symbols[self.number]


@dataclass(frozen=True, eq=False)
class EnvironmentMap:
    """Maps of the elements that the structures have, or, without structures, of all.

    Attributes:
        elements: By atomic number.
        references: Names of the database's structures.
        structures: Names of the structures, the failed ones too.
        failures: Number of each structure that cannot be described, with the reason.
    """

    elements: list[ElementMap]
    references: list[str]
    structures: list[str]
    failures: dict[int, str]


class _Plane(NamedTuple):
    """The two directions of largest variance among references: columns of ``axes``."""

    centre: torch.Tensor
    axes: torch.Tensor
    share: np.ndarray

    def __call__(self, components: torch.Tensor) -> np.ndarray:
        parts = [(part.double() - self.centre) @ self.axes for part in components.split(BLOCK)]
        return torch.cat(parts).cpu().numpy()


def environment_map(
    structures: AnyStructure | Iterable[AnyStructure] = (),
    database: EnvironmentDatabase | None = None,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    batch_atoms: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> EnvironmentMap:
    """Place the atoms of structures, none for the database alone, among a database's references.

    Arguments are those of ``score``. References count as they lie, whatever they weigh. A structure
    that cannot be described is left out and listed in ``failures``.
    """
    if isinstance(database, EnvironmentDatabase):
        database = database.weighted(None)
    settings = LossSettings(targets="nearest", device=device, dtype=dtype, batch_atoms=batch_atoms)
    work = Evaluator.make(database, settings)
    known = work.objective.database
    planes: dict[int, _Plane] = {}
    found: dict[int, list[tuple[np.ndarray, ...]]] = {}
    names: list[str] = []
    failures: dict[int, str] = {}
    for group in work.groups(structures):
        good = []
        for item in group:
            if item.problem is None:
                good.append((len(names), item))
            else:
                failures[len(names)] = item.problem
            formula = item.atoms.get_chemical_formula()
            names.append(known_as(item.atoms.info, formula, len(names)))
        _place(work, good, planes, found)
        if progress is not None:
            progress(len(group))
    elements = []
    for number in sorted(found or known.environments):
        references = known.references_of(number)
        plane = planes.get(number) or _plane(references)
        parts = found.get(number, [(np.zeros((0, 2)), *np.zeros((4, 0), dtype=int))])
        xy, structure, atom, distance, nearest = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        background = Points(
            plane(references.vectors),
            references.structure.cpu().numpy(),
            references.atom.cpu().numpy(),
        )
        points, axes = Points(xy, structure, atom), plane.axes.cpu().numpy()
        elements.append(
            ElementMap(number, background, points, distance, nearest, axes, plane.share)
        )
    titles = [known_as(each, each["formula"], k) for k, each in enumerate(known.structures)]
    return EnvironmentMap(elements, titles, names, failures)


@torch.no_grad()
def _place(
    work: Evaluator,
    items: list[tuple[int, Prepared]],
    planes: dict[int, _Plane],
    found: dict[int, list[tuple[np.ndarray, ...]]],
) -> None:
    """Add to ``found``, by element: coordinates, structure, atom, distance, nearest reference."""
    if not items:
        return
    batch = work.batch([item for _, item in items])
    objective = work.objective.restricted(batch.numbers)
    features = objective.features(batch)
    structure = np.concatenate([np.full(len(item.atoms), number) for number, item in items])
    atom = np.concatenate([np.arange(len(item.atoms)) for _, item in items])
    for number in batch.numbers.unique().tolist():
        if number not in planes:
            planes[number] = _plane(work.objective.database.references_of(number))
        rows = (batch.numbers == number).nonzero().squeeze(1)
        references = objective.database.references_of(number)
        components, rest = references.project(features[rows])
        squared, nearest = references.nearest(components, rest, 1)
        distance = squared[:, 0].sqrt().cpu().numpy()
        where = rows.cpu().numpy()
        found.setdefault(number, []).append(
            (
                planes[number](components),
                structure[where],
                atom[where],
                distance,
                nearest[:, 0].cpu().numpy(),
            )
        )


def _plane(references: Environments) -> _Plane:
    """Where references vary most; found in the database's basis, which holds all of them."""
    centre = references.vectors.mean(0, dtype=torch.float64)
    products = torch.zeros(len(centre), len(centre)).to(centre)
    for part in references.vectors.split(BLOCK):
        apart = part.double() - centre
        products += apart.T @ apart
    variance, directions = torch.linalg.eigh(products / len(references))
    variance, directions = variance.flip(0).clamp(min=0), directions.flip(1)
    axes, share = directions.new_zeros(len(centre), 2), np.zeros(2)
    for k in range(int((variance[:2] > NO_VARIANCE).sum())):
        # The sign is free: the descriptor's largest feature decides, whatever the basis.
        features = references.basis.double() @ directions[:, k]
        axes[:, k] = directions[:, k] * features[features.abs().argmax()].sign()
        share[k] = variance[k] / variance.sum()
    return _Plane(centre, axes, share)
