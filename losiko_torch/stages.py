"""Taking a batch through the stages of a relaxation, each from where the one before left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from losiko_torch.annealing import anneal_batch
from losiko_torch.batch_relaxation import Ended, relax_batch
from losiko_torch.coordinates import Coordinates
from losiko_torch.method import Method
from losiko_torch.objective import Objective
from losiko_torch.optimizers.named import GRADIENT_OPTIMIZERS, NELDER_MEAD
from losiko_torch.optimizers.nelder_mead import NelderMead, anneal_one_by_one, relax_one_by_one
from losiko_torch.verdict import Verdict


def run_stages(
    objective: Objective,
    coordinates: Coordinates,
    method: Method,
    copies: Sequence[int],
    before: Verdict,
    finished: Callable[[int], None],
) -> Ended:
    """Relax all structures of a batch.

    Args:
        objective: Its database serves all stages, its target is theirs.
        coordinates: The starting structures, and what of them moves.
        method: How.
        copies: Which copy of its input each structure is.
        before: The objective's verdict on the start.
        finished: Told of structures that leave the last stage.

    Returns:
        Where they ended; failures and steps are those of all stages.
    """
    start = coordinates.start
    so_far = Ended.at_start(start)
    for number, stage in enumerate(method.stages):
        target = stage.target(objective.database.defaults)
        last = number == len(method.stages) - 1
        ended = _run(
            replace(objective, target=target),
            coordinates,
            method,
            number,
            copies,
            before if number == 0 and target == objective.target else None,
            finished if last else _tell_nobody,
        )
        so_far = replace(
            ended,
            broken=so_far.broken | ended.broken,
            collapsed=so_far.collapsed | ended.collapsed,
            n_steps=so_far.n_steps + ended.n_steps,
        )
        # Where a structure failed, later stages work on what it was: they cannot trip over it.
        failed = so_far.broken | so_far.collapsed
        coordinates = coordinates.from_here(ended.last.swapped(start, failed))
    return so_far


def _run(
    objective: Objective,
    coordinates: Coordinates,
    method: Method,
    number: int,
    copies: Sequence[int],
    before: Verdict | None,
    finished: Callable[[int], None],
) -> Ended:
    """One stage; ``before`` is its objective's verdict on the start, where there is one."""
    stage, name = method.stages[number], method.optimizer
    key = (method.seed, number + 1)
    if stage.noise and name == NELDER_MEAD:
        return anneal_one_by_one(objective, coordinates, NelderMead(), stage.noise, key, copies)
    if stage.noise:
        optimizer = GRADIENT_OPTIMIZERS[name]
        return anneal_batch(objective, coordinates, optimizer, stage.noise, key, copies)
    if name == NELDER_MEAD:
        return relax_one_by_one(objective, coordinates, NelderMead(), stage.max_steps, finished)
    optimizer = GRADIENT_OPTIMIZERS[name]
    fmax = objective.database.defaults.fmax if method.fmax is None else method.fmax
    return relax_batch(objective, coordinates, optimizer, stage.max_steps, fmax, finished, before)


def _tell_nobody(count: int) -> None:
    pass
