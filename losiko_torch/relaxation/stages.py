"""Taking structures through the stages of a relaxation, each from where the one before left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from losiko_torch.batching.cleared import Cleared, taken
from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.batching.in_flight import TOO_LARGE, Capacity, InFlight, flow
from losiko_torch.batching.prepare import Prepared
from losiko_torch.database.defaults import LEARNED_FMAX
from losiko_torch.loss.judge import Judged, judge
from losiko_torch.loss.objective import Objective
from losiko_torch.optimizers.interface import DirectSearch
from losiko_torch.relaxation.annealing import anneal_batch
from losiko_torch.relaxation.batch_loop import advance, begin
from losiko_torch.relaxation.batch_state import BatchState, Limits
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.one_by_one import anneal_one_by_one, relax_one_by_one, watched
from losiko_torch.relaxation.outcome import failure, results_of
from losiko_torch.relaxation.settings import Settings
from losiko_torch.relaxation.watch import Watch
from losiko_torch.results import Result
from losiko_torch.results.columns import in_order
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.kept import avoids_waits

#: Evaluations between which nobody leaves a batch where the host is not to wait for a device.
ROUNDS = 4


def fmax_of(objective: Objective, settings: Settings) -> float:
    """Return the largest gradient of what has converged."""
    usual = LEARNED_FMAX if objective.by_model else objective.database.defaults.fmax
    return usual if settings.fmax is None else settings.fmax


def run_stages(
    items: Sequence[Prepared],
    evaluator: Evaluator,
    settings: Settings,
    capacity: Capacity,
    progress: Callable[[int], None],
    watch: Watch | None = None,
) -> Sequence[Result]:
    """Relax structures; all go through a stage before any goes through the next.

    Args:
        items: Structures without problems.
        evaluator: Evaluator for their elements; its target is that of the last stage.
        settings: Options of the relaxation.
        capacity: Atoms that a batch may hold.
        progress: Function that is called with the number of structures that leave the last stage;
            some count twice if memory runs out.
        watch: Observer of the evaluations.
    """
    batch = evaluator.batch(items)
    if isinstance(items, Cleared):
        here = settings.coordinates(batch, torch.ones_like(batch.positions))
        sizes, copies = items.molecules.counts.tolist(), [items.copy] * len(items)
    else:
        movable = np.concatenate([item.movable for item in items])
        here = settings.coordinates(batch, torch.as_tensor(movable).to(batch.positions))
        sizes, copies = [len(item.atoms) for item in items], [item.copy for item in items]
    fitting, so_far = list(range(len(items))), Finished.at_start(batch)
    *early, last = range(len(settings.stages))
    for number in early:
        stage = _StageInFlight(evaluator, settings, number, here, copies, no_progress, watch)
        too_large = flow(fitting, sizes, capacity, stage)
        fitting = [place for place in fitting if place not in too_large]
        so_far = stage.finished.after(so_far)
        if watch is not None:
            watch.begin(so_far.n_steps.tolist())
        # Where a structure failed, later stages work on what it was: they cannot trip over it.
        here = here.from_here(so_far.last.swapped(batch, so_far.failed))
    stage = _LastStageInFlight(
        evaluator, settings, last, here, copies, progress, watch, items, batch, so_far
    )
    flow(fitting, sizes, capacity, stage)
    return stage.results if watch is None else watch.results(stage.results)


class _StageInFlight(InFlight):
    """Stage of a relaxation that many structures go through.

    Attributes:
        finished: Ends of the structures that have left the batch.
        batch: Structures in the batch; None where there are none.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        settings: Settings,
        number: int,
        everyone: Coordinates,
        copies: Sequence[int],
        progress: Callable[[int], None],
        watch: Watch | None,
    ):
        """Prepare stage ``number``; ``copies`` number the structures among those of an input."""
        objective = evaluator.objective
        defaults = objective.database.defaults
        self.evaluator, self.settings, self.optimizer = evaluator, settings, settings.stepping
        self.stage = settings.stages[number]
        self.objective = replace(objective, target=self.stage.target(defaults))
        fmax = fmax_of(self.objective, settings)
        # Where references are searched, the host waits in every step.
        patient = avoids_waits(evaluator.device) and not self.objective.searches
        self.limits = Limits(self.stage.max_steps, fmax, ROUNDS if patient else 1)
        self.key = (settings.seed, number + 1)
        self.everyone, self.copies, self.progress = everyone, copies, progress
        self.finished, self.watch = Finished.at_start(everyone.start), watch
        self.batch: BatchState | None = None

    def go_on(self, newcomers: list[int], enough: int) -> list[int]:
        self.join(newcomers, None)
        first = 0 if self.batch is None else self.batch.n_atoms
        while self.batch is not None and first - self.batch.n_atoms < enough:
            assert not isinstance(self.optimizer, DirectSearch)
            self.batch, count = advance(
                self.objective,
                self.optimizer,
                self.batch,
                self.limits,
                self.finished,
                self.watch,
            )
            if count:
                self.progress(count)
        staying = [] if self.batch is None else self.batch.system.tolist()
        self.leave(staying)
        return staying

    def drop(self) -> None:
        self.batch = None

    def join(self, newcomers: list[int], before: Judged | None) -> None:
        """Let structures join; ``before`` are they judged as they begin the stage, if known."""
        new = self.everyone.start.mask(newcomers)
        if self.stage.noise or isinstance(self.optimizer, DirectSearch):
            self.finished.put(new, self._at_once(self.everyone.keep(new), newcomers))
            return
        fresh = begin(self.objective, self.everyone, new, self.optimizer, before)
        self.batch = fresh if self.batch is None else self.batch.joined(fresh)

    def leave(self, staying: list[int]) -> None:
        """Do nothing with the structures that do not stay."""

    def _at_once(self, coordinates: Coordinates, places: list[int]) -> Finished:
        """Return the ends of structures in a stage that no other joins on the way."""
        copies, sigmas = [self.copies[place] for place in places], self.stage.noise
        objective, optimizer = self.objective, self.optimizer
        if not isinstance(optimizer, DirectSearch):
            noise = sigmas, self.key, copies
            return anneal_batch(objective, coordinates, optimizer, *noise, places, self.watch)
        see = watched(places, self.watch)
        if sigmas:
            noise = sigmas, self.key, copies
            return anneal_one_by_one(objective, coordinates, optimizer, *noise, see)
        most = self.stage.max_steps
        return relax_one_by_one(objective, coordinates, optimizer, most, self.progress, see)


class _LastStageInFlight(_StageInFlight):
    """Last stage, which judges each structure as it was given and as it ended.

    Attributes:
        found: Places and results of structures that have left together.
        before: Structures in the batch, judged as they were given.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        settings: Settings,
        number: int,
        everyone: Coordinates,
        copies: Sequence[int],
        progress: Callable[[int], None],
        watch: Watch | None,
        items: Sequence[Prepared],
        given: Batch,
        so_far: Finished,
    ):
        super().__init__(evaluator, settings, number, everyone, copies, progress, watch)
        self.items, self.given, self.so_far = items, given, so_far
        self.found: list[tuple[np.ndarray, Sequence[Result]]] = []
        self.inside = np.empty(0, dtype=int)
        self.before: Judged | None = None

    @property
    def results(self) -> Sequence[Result]:
        """Results of all structures; those that did not get through are too large."""
        return in_order(self.found, len(self.items), self._too_large)

    def _too_large(self, place: int) -> Result:
        item = self.items[place]
        return failure(item.atoms, TOO_LARGE, number=item.number)

    def drop(self) -> None:
        super().drop()
        self.inside, self.before = np.empty(0, dtype=int), None

    def join(self, newcomers: list[int], before: Judged | None) -> None:
        given = self.given.keep(self.given.mask(newcomers))
        before = judge(self.evaluator.objective, given)
        as_given = self.everyone.start is self.given
        super().join(newcomers, before if as_given else None)
        self.before = before if self.before is None else self.before.joined(before)
        self.inside = np.concatenate([self.inside, np.array(newcomers, dtype=int)])

    def leave(self, staying: list[int]) -> None:
        """Judge the structures that do not stay, and make their results."""
        assert self.before is not None
        away = ~np.isin(self.inside, staying)
        gone = self.inside[away]
        goes = torch.as_tensor(away, device=self.evaluator.device)
        ended = self.finished.after(self.so_far).keep(self.given.mask(gone))
        items = taken(self.items, gone)
        before = self.before.keep(goes)
        found = results_of(items, self.evaluator.objective, before, ended, self.settings)
        self.found.append((gone, found))
        self.inside = np.array(staying, dtype=int)
        self.before = self.before.keep(~goes) if staying else None


def no_progress(count: int) -> None:
    """Count nothing: structures go through further stages, or are counted already."""
