"""Ends of structures: where each was last, where it was best, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from losiko_torch.systems.batch import Batch
from losiko_torch.systems.record import SYSTEM, Record, part, per


@dataclass(frozen=True)
class Finished(Record):
    """Ends of B structures; filled in as they leave the batch.

    Attributes:
        last: Structures as last accepted.
        best: Structures at the lowest loss seen right after a search.
        converged: Structures that converged, shape (B,).
        broken: Structures whose loss, gradient or positions ceased to be finite, shape (B,).
        collapsed: Structures whose cell became absurdly small or large, shape (B,).
        n_steps: Evaluations of loss and gradient, shape (B,).
        bad_term: Number of the term that ceased to be finite, shape (B,); -1 where none did.
    """

    last: Batch = part()
    best: Batch = part()
    converged: torch.Tensor = per(SYSTEM)
    broken: torch.Tensor = per(SYSTEM)
    collapsed: torch.Tensor = per(SYSTEM)
    n_steps: torch.Tensor = per(SYSTEM)
    bad_term: torch.Tensor = per(SYSTEM)

    @classmethod
    def at_start(cls, batch: Batch) -> Finished:
        """Return the record of structures at their start, to be filled in."""
        no = torch.zeros(batch.n_systems, dtype=torch.bool, device=batch.positions.device)
        return cls(
            last=batch.copy(),
            best=batch.copy(),
            converged=no,
            broken=no.clone(),
            collapsed=no.clone(),
            n_steps=no.long(),
            bad_term=no.long() - 1,
        )

    @property
    def failed(self) -> torch.Tensor:
        """Mask (B,) of the structures that are of no use any more."""
        return self.broken | self.collapsed

    def after(self, earlier: Finished) -> Finished:
        """Return the ends with the failures and steps of an earlier stage counted in."""
        return replace(
            self,
            broken=self.broken | earlier.broken,
            collapsed=self.collapsed | earlier.collapsed,
            n_steps=self.n_steps + earlier.n_steps,
            bad_term=torch.where(earlier.bad_term >= 0, earlier.bad_term, self.bad_term),
        )

    def keep(self, systems: torch.Tensor) -> Finished:
        """Return the ends of the structures of the mask (B,)."""
        return self.select(self.last.masks(systems))

    def put(self, systems: torch.Tensor, some: Finished) -> None:
        """Write the ends of the structures of the mask (B,)."""
        atoms = systems[self.last.system_idx]
        for target, source in ((self.last, some.last), (self.best, some.best)):
            target.positions[atoms] = source.positions
            target.cells[systems] = source.cells
        for name in ("converged", "broken", "collapsed", "n_steps", "bad_term"):
            getattr(self, name)[systems] = getattr(some, name)

    def note_lost(
        self,
        system: torch.Tensor | slice,
        loss: torch.Tensor,
        gradient: torch.Tensor,
        collapsed: torch.Tensor | None,
        terms: torch.Tensor,
        ended: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Write which structures broke or collapsed at an evaluation; return their mask (b,).

        Args:
            system: Numbers of the structures evaluated, shape (b,), or a slice of all.
            loss, gradient: Loss and largest gradient of each, shape (b,).
            collapsed: Structures whose cell became absurd, shape (b,); None where cells are fixed.
            terms: Values of the terms, shape (T, b).
            ended: Structures that ended before, shape (b,), of which nothing counts.
        """
        # Zero times what is not finite is NaN.
        lost = broken = 0 * (loss + gradient) != 0
        if ended is not None:
            lost = broken = broken & ~ended
        self.broken[system] |= broken
        if collapsed is not None:
            collapsed = collapsed if ended is None else collapsed & ~ended
            self.collapsed[system] |= collapsed
            lost = lost | collapsed
        if len(terms):
            bad = ~torch.isfinite(terms)
            first = torch.where(bad.any(0), bad.to(torch.int8).argmax(0), -1)
            known = self.bad_term[system]
            self.bad_term[system] = torch.where(known >= 0, known, first)
        return lost
