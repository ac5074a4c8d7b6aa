"""Taking structures through the stages of a relaxation, each from where the one before left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from losiko_torch.batching.evaluator import Workplace
from losiko_torch.batching.in_flight import TOO_LARGE, Company, Room, flow
from losiko_torch.batching.prepare import Prepared
from losiko_torch.loss.judge import Verdict
from losiko_torch.loss.objective import Objective
from losiko_torch.optimizers.registry import GRADIENT_OPTIMIZERS, NELDER_MEAD
from losiko_torch.relaxation.annealing import anneal_batch
from losiko_torch.relaxation.batch_loop import Ended, Progress, advance, begin
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.nelder_mead import NelderMead, anneal_one_by_one, relax_one_by_one
from losiko_torch.relaxation.outcome import failure, results_of
from losiko_torch.relaxation.settings import Method
from losiko_torch.results import Result
from losiko_torch.systems.batch import Batch


def run_stages(
    items: Sequence[Prepared],
    work: Workplace,
    method: Method,
    room: Room,
    finished: Callable[[int], None],
) -> list[Result]:
    """Relax structures; all go through a stage before any goes through the next.

    Args:
        items: The structures, without problems.
        work: For their elements; the target of its objective is the last stage's.
        method: How.
        room: For how many atoms at a time.
        finished: Told of structures that leave the last stage, of some twice if memory runs out.
    """
    movable = np.concatenate([item.movable for item in items])
    batch = work.batch(items)
    here = method.coordinates(batch, torch.as_tensor(movable).to(batch.positions))
    sizes, copies = [len(item.atoms) for item in items], [item.copy for item in items]
    fitting, so_far = list(range(len(items))), Ended.at_start(batch)
    *early, last = range(len(method.stages))
    for number in early:
        stage = _Stage(work.objective, method, number, here, copies, _tell_nobody)
        too_large = flow(fitting, sizes, room, stage)
        fitting = [place for place in fitting if place not in too_large]
        so_far = stage.ended.after(so_far)
        # Where a structure failed, later stages work on what it was: they cannot trip over it.
        here = here.from_here(so_far.last.swapped(batch, so_far.failed))
    stage = _Stage(work.objective, method, last, here, copies, finished)
    judged = _JudgedStage(stage, items, batch, work, so_far, method.symprec)
    flow(fitting, sizes, room, judged)
    return judged.results


class _Stage(Company):
    """One stage for many structures.

    Attributes:
        ended: Where those that have left the batch ended.
        batch: Those in it.
    """

    def __init__(
        self,
        objective: Objective,
        method: Method,
        number: int,
        everyone: Coordinates,
        copies: Sequence[int],
        finished: Callable[[int], None],
    ):
        """Stage ``number`` for ``everyone``; ``copies`` tell which of its input's each one is."""
        defaults = objective.database.defaults
        self.stage, self.optimizer = method.stages[number], method.optimizer
        self.objective = replace(objective, target=self.stage.target(defaults))
        self.fmax = defaults.fmax if method.fmax is None else method.fmax
        self.key = (method.seed, number + 1)
        self.everyone, self.copies, self.finished = everyone, copies, finished
        self.ended = Ended.at_start(everyone.start)
        self.batch: Progress | None = None

    def go_on(self, newcomers: list[int], enough: int) -> list[int]:
        self.join(newcomers)
        return self.relax(enough)

    def drop(self) -> None:
        self.batch = None

    def join(self, newcomers: list[int], before: Verdict | None = None) -> None:
        """``before`` is the objective's verdict on them as they begin the stage, if known."""
        new = self.everyone.start.mask(newcomers)
        if self.stage.noise or self.optimizer == NELDER_MEAD:
            self.ended.put(new, self._at_once(self.everyone.keep(new), newcomers))
            return
        optimizer = GRADIENT_OPTIMIZERS[self.optimizer]
        fresh = begin(self.objective, self.everyone, new, optimizer, before)
        self.batch = fresh if self.batch is None else self.batch.joined(fresh)

    def relax(self, enough: int) -> list[int]:
        """Until so many atoms have left; those that stay."""
        first = 0 if self.batch is None else self.batch.n_atoms
        while self.batch is not None and first - self.batch.n_atoms < enough:
            optimizer = GRADIENT_OPTIMIZERS[self.optimizer]
            self.batch, count = advance(
                self.objective, self.batch, optimizer, self.stage.max_steps, self.fmax, self.ended
            )
            if count:
                self.finished(count)
        return [] if self.batch is None else self.batch.system.tolist()

    def _at_once(self, coordinates: Coordinates, places: list[int]) -> Ended:
        """Where these end, for what takes nobody in on the way."""
        copies, noise = [self.copies[place] for place in places], self.stage.noise
        if self.optimizer != NELDER_MEAD:
            optimizer = GRADIENT_OPTIMIZERS[self.optimizer]
            return anneal_batch(self.objective, coordinates, optimizer, noise, self.key, copies)
        settings = NelderMead()
        if noise:
            return anneal_one_by_one(self.objective, coordinates, settings, noise, self.key, copies)
        most = self.stage.max_steps
        return relax_one_by_one(self.objective, coordinates, settings, most, self.finished)


class _JudgedStage(Company):
    """The last stage, with a verdict on each structure as it was given and as it ended.

    Attributes:
        results: Of all structures; those that did not get through are too large.
        before: The verdict on those in the batch as they were given.
    """

    def __init__(
        self,
        stage: _Stage,
        items: Sequence[Prepared],
        given: Batch,
        work: Workplace,
        so_far: Ended,
        symprec: float | None,
    ):
        self.stage, self.items, self.given, self.work = stage, items, given, work
        self.so_far, self.symprec = so_far, symprec
        self.results = [failure(item.atoms, TOO_LARGE) for item in items]
        self.inside: list[int] = []
        self.before: Verdict | None = None

    def go_on(self, newcomers: list[int], enough: int) -> list[int]:
        self._join(newcomers)
        staying = self.stage.relax(enough)
        self._leave(staying)
        return staying

    def drop(self) -> None:
        self.stage.drop()
        self.inside, self.before = [], None

    def _join(self, newcomers: list[int]) -> None:
        before = self.work.judge(self.given.keep(self.given.mask(newcomers)))
        as_given = self.stage.everyone.start is self.given
        self.stage.join(newcomers, before if as_given else None)
        self.before = before if self.before is None else self.before.joined(before)
        self.inside = [*self.inside, *newcomers]

    def _leave(self, staying: list[int]) -> None:
        """Judge those that do not stay."""
        gone = [place for place in self.inside if place not in set(staying)]
        assert self.before is not None
        goes = torch.isin(torch.tensor(self.inside), torch.tensor(gone)).to(self.work.device)
        ended = self.stage.ended.after(self.so_far).keep(self.given.mask(gone))
        items = [self.items[place] for place in gone]
        found = results_of(items, self.work, self.before.keep(goes), ended, self.symprec)
        for place, result in zip(gone, found, strict=True):
            self.results[place] = result
        self.inside, self.before = staying, self.before.keep(~goes) if staying else None


def _tell_nobody(count: int) -> None:
    pass
