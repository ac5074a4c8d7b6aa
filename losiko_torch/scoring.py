"""Judging structures: how well a database covers each of their atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

from losiko_torch.conversion import AnyStructure
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.results import Score
from losiko_torch.similarity import Similarity
from losiko_torch.workplace import Workplace


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
    scores: list[Score] = []
    for group in work.groups(structures):
        good = [item for item in group if item.problem is None]
        judgements = iter(work.judge(work.batch(good)) if good else [])
        for item in group:
            if item.problem is None:
                judged = next(judgements)
                scores.append(Score(item.atoms, judged.loss, judged.distances, judged.matches))
            else:
                nothing = np.full(len(item.atoms), np.nan)
                scores.append(Score(item.atoms, np.nan, nothing, None, item.problem))
        if progress is not None:
            progress(len(group))
    return scores
