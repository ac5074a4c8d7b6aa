"""The union of databases: one for all their references, without describing anything anew.

Each database keeps an element's references z = B y in a basis B of its own. Their union is exact in
the joint span of these bases: with [B_1 B_2 ...] = Q R (Q orthonormal, R in blocks R_k of columns),
z = Q (R_k y). If the joint span has more dimensions than ``components``, its principal components
for all references are taken: they need only the scalar products y^T y of each database's
components, so any number of references is fine.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
>>> water = EnvironmentDatabase.build(molecule("H2O"), soap, metadata={"title": "water"})
>>> other = SOAP(species=["H", "N"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
>>> ammonia = EnvironmentDatabase.build(molecule("NH3"), other, metadata={"title": "ammonia"})
>>> united([water, ammonia])
EnvironmentDatabase(2 structures: 5 H, 1 N, 1 O; SOAP with 312 features)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch

from losiko_torch.checks import whole
from losiko_torch.database.building.closest import united_closest
from losiko_torch.database.building.survey import united_survey
from losiko_torch.database.components import COMPONENTS, JOINING, LOST, SAMPLE
from losiko_torch.database.curate.common_descriptor import with_common_descriptor
from losiko_torch.database.curate.provenance import united_metadata
from losiko_torch.database.element import Environments
from losiko_torch.database.geometries import united_geometries
from losiko_torch.database.record import AnyDatabase
from losiko_torch.database.reference_weights import as_weight
from losiko_torch.errors import InputError

#: References worked on at once.
AT_ONCE = 2**14
#: Squared length, of a reference's 1, below which a direction holds nothing but rounding.
ROUNDING = 1e-14


def united(databases: Sequence[AnyDatabase], components: int | None = COMPONENTS) -> AnyDatabase:
    """The union of databases: all references in their order, structures numbered consecutively.

    Args:
        databases: Databases described alike; the elements of a SOAP may differ. The result is on
            the device of the first.
        components: Principal components in which the references of an element are kept. None keeps
            the joint span, in which all distances stay what they were.

    Raises:
        InputError: If there is no database, their descriptors differ (the message names the first
            parameter that does), or one is restricted to some elements.

    A reference in several databases is in the result several times: see ``select.thinned``. The
    metadata names all sources (``made_from``), with their licences. Fitted targets are dropped.
    Geometries are kept if all databases have them.
    """
    databases = list(databases)
    if not databases:
        raise InputError("a union needs at least one database")
    if components is not None:
        components = whole("components", components)
    databases = [database.to(databases[0].device) for database in databases]
    descriptor, parts = with_common_descriptor(databases)
    offsets = list(accumulate((len(each.structures) for each in databases), initial=0))
    environments = {
        number: _together(
            [(each[number], k) for each, k in zip(parts, offsets, strict=False) if number in each],
            components,
        )
        for number in sorted({number for each in parts for number in each})
    }
    made = replace(
        databases[0],
        descriptor=descriptor,
        environments=environments,
        structures=[record for each in databases for record in each.structures],
        metadata=united_metadata(databases),
        skipped=[text for each in databases for text in each.skipped],
        closest=united_closest(each.closest for each in databases),
        fitted={},
        geometries=united_geometries(each.geometries for each in databases),
        survey=united_survey(each.survey for each in databases),
    )
    return made.with_lists().calibrated()


def _together(parts: list[tuple[Environments, int]], components: int | None) -> Environments:
    """Union of the environments of one element, each with the number of its first structure."""
    given = [part for part, _ in parts]
    vectors, basis = _in_one_basis(
        [part.vectors for part in given], [part.basis for part in given], components
    )
    weights = [
        torch.ones_like(part.vectors[:, 0]) if part.weight is None else part.weight
        for part in given
    ]
    return Environments(
        vectors,
        basis,
        torch.cat([part.structure + first for part, first in parts]),
        torch.cat([part.atom for part in given]),
        as_weight(torch.cat(weights)),
    )


def _in_one_basis(
    vectors: list[torch.Tensor], bases: list[torch.Tensor], components: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """References (n_k, r_k) in bases (F, r_k) in one basis: (N, r) and (F, r)."""
    enough = components is None or bases[0].shape[1] <= components
    if enough and all(torch.equal(basis, bases[0]) for basis in bases):
        return torch.cat(vectors), bases[0]
    widths = [basis.shape[1] for basis in bases]
    q, triangle = torch.linalg.qr(torch.cat(bases, 1).double())
    turns = triangle.split(widths, dim=1)
    count = sum(map(len, vectors))
    directions = _directions(_moment(vectors, turns), count, components)
    found = _turned(vectors, turns, directions)
    if components is not None and count > SAMPLE and directions.shape[1] == components:
        joining = _missed(vectors, found, turns)
        if len(joining):
            # As in ``building.project``: rare references that are mostly lost get the weight that
            # they would have in a sample.
            moment = _moment(vectors, turns) + count / SAMPLE * (joining.T @ joining)
            directions = _directions(moment, count, components)
            found = _turned(vectors, turns, directions)
    return found, (q @ directions).float()


def _moment(vectors: list[torch.Tensor], turns: Sequence[torch.Tensor]) -> torch.Tensor:
    """Sum of z z^T over all references, in the joint span (R, R), float64."""
    total = turns[0].new_zeros((len(turns[0]), len(turns[0])))
    for some, turn in zip(vectors, turns, strict=True):
        products = turn.new_zeros((some.shape[1], some.shape[1]))
        for block in some.split(AT_ONCE):
            products += block.double().T @ block.double()
        total += turn @ products @ turn.T
    return total


def _directions(moment: torch.Tensor, count: int, components: int | None) -> torch.Tensor:
    """The principal components of the joint span, orthonormal columns (R, r), largest first."""
    values, columns = torch.linalg.eigh(moment)
    values, columns = values.flip(0)[:components], columns.flip(1)[:, :components]
    return columns[:, values > ROUNDING * count]


def _turned(
    vectors: list[torch.Tensor], turns: Sequence[torch.Tensor], directions: torch.Tensor
) -> torch.Tensor:
    """References along directions (R, r) of the joint span, shape (N, r), float32."""
    return torch.cat(
        [
            (block.double() @ (turn.T @ directions)).float()
            for some, turn in zip(vectors, turns, strict=True)
            for block in some.split(AT_ONCE)
        ]
    )


def _missed(
    vectors: list[torch.Tensor], found: torch.Tensor, turns: Sequence[torch.Tensor]
) -> torch.Tensor:
    """References that lost the most, if too much, of their length, in the joint span (m, R)."""
    lost = torch.cat([some.square().sum(1) for some in vectors]) - found.square().sum(1)
    most = lost.topk(min(JOINING, len(lost)))
    joining = set(most.indices[most.values > LOST].tolist())
    rows, first = [], 0
    for some, turn in zip(vectors, turns, strict=True):
        own = [row - first for row in sorted(joining) if first <= row < first + len(some)]
        rows.append(some[own].double() @ turn.T)
        first += len(some)
    return torch.cat(rows)
