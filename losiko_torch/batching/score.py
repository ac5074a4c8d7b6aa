"""Scoring structures: how well a database covers each of their atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Unpack

import numpy as np

from losiko_torch.accelerators import expect_atoms
from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.batching.in_flight import TOO_LARGE, Capacity, InFlight, flow
from losiko_torch.batching.prepare import Prepared
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.judge import judge, judgements
from losiko_torch.loss.settings import LossOptions, LossSettings
from losiko_torch.results import Score, Scores
from losiko_torch.systems.pymatgen import AnyStructure


@names_unknown
def score(
    structures: AnyStructure | Iterable[AnyStructure],
    database: EnvironmentDatabase | str | None = None,
    *,
    progress: Callable[[int], None] | None = None,
    **options: Unpack[LossOptions],
) -> Scores:
    """Judge how well each atom is covered by a database, without moving it.

    Args:
        structures: One structure or many, as for ``relax``.
        database: References; None takes the built-in ones.
        progress: Function that is called with the number of structures just done.
        options: Options of the loss as for ``relax``: ``targets``, ``n_neighbors``, ``reg``,
            ``degree``, ``weights``, ``terms``, ``device``, ``dtype``, ``batch_atoms``.

    Returns:
        One ``Score`` for each structure, in input order, in a list (``Scores``), with ``problem``
        set where one could not be judged. The loss is the one that ``relax`` minimises.

    Raises:
        InputError: For arguments that make no sense.
    """
    return scored(structures, database, LossSettings(**options), progress)


def scored(
    structures: AnyStructure | Iterable[AnyStructure],
    database: EnvironmentDatabase | str | None,
    settings: LossSettings,
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """Return the scores of structures; see ``score``."""
    evaluator = Evaluator.make(database, settings)
    capacity = Capacity(evaluator.batch_atoms)
    scores = Scores()
    for group in evaluator.groups(structures):
        judging = _Judging(group, evaluator)
        expect_atoms(evaluator.device, sum(len(item.atoms) for item in group))
        good = [place for place, item in enumerate(group) if item.problem is None]
        flow(good, [len(item.atoms) for item in group], capacity, judging)
        scores += judging.scores
        if progress is not None:
            progress(len(group))
    return scores


class _Judging(InFlight):
    """Structures that are judged as they join; ``scores`` are those of all."""

    def __init__(self, group: Sequence[Prepared], evaluator: Evaluator):
        self.group, self.evaluator = group, evaluator
        self.scores = [_unscored(item, item.problem or TOO_LARGE) for item in group]

    def go_on(self, newcomers: list[int], enough: int) -> list[int]:
        items = [self.group[place] for place in newcomers]
        evaluator = self.evaluator.restricted(items)
        objective = evaluator.objective
        found = judgements(objective, judge(objective, evaluator.batch(items)))
        for place, item, judged in zip(newcomers, items, found, strict=True):
            self.scores[place] = Score(
                item.atoms, judged.loss, judged.distances, judged.matches, terms=judged.terms
            )
        return []

    def drop(self) -> None:
        """Do nothing: no structure stays in the batch."""


def _unscored(item: Prepared, problem: str) -> Score:
    return Score(item.atoms, np.nan, np.full(len(item.atoms), np.nan), None, problem)
