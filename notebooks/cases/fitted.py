"""Databases with learned targets: fitted once, and kept in the cache folder."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms

from cases.size import QUICK
from losiko_torch import EnvironmentDatabase
from losiko_torch.database.builtin import cache_folder

#: Structures that a fit needs at least, as some of them are held out.
FEWEST = 8
#: Steps of a fit in quick mode: too few to be good.
QUICK_STEPS = 3


def fitted(database: EnvironmentDatabase, name: str) -> EnvironmentDatabase:
    """Return a database with learned targets. The same call later finds the fit done.

    What is done of a fit is in the cache folder, under this name; it goes on from there.
    """
    if QUICK:
        return database.fit(seed=0, steps=QUICK_STEPS)
    kept = cache_folder() / f"case-{name}-{len(database.structures)}.fit"
    kept.parent.mkdir(parents=True, exist_ok=True)
    return database.fit(seed=0, checkpoint=kept)


def repeated(structures: Sequence[Atoms]) -> list[Atoms]:
    """Return structures as often as it takes to have enough of them to fit to."""
    return [*structures] * -(-FEWEST // len(structures))
