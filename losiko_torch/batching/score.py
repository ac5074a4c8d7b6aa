"""Judging structures: how well a database covers each of their atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch

from losiko_torch.batching.evaluator import Workplace
from losiko_torch.batching.in_flight import TOO_LARGE, Company, Room, flow
from losiko_torch.batching.prepare import Prepared
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.loss.settings import Similarity
from losiko_torch.results import Score
from losiko_torch.systems.pymatgen import AnyStructure


def score(
    structures: AnyStructure | Iterable[AnyStructure],
    database: EnvironmentDatabase | None = None,
    *,
    targets: str = "locally-linear",
    n_neighbors: int | None = None,
    reg: float | None = None,
    degree: float = 1.0,
    weights: Mapping[str, float] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    batch_atoms: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Score]:
    """Judge how well each atom is covered by a database, without moving it.

    Arguments are those of ``relax``; the loss is the one that ``relax`` minimises. One ``Score``
    for each structure, in input order, with ``problem`` set where one could not be judged.
    """
    similarity = Similarity.make(targets, n_neighbors, reg, degree, weights)
    work = Workplace.make(database, similarity, device, dtype, batch_atoms)
    room = Room(work.batch_atoms)
    scores: list[Score] = []
    for group in work.groups(structures):
        scores += _scored(group, work, room)
        if progress is not None:
            progress(len(group))
    return scores


def _scored(group: Sequence[Prepared], work: Workplace, room: Room) -> list[Score]:
    judging = _Judging(group, work)
    good = [place for place, item in enumerate(group) if item.problem is None]
    flow(good, [len(item.atoms) for item in group], room, judging)
    return judging.scores


class _Judging(Company):
    """Judges whom it takes in at once; ``scores`` are those of all."""

    def __init__(self, group: Sequence[Prepared], work: Workplace):
        self.group, self.work = group, work
        self.scores = [_unscored(item, item.problem or TOO_LARGE) for item in group]

    def go_on(self, newcomers: list[int], enough: int) -> list[int]:
        items = [self.group[place] for place in newcomers]
        work = self.work.restricted(items)
        judgements = work.judgements(work.judge(work.batch(items)))
        for place, item, judged in zip(newcomers, items, judgements, strict=True):
            self.scores[place] = Score(item.atoms, judged.loss, judged.distances, judged.matches)
        return []

    def drop(self) -> None:
        """It holds nobody."""


def _unscored(item: Prepared, problem: str) -> Score:
    return Score(item.atoms, np.nan, np.full(len(item.atoms), np.nan), None, problem)
