"""Verdict on a batch that was relaxed: a doubt about each structure, or none.

The gravest reason comes first: units mistaken, atoms that collided, left, stand alone or joined,
contacts lost or unknown to the database, surroundings unlike all references, a large error to
expect, a way longer than the method is made for, and atoms bonded as none of the database is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.systems.batch import Batch, max_by_system, sum_by_system
from losiko_torch.verdict.bonding import doubt_bonding
from losiko_torch.verdict.change import Change
from losiko_torch.verdict.contacts import doubt_contacts
from losiko_torch.verdict.doubts import Doubts
from losiko_torch.verdict.partners import doubt_partners
from losiko_torch.verdict.units import doubt_units

#: Way of a structure (root mean square, Angstrom) and of an atom beyond which it may have become
#: another: the starts that learned targets are fitted for are not so far.
FARTHEST, FARTHEST_ATOM = 0.6, 1.3
#: Root mean square distance from a plane of what is flat, and way that a drawing goes and a good
#: flat molecule does not, in Angstrom.
FLAT, REDRAWN = 2e-3, 0.15


class Signs(NamedTuple):
    """Signs of how good the ends of N atoms are.

    Attributes:
        nearest: Squared distance of each from its nearest reference, shape (N,), if searched.
        expected: Error to expect of each, Angstrom, shape (N,), if known.
        max_error: Error in Angstrom beyond which an atom is doubted.
    """

    nearest: torch.Tensor | None
    expected: torch.Tensor | None
    max_error: float


def doubts_of(
    before: Batch,
    after: Batch,
    moving: torch.Tensor,
    database: DatabaseRecord,
    signs: Signs | None = None,
) -> list[str]:
    """Return the doubt about each structure, "" where there is none.

    Args:
        before: Structures as they were given.
        after: Structures as they ended.
        moving: Atoms that could move, shape (N,), bool.
        database: Database with the distances that are known.
        signs: Further signs of how good the ends are. None means that there are none.
    """
    doubts, change = Doubts(after), Change.of(before, after, moving)
    doubt_units(doubts, change)
    doubt_bonding(doubts, change, database)
    doubt_contacts(doubts, change, database)
    if signs is not None and signs.nearest is not None and database.survey is not None:
        _doubt_unlike(doubts, signs.nearest, database.survey.unlike)
    if signs is not None and signs.expected is not None:
        _doubt_error(doubts, signs.expected, signs.max_error)
    _doubt_way(doubts, before)
    doubt_partners(doubts, change, database)
    return doubts.all()


def _doubt_unlike(doubts: Doubts, nearest: torch.Tensor, unlike: Mapping[int, float]) -> None:
    """Doubt atoms farther from the references than good ones that were left out are."""
    limits = torch.full_like(nearest, torch.inf)
    for number, limit in unlike.items():
        limits[doubts.batch.numbers == number] = limit
    atoms = torch.arange(len(nearest), device=nearest.device)

    def sentence(atom: int) -> str:
        return (
            f"{doubts.name(atoms[atom])} is unlike all references: at a distance of "
            f"{nearest[atom]:.2f} from the nearest, where good ones stay below {limits[atom]:.2f}; "
            "begin from a better structure, or add such surroundings to the database"
        )

    doubts.add_where(nearest > limits, atoms, sentence, limits / nearest.clamp(min=1e-12))


def _doubt_error(doubts: Doubts, expected: torch.Tensor, max_error: float) -> None:
    """Doubt atoms that are to be expected far from where they should be."""
    atoms = torch.arange(len(expected), device=expected.device)

    def sentence(atom: int) -> str:
        return (
            f"{doubts.name(atoms[atom])} is to be expected {expected[atom]:.2f} A from where it "
            f"should be, more than {max_error:g} A (max_error): add such structures to the database"
        )

    doubts.add_where(expected > max_error, atoms, sentence, -expected)


def _doubt_way(doubts: Doubts, before: Batch) -> None:
    """Doubt molecules that have gone far, or far within a plane that they began in.

    They may have become another conformer.
    """
    after = doubts.batch
    idx, n = after.system_idx, after.n_systems
    squares = _centered(after, after.positions - before.positions).square().sum(1)
    mean = (sum_by_system(squares, idx, n) / after.counts).sqrt()
    most = max_by_system(squares, idx, n).sqrt()
    molecule = ~after.pbc.any(1)
    flat = molecule & (_thickness(before) < FLAT) & (_thickness(after) < FLAT) & (after.counts > 4)
    for system in (flat & (mean > REDRAWN)).nonzero().squeeze(1).tolist():
        doubts.add(
            system,
            "it began and ended in one plane, where symmetry alone may keep it: if it is a "
            "drawing, embed it in three dimensions first (with RDKit's EmbedMolecule, for example)",
        )
    far = molecule & ((mean > FARTHEST) | (most > FARTHEST_ATOM))
    for system in far.nonzero().squeeze(1).tolist():
        doubts.add(
            system,
            f"its atoms went {mean[system]:.2f} A on average and {most[system]:.2f} A at most: it "
            "may have become another conformer, begin nearer to the structure that you want",
        )


def _centered(batch: Batch, vectors: torch.Tensor) -> torch.Tensor:
    """Return vectors of the atoms, shape (N, 3), less the mean of their structure."""
    idx, n = batch.system_idx, batch.n_systems
    return vectors - (sum_by_system(vectors, idx, n) / batch.counts[:, None])[idx]


def _thickness(batch: Batch) -> torch.Tensor:
    """Return the root mean square distance of each structure's atoms from its plane, (B,)."""
    around = _centered(batch, batch.positions.double())
    moments = around[:, :, None] * around[:, None, :]
    moments = sum_by_system(moments, batch.system_idx, batch.n_systems)
    least = torch.linalg.eigvalsh(moments)[:, 0].clamp(min=0)
    return (least / batch.counts).sqrt()
