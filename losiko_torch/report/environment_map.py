"""A map of environments: the atoms of structures among the references of a database.

The references of an element and the structures' atoms of that element are projected on the plane
in which the references vary most, that of their first two principal components.
``losiko_torch.report.map_drawing`` draws the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Unpack

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.batching.prepare import Prepared
from losiko_torch.database.element import Environments
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.database.geometries import Geometries
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.settings import LossSettings, PlaceOptions
from losiko_torch.systems.names import known_as
from losiko_torch.systems.pymatgen import AnyStructure

#: Smallest variance of unit vectors that is more than rounding.
NO_VARIANCE = 1e-10
#: Number of vectors converted to float64 at once.
BLOCK = 65536


class Points(NamedTuple):
    """Environments on the map.

    Attributes:
        xy: Coordinates, shape (n, 2).
        structure: Number of the structure of each, shape (n,).
        atom: Index of the atom in its structure, shape (n,).
    """

    xy: np.ndarray
    structure: np.ndarray
    atom: np.ndarray


@dataclass(frozen=True, eq=False)
class ElementMap:
    """The environments of one element.

    Attributes:
        number: Atomic number.
        references: All references of the element in the database.
        atoms: Environments of the element in the structures.
        separation: Separations |p - z| of ``atoms`` from their nearest references, of the unit
            descriptors in all their components, shape (n,).
        nearest: Indices in ``references`` of these nearest references, shape (n,).
        axes: Directions of the map's two coordinates in the database's basis, orthonormal columns,
            shape (r, 2). A column is zero where the references do not vary.
        share: Shares of the references' variance along the two directions, shape (2,).
    """

    number: int
    references: Points
    atoms: Points
    separation: np.ndarray
    nearest: np.ndarray
    axes: np.ndarray
    share: np.ndarray

    @property
    def symbol(self) -> str:
        """Symbol of the element."""
        return chemical_symbols[self.number]


@dataclass(frozen=True, eq=False)
class EnvironmentMap:
    """Maps of all elements of the structures, or of the database if there are no structures.

    Attributes:
        elements: Maps, by rising atomic number.
        references: Names of the database's structures.
        structures: Names of the structures, the failed ones too.
        failures: Reasons why structures cannot be described, by number of the structure.
        atoms: The structures themselves.
        geometries: Geometries of the database's structures; None if they are not known.
    """

    elements: list[ElementMap]
    references: list[str]
    structures: list[str]
    failures: dict[int, str]
    atoms: list[Atoms]
    geometries: Geometries | None


class _Plane(NamedTuple):
    """The plane in which references vary most; calling it projects components (n, r) to (n, 2)."""

    centre: torch.Tensor
    axes: torch.Tensor
    share: np.ndarray

    def __call__(self, components: torch.Tensor) -> np.ndarray:
        parts = [(part.double() - self.centre) @ self.axes for part in components.split(BLOCK)]
        return torch.cat(parts).cpu().numpy()


@names_unknown
def environment_map(
    structures: AnyStructure | Iterable[AnyStructure] = (),
    database: EnvironmentDatabase | str | None = None,
    *,
    progress: Callable[[int], None] | None = None,
    **options: Unpack[PlaceOptions],
) -> EnvironmentMap:
    """Map the atoms of structures among a database's references.

    A structure that cannot be described is left out and listed in ``failures``. The weights of the
    references are ignored.

    Args:
        structures: Structures to map. Without any, the database alone is mapped.
        database: References; None takes the built-in ones.
        progress: Function that is called with the number of structures just mapped.
        options: ``device``, ``dtype`` and ``batch_atoms`` as for ``losiko_torch.score``.
    """
    if isinstance(database, EnvironmentDatabase):
        database = database.weighted(None)
    work = Evaluator.make(database, LossSettings(targets="nearest", **options))
    known = work.objective.database
    planes: dict[int, _Plane] = {}
    found: dict[int, list[tuple[np.ndarray, ...]]] = {}
    names: list[str] = []
    given: list[Atoms] = []
    failures: dict[int, str] = {}
    for group in work.groups(structures):
        good = []
        for item in group:
            if item.problem is None:
                good.append((len(names), item))
            else:
                failures[len(names)] = item.problem
            given.append(item.atoms)
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
        xy, structure, atom, separation, nearest = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        background = Points(
            plane(references.vectors),
            references.structure.cpu().numpy(),
            references.atom.cpu().numpy(),
        )
        points, axes = Points(xy, structure, atom), plane.axes.cpu().numpy()
        elements.append(
            ElementMap(number, background, points, separation, nearest, axes, plane.share)
        )
    titles = [known_as(each, each["formula"], k) for k, each in enumerate(known.structures)]
    return EnvironmentMap(elements, titles, names, failures, given, known.geometries)


@torch.no_grad()
def _place(
    work: Evaluator,
    items: list[tuple[int, Prepared]],
    planes: dict[int, _Plane],
    found: dict[int, list[tuple[np.ndarray, ...]]],
) -> None:
    """Add the atoms of a batch to ``found``, by element, in the order of ``ElementMap``'s columns.

    The columns are: coordinates, structure, atom, separation, nearest reference.
    """
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
        separation = squared[:, 0].sqrt().cpu().numpy()
        where = rows.cpu().numpy()
        found.setdefault(number, []).append(
            (
                planes[number](components),
                structure[where],
                atom[where],
                separation,
                nearest[:, 0].cpu().numpy(),
            )
        )


def _plane(references: Environments) -> _Plane:
    """Find the plane in which references vary most, in the database's basis, which spans them."""
    centre = references.vectors.mean(0, dtype=torch.float64)
    products = torch.zeros(len(centre), len(centre)).to(centre)
    for part in references.vectors.split(BLOCK):
        apart = part.double() - centre
        products += apart.T @ apart
    variance, directions = torch.linalg.eigh(products / len(references))
    variance, directions = variance.flip(0).clamp(min=0), directions.flip(1)
    axes, share = directions.new_zeros(len(centre), 2), np.zeros(2)
    for k in range(int((variance[:2] > NO_VARIANCE).sum())):
        # The sign is arbitrary. The largest feature decides it, as it does not depend on the basis.
        features = references.basis.double() @ directions[:, k]
        axes[:, k] = directions[:, k] * features[features.abs().argmax()].sign()
        share[k] = variance[k] / variance.sum()
    return _Plane(centre, axes, share)
