"""Doubts about atoms bonded as none of the database is: radicals, carbenes, odd valences."""

from __future__ import annotations

from functools import cache

import torch

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.shown.text import plural
from losiko_torch.systems.partners import (
    coded,
    codes_of,
    element_and_bonds,
    finder,
    molecular,
)
from losiko_torch.verdict.change import Change
from losiko_torch.verdict.doubts import Doubts


def doubt_partners(doubts: Doubts, change: Change, database: DatabaseRecord) -> None:
    """Add doubts about atoms of molecules, by the partners that a database holds."""
    after, end = change.after, change.end
    if database.survey is None or not database.survey.partners:
        return
    known = coded(database.survey.partners).to(after.numbers.device)
    odd = ~torch.isin(codes_of(after, end), known).any(0) & molecular(after) & change.moving

    # Of many doubtful atoms the bonds are listed once.
    partners_of = cache(lambda: finder(after, end))

    def sentence(atom: int) -> str:
        _, *own = partners_of()(atom).split()
        partners = ", ".join(map(_in_words, own)) or "nothing"
        return (
            f"{doubts.name(atoms[atom])} is bonded to {partners}, as no such atom of the database "
            "is: add structures of this kind to the database"
        )

    atoms = torch.arange(after.n_atoms, device=odd.device)
    doubts.add_where(odd, atoms, sentence)


def _in_words(partner: str) -> str:
    """Return a partner such as "C4" as "C (of 4 bonds)"."""
    symbol, count = element_and_bonds(partner)
    return partner if partner == symbol else f"{symbol} (of {plural(count, 'bond')})"
