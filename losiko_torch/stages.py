"""Taking a batch through the stages of a relaxation, each from where the one before left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from losiko_torch.annealing import anneal_batch
from losiko_torch.batch_relaxation import Ended, relax_batch
from losiko_torch.coordinates import Coordinates, StrainFilter
from losiko_torch.errors import InputError
from losiko_torch.objective import Objective
from losiko_torch.optimizers.adam import Adam
from losiko_torch.optimizers.fire import FIRE
from losiko_torch.optimizers.gradient_descent import GradientDescent
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.optimizers.nelder_mead import NelderMead, anneal_one_by_one, relax_one_by_one
from losiko_torch.optimizers.stepping import Optimizer
from losiko_torch.schedule import Stage
from losiko_torch.structures import Batch

#: Those that step with gradients, a whole batch at a time.
GRADIENT_OPTIMIZERS: dict[str, Optimizer] = {
    "lbfgs": LBFGS(),
    "fire": FIRE(),
    "adam": Adam(),
    "gradient-descent": GradientDescent(),
}
OPTIMIZERS = (*GRADIENT_OPTIMIZERS, "nelder-mead")


def check_optimizer(name: str) -> None:
    """Raise ``InputError`` for an optimizer that there is not."""
    if name not in OPTIMIZERS:
        raise InputError(f"optimizer '{name}' is none of {', '.join(OPTIMIZERS)}")


@dataclass(frozen=True)
class Method:
    """How structures are relaxed.

    Attributes:
        optimizer: One of ``OPTIMIZERS``.
        stages: What they go through, in order; the last decides whether they converged.
        fmax: Largest gradient at which a structure has converged, 1/Angstrom.
        strain: What cells may do; None keeps them as they are.
        seed: What random numbers follow from.
    """

    optimizer: str
    stages: tuple[Stage, ...]
    fmax: float
    strain: StrainFilter | None
    seed: int

    @property
    def steps(self) -> int:
        """Evaluations that a structure may take in all stages together."""
        return sum(stage.n_steps for stage in self.stages)

    def coordinates(self, batch: Batch, movable: torch.Tensor) -> Coordinates:
        if self.strain is None:
            return Coordinates.fixed_cell(batch, movable)
        return Coordinates.moving_cell(batch, movable, self.strain)


def run_stages(
    objective: Objective,
    coordinates: Coordinates,
    method: Method,
    copies: Sequence[int],
    finished: Callable[[int], None],
) -> Ended:
    """Relax all structures of a batch.

    Args:
        objective: Its database serves all stages, its target is theirs.
        coordinates: The starting structures, and what of them moves.
        method: How.
        copies: Which copy of its input each structure is.
        finished: Told of structures that leave the last stage.

    Returns:
        Where they ended; failures and steps are those of all stages.
    """
    start = coordinates.start
    so_far = Ended.at_start(start)
    for number, stage in enumerate(method.stages):
        last = number == len(method.stages) - 1
        ended = _run(
            replace(objective, target=stage.target),
            coordinates,
            method,
            number,
            copies,
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
    finished: Callable[[int], None],
) -> Ended:
    """One stage."""
    stage, name = method.stages[number], method.optimizer
    key = (method.seed, number + 1)
    if stage.noise and name == "nelder-mead":
        return anneal_one_by_one(objective, coordinates, NelderMead(), stage.noise, key, copies)
    if stage.noise:
        optimizer = GRADIENT_OPTIMIZERS[name]
        return anneal_batch(objective, coordinates, optimizer, stage.noise, key, copies)
    if name == "nelder-mead":
        return relax_one_by_one(objective, coordinates, NelderMead(), stage.max_steps, finished)
    optimizer = GRADIENT_OPTIMIZERS[name]
    return relax_batch(objective, coordinates, optimizer, stage.max_steps, method.fmax, finished)


def _tell_nobody(count: int) -> None:
    pass
