"""Selections of a database's environments, without describing anything anew.

Each function returns a new database and leaves its argument as it is. The records of the structures
and the components stay, as with ``without``, so that numbers keep their meaning (``trimmed`` drops
records without environments). Weights stay with their environments, and a reference of weight 0,
which no search finds, counts less than any other. Learned targets stay; others
that were fitted to the references are dropped.
Separations are |p - z| of unit descriptors within the components that the database keeps, the
square root of the distance D. Each step is recorded in ``metadata["curation"]``.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase
>>> soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
>>> database = EnvironmentDatabase.build([molecule("CH3OH"), molecule("C2H6")], soap)
>>> thinned(database, 0.05)
EnvironmentDatabase(2 structures: 4 H, 2 C, 1 O; SOAP with 312 features)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from losiko_torch.checks import positive, whole
from losiko_torch.database.curate.common_descriptor import with_common_descriptor
from losiko_torch.database.curate.provenance import after, check_whole, name_in
from losiko_torch.database.curate.spacing import (
    Points,
    Progress,
    farthest_points,
    near_others,
    thinned_out,
)
from losiko_torch.database.element import Environments
from losiko_torch.database.record import AnyDatabase, DatabaseRecord
from losiko_torch.io.filters import parse_record_filter

#: Environments compared with those of another database at once, for the progress.
AT_ONCE = 2**14


def thinned(
    database: AnyDatabase, separation: float, progress: Progress | None = None
) -> AnyDatabase:
    """The database without near-duplicates.

    The first of several environments of one element nearer to each other than ``separation`` stays,
    or, if they are weighted, the first of the heaviest. No two environments that stay are nearer
    than that, and each that goes has one that stays nearer than that. For SOAP with a sigma of
    0.3 A, 0.05 is small: half of the carbons of 1,500 QM9 molecules have another one within 0.12.

    Args:
        database: Database to thin.
        separation: Smallest separation |p - z| of environments that stay.
        progress: Called with the number of environments done since the last call.

    Raises:
        InputError: For a separation that is not positive, or a restricted database.

    Time grows with the number of environments times that of those that stay, memory with their
    number. 100,000 environments of 512 components, all of which stay, take 20 s on one core
    (``benchmarks/curation.py --speed``); a million should take half an hour.
    """
    separation = positive("separation", separation)
    check_whole(database)
    environments = {}
    for number, part in database.environments.items():
        if part.weight is None:
            stays = thinned_out(part.vectors, separation, progress)
        else:
            order = part.weight.argsort(descending=True, stable=True)
            stays = torch.empty(len(part), dtype=torch.bool, device=order.device)
            stays[order] = thinned_out(part.vectors[order], separation, progress)
        environments[number] = part.kept(stays)
    return after(database, environments, f"thinned to a separation of {separation:g}")


def farthest(
    database: AnyDatabase, per_element: int, progress: Progress | None = None
) -> AnyDatabase:
    """The database with ``per_element`` environments of each element, as far apart as possible.

    Farthest-point sampling starts from the environment nearest to the mean and adds the one
    farthest from all chosen before. A smaller choice is thus part of a larger one, and the largest
    separation of an environment from its nearest chosen one never grows. Elements with fewer
    environments keep all. In others, copies of chosen environments and references of weight 0 are
    never chosen.

    Args:
        database: Database to sample.
        per_element: Number of environments of each element.
        progress: Called with the number of environments chosen since the last call.

    Raises:
        InputError: If ``per_element`` is no integer from 1 on, or for a restricted database.

    Time grows with the number of environments times ``per_element``, memory with their number.
    10,000 out of 100,000 of 512 components take 45 s on one core in the worst case, where all are
    about as far from each other (``benchmarks/curation.py --speed``); half of 9,568 carbons of QM9
    molecules take 0.8 s.
    """
    per_element = whole("per_element", per_element)
    check_whole(database)
    environments = {}
    for number, part in database.environments.items():
        if len(part) > per_element:
            rows = torch.arange(len(part), device=part.vectors.device)
            vectors = part.vectors
            if part.weight is not None and part.usable:
                rows = part.weight.nonzero().squeeze(1)
                vectors = vectors[rows]
            chosen, _ = farthest_points(vectors, per_element, progress)
            part = part.kept(rows[chosen].sort().values)
        environments[number] = part
    step = f"farthest-point sampling to {per_element:,} environments of an element"
    return after(database, environments, step)


def minus(
    database: AnyDatabase,
    other: DatabaseRecord,
    separation: float,
    progress: Progress | None = None,
) -> AnyDatabase:
    """The database without environments that ``other`` contains: steers away from its motifs.

    An environment goes if ``other`` has one of the same element, with a weight, nearer than
    ``separation``. Separations are exact even if the components of the two databases differ.
    ``database.without`` removes whole structures.

    Args:
        database: Database that loses environments.
        other: Database described alike; the elements of the descriptors may differ.
        separation: Smallest separation |p - z| from the environments of ``other``.
        progress: Called with the number of environments done since the last call.

    Raises:
        InputError: For a separation that is not positive, different descriptors, restricted
            databases, or if no environment is left.
    """
    separation = positive("separation", separation)
    _, (ours, theirs) = with_common_descriptor([database, other.to(database.device)])
    environments = {}
    for number, part in database.environments.items():
        near = torch.zeros(len(part), dtype=torch.bool, device=database.device)
        known = theirs.get(number)
        if known is not None and known.usable:
            others = Points.of(_seen_from(ours[number], known))
            for rows in torch.arange(len(part), device=near.device).split(AT_ONCE):
                vectors = part.vectors[rows]
                here = torch.nn.functional.pad(vectors, (0, 1))
                near[rows] = near_others(Points.of(here), others, separation)
                if progress is not None:
                    progress(len(rows))
        elif progress is not None:
            progress(len(part))
        environments[number] = part.kept(~near)
    step = f"those nearer than {separation:g} to one of {name_in(other, 1)} taken away"
    return after(database, environments, step)


def chosen(database: AnyDatabase, where: str | Sequence[str]) -> AnyDatabase:
    """The database with the environments of structures whose records pass filters.

    Args:
        database: Database to select from.
        where: Filters on ``database.structures``, such as "e_above_hull<0.2"; all must hold.

    Raises:
        InputError: If a filter cannot be understood, or no environment is left.
    """
    texts = [where] if isinstance(where, str) else list(where)
    filters = [parse_record_filter(text) for text in texts]
    passes = [all(test(record) for test in filters) for record in database.structures]
    stays = torch.tensor(passes, dtype=torch.bool, device=database.device)
    environments = {
        number: part.kept(stays[part.structure.long()])
        for number, part in database.environments.items()
    }
    step = f"structures with {' and '.join(texts)}, {sum(passes):,} of {len(passes):,}"
    return after(database, environments, step)


def trimmed(database: AnyDatabase) -> AnyDatabase:
    """The database without records of structures that have no environment; others are renumbered.

    Their geometries go too. The references stay as they are, and so do targets fitted to them.
    """
    parts = database.environments.values()
    used = torch.cat([part.structure for part in parts]).long().unique()
    number_of = torch.zeros(len(database.structures), dtype=torch.int32, device=used.device)
    number_of[used] = torch.arange(len(used), dtype=torch.int32, device=used.device)
    return replace(
        database,
        environments={
            number: replace(part, structure=number_of[part.structure.long()])
            for number, part in database.environments.items()
        },
        structures=[database.structures[k] for k in used.tolist()],
        geometries=None if database.geometries is None else database.geometries.kept(used.tolist()),
    )


def _seen_from(part: Environments, known: Environments) -> torch.Tensor:
    """References of ``known`` (n, r + 1) in the components of ``part``, and their length off these.

    The separation |p - z| is then that of the rows, if a reference p of ``part`` ends with a 0.
    """
    vectors = known.vectors if known.weight is None else known.vectors[known.weight > 0]
    turned = part.basis.double().T @ known.basis.double()  # (r, r of the known ones)
    rows = []
    for some in vectors.split(AT_ONCE):
        inside = some.double() @ turned.T
        off = (some.double().square().sum(1) - inside.square().sum(1)).clamp(min=0).sqrt()
        rows.append(torch.cat([inside, off[:, None]], 1).float())
    return torch.cat(rows)
