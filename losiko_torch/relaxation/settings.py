"""How structures are relaxed: the arguments of ``relax`` that say so, checked, in one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from losiko_torch.checks import positive, whole
from losiko_torch.errors import InputError
from losiko_torch.optimizers.registry import NELDER_MEAD, check_optimizer
from losiko_torch.relaxation.coordinates import ANY_STRAIN, Coordinates, StrainFilter
from losiko_torch.relaxation.schedule import Stage, annealed
from losiko_torch.systems.batch import Batch

#: Default evaluations of the last stage.
MAX_STEPS, NELDER_MEAD_STEPS = 200, 20_000
#: Default noise (Angstrom) that tells the copies of ``n_starts`` apart.
START_NOISE = 0.1


@dataclass(frozen=True)
class Method:
    """How structures are relaxed.

    Attributes:
        optimizer: Its name.
        stages: What structures go through, in order; the last decides whether they converged.
        fmax: Largest gradient at which a structure has converged, 1/Angstrom; None: the
            database's default.
        strain: What cells may do; None keeps them as they are.
        symprec: Tolerance of the symmetry given to relaxed crystals, Angstrom; None: none is.
        n_starts: Copies of each structure. start_noise: What tells them apart, Angstrom.
        seed: What random numbers follow from.
    """

    optimizer: str
    stages: tuple[Stage, ...]
    fmax: float | None
    strain: StrainFilter | None
    symprec: float | None
    n_starts: int
    start_noise: float
    seed: int

    @classmethod
    def make(
        cls,
        optimizer: str,
        targets: str,
        n_neighbors: int | None,
        reg: float | None,
        max_steps: int | None,
        fmax: float | None,
        cell: bool,
        strain_mask: Sequence | None,
        hydrostatic_strain: bool,
        constant_volume: bool,
        symprec: float | None,
        schedule: Sequence[Stage],
        noise: Sequence[float] | None,
        n_starts: int,
        start_noise: float,
        seed: int,
    ) -> Method:
        """From the arguments of ``relax``; ``InputError`` where they make no sense."""
        check_optimizer(optimizer)
        if optimizer == NELDER_MEAD and fmax is not None:
            raise InputError("nelder-mead uses no gradient: fmax does not apply to it")
        if max_steps is None:
            max_steps = NELDER_MEAD_STEPS if optimizer == NELDER_MEAD else MAX_STEPS
        strain = _strain(cell, strain_mask, hydrostatic_strain, constant_volume)
        last = Stage(targets, n_neighbors, reg, max_steps)
        return cls(
            optimizer,
            (*_stages(schedule), *_annealing(noise, last), last),
            None if fmax is None else positive("fmax", fmax),
            strain,
            _symprec(symprec, strain),
            whole("n_starts", n_starts),
            positive("start_noise", start_noise),
            whole("seed", seed, 0),
        )

    def coordinates(self, batch: Batch, movable: torch.Tensor) -> Coordinates:
        """What moves of a batch, with ``movable`` (N, 3) 1 where a position may."""
        if self.strain is None:
            return Coordinates.fixed_cell(batch, movable)
        return Coordinates.moving_cell(batch, movable, self.strain)


def _stages(schedule: Sequence[Stage]) -> Sequence[Stage]:
    if isinstance(schedule, Stage):
        return [schedule]
    if not isinstance(schedule, Sequence):
        raise InputError(f"the schedule is a {type(schedule).__name__}: give a list of Stages")
    for stage in schedule:
        if not isinstance(stage, Stage):
            raise InputError(f"the schedule holds a {type(stage).__name__}: give Stages")
    return schedule


def _annealing(noise: Sequence[float] | None, last: Stage) -> list[Stage]:
    """The stage of the paper's noise, with the targets of the last one."""
    if noise is None:
        return []
    if not isinstance(noise, (tuple, list, np.ndarray)) or len(noise) not in (2, 3):
        raise InputError(
            f"noise is (s0^2 in A^2, alpha), or with a third number, every; not {noise!r}"
        )
    sigmas = annealed(*noise)
    return [Stage(last.targets, last.n_neighbors, last.reg, noise=sigmas)] if sigmas else []


def _strain(
    cell: bool, mask: Sequence | None, hydrostatic_strain: bool, constant_volume: bool
) -> StrainFilter | None:
    if cell:
        return StrainFilter.make(mask, hydrostatic_strain, constant_volume)
    if mask is not None or hydrostatic_strain or constant_volume:
        raise InputError("a choice of strains is for cells that relax: it needs cell=True (--cell)")
    return None


def _symprec(symprec: float | None, strain: StrainFilter | None) -> float | None:
    if symprec is None:
        return None
    if strain is None:
        raise InputError("symprec makes cells symmetric too: it needs cell=True (--cell)")
    if strain != ANY_STRAIN:
        raise InputError("symprec makes whole cells symmetric: it goes with no choice of strains")
    return positive("symprec", symprec)
