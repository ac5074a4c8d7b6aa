"""Settings of a relaxation: every option of ``relax`` declared once.

``relax`` has an explicit signature of them; all that lies behind it, the command line's options,
the identity of a run and the arguments of workers come from this record.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch

from losiko_torch.checks import positive, whole
from losiko_torch.errors import InputError
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.settings import LossOptions, LossSettings, identity_of
from losiko_torch.optimizers.interface import DirectSearch, Optimizer
from losiko_torch.optimizers.registry import OPTIMIZERS, make_optimizer
from losiko_torch.options import MOVES, NOISE, option
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.schedule import Stage, annealed, parse_schedule
from losiko_torch.relaxation.strain import ANY_STRAIN, StrainFilter
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.selection import selection

#: Evaluations of the last stage where no number is given.
MAX_STEPS = 200


def numbers_from_text(text: str) -> list[float]:
    """Return the numbers of a text, separated by commas or spaces; whole ones as integers."""
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"'{text}' is no list of numbers such as 0.2,0.05") from None
    return [int(value) if value.is_integer() else value for value in values]


def mask_from_text(text: str) -> list[float]:
    """Return the six numbers of a strain mask, with or without commas between them."""
    return numbers_from_text(" ".join(text) if text.isdecimal() else text)


def _movable(name: str, value: Any) -> Any:
    if isinstance(value, str):
        selection(value)
    return value


def _from_zero(name: str, value: Any) -> int:
    return whole(name, value, 0)


def _stages(name: str, value: Any) -> tuple[Stage, ...]:
    stages = [value] if isinstance(value, Stage) else value
    if not isinstance(stages, Sequence):
        raise InputError(f"the schedule is a {type(stages).__name__}: give a list of Stages")
    for stage in stages:
        if not isinstance(stage, Stage):
            raise InputError(f"the schedule holds a {type(stage).__name__}: give Stages")
    return tuple(stages)


def _noise(name: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) not in (2, 3):
        raise InputError(
            f"noise is (s0^2 in A^2, alpha), or with a third number, every; not {value!r}"
        )
    annealed(*value)
    return tuple(value)


@names_unknown
@dataclass(frozen=True)
class Settings(LossSettings):
    """Options of a relaxation; see ``relax`` for their meaning.

    Raises:
        InputError: For values that make no sense, alone or together.
    """

    optimizer: str | Optimizer | DirectSearch = option(
        "lbfgs",
        "All work on many structures at once but Nelder-Mead, a slow yardstick.",
        choices=OPTIMIZERS,
        text=str,
    )
    max_steps: int | None = option(
        None,
        "Evaluations of the loss granted to each structure.",
        check=whole,
        metavar="N",
        shown="200; 20,000 for nelder-mead",
        text=int,
    )
    fmax: float | None = option(
        None,
        "Converged once the loss changes by less than this per Angstrom on every atom (A with "
        "learned targets, else 1/A).",
        check=positive,
        metavar="F",
        shown="learned: 0.005; else 0.02, 0.003 for crystals",
        text=float,
    )
    movable: Any = option(
        None,
        'Atoms that may move, constraints permitting: "within 5 of 0,4,7" (A; atoms), '
        '"within 5 of Li", "within 5 of z=12.5" (a plane), "within 5 of c=0.5", or the name of a '
        "per-atom array of the structures.",
        check=_movable,
        panel=MOVES,
        metavar="SELECTION",
        shown="all atoms",
        text=str,
    )
    cell: bool = option(
        False,
        "Relax the cells of periodic structures too, along their periodic directions.",
        panel=MOVES,
        text=bool,
    )
    strain_mask: Sequence | None = option(
        None,
        "Strains that a cell may take, 1 or 0 each: 1,1,0,0,0,1 relaxes the xy plane only.",
        panel=MOVES,
        metavar="XX,YY,ZZ,YZ,XZ,XY",
        shown="all",
        text=str,
        parse=mask_from_text,
    )
    hydrostatic_strain: bool = option(
        False, "Scale cells without shape change.", panel=MOVES, text=bool
    )
    constant_volume: bool = option(False, "Keep the volume of cells.", panel=MOVES, text=bool)
    symprec: float | None = option(
        None,
        "Make relaxed crystals as symmetric as they are within this tolerance, for example "
        "0.4 (needs --cell), even where their loss grows a little.",
        check=positive,
        panel=MOVES,
        metavar="A",
        shown="0.4 where the loss falls",
        text=float,
    )
    schedule: Sequence[Stage] = option(
        (),
        "Stages gone through first, TARGETS:STEPS or TARGETS/NEIGHBORS:STEPS, for example "
        "nearest:30,locally-linear/8:20.",
        check=_stages,
        panel=NOISE,
        metavar="STAGES",
        shown="none",
        text=str,
        parse=parse_schedule,
    )
    noise: Sequence[float] | None = option(
        None,
        "A stage of annealed noise just before the last: N(0, s0^2 exp(-alpha k)) in A^2 is "
        "added after every step, or, with a third number, after so many steps.",
        check=_noise,
        panel=NOISE,
        metavar="S0SQUARED,ALPHA",
        shown="none",
        text=str,
        parse=numbers_from_text,
    )
    n_starts: int = option(
        1,
        "Relax N copies of each structure, all but one with noise, and keep the best.",
        check=whole,
        panel=NOISE,
        metavar="N",
        text=int,
    )
    n_conformers: int = option(
        10,
        "Relax up to N conformers of each molecule given as SMILES or by RDKit, and keep the best.",
        check=whole,
        panel=NOISE,
        metavar="N",
        text=int,
    )
    start_noise: float = option(
        0.1, "Their noise in Angstrom.", check=positive, panel=NOISE, metavar="A", text=float
    )
    escape: bool = option(
        True,
        "Leave a molecule on the saddle where its symmetry keeps it, and doubt it.",
        panel=NOISE,
        flag="no-escape",
        text=bool,
        parse=operator.not_,
    )
    max_error: float = option(
        0.3,
        "Doubt a structure with an atom whose expected error (learned targets) is larger.",
        check=positive,
        metavar="A",
        text=float,
    )
    seed: int = option(
        0,
        "Number that random numbers follow from: the same seed, the same result.",
        check=_from_zero,
        panel=NOISE,
        metavar="S",
        text=int,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.stepping, DirectSearch) and self.fmax is not None:
            name = self.optimizer if isinstance(self.optimizer, str) else repr(self.optimizer)
            raise InputError(f"{name} uses no gradient: fmax does not apply to it")
        self._check_cells()

    def _check_cells(self) -> None:
        strain = self.strain
        if self.symprec is not None and strain is None:
            raise InputError("symprec makes cells symmetric too: it needs cell=True (--cell)")
        if self.symprec is not None and strain != ANY_STRAIN:
            raise InputError(
                "symprec makes whole cells symmetric: it goes with no choice of strains"
            )
        for term in self.terms:
            needs_volume = getattr(term, "needs_volume", False)
            if strain is None and (needs_volume or getattr(term, "needs_cell", False)):
                raise InputError(
                    f"term '{term.name}' acts on cells alone: it needs cell=True (--cell)"
                )
            if strain is not None and needs_volume and not strain.changes_volume:
                raise InputError(
                    f"term '{term.name}' needs strains that change the volume: leave out "
                    "constant_volume, and let strain_mask hold one of xx, yy, zz"
                )

    @cached_property
    def stepping(self) -> Optimizer | DirectSearch:
        """Optimizer itself."""
        return make_optimizer(self.optimizer)

    @cached_property
    def strain(self) -> StrainFilter | None:
        """Strains that cells may take; None keeps cells as they are."""
        if self.cell:
            return StrainFilter.make(
                self.strain_mask, self.hydrostatic_strain, self.constant_volume
            )
        if self.strain_mask is not None or self.hydrostatic_strain or self.constant_volume:
            raise InputError(
                "a choice of strains is for cells that relax: it needs cell=True (--cell)"
            )
        return None

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Stages in order; the last one decides whether a structure converged."""
        most = self.max_steps
        if most is None:
            most = getattr(self.stepping, "max_steps", MAX_STEPS)
        last = Stage(self.targets, self.n_neighbors, self.reg, most)
        sigmas: tuple[float, ...] = ()
        if self.noise is not None:
            s0_squared, alpha, *every = self.noise
            sigmas = annealed(s0_squared, alpha, *map(int, every))
        noisy = Stage(last.targets, last.n_neighbors, last.reg, noise=sigmas)
        return (*self.schedule, *([noisy] if sigmas else []), last)

    @property
    def seeks_saddles(self) -> bool:
        """Answer whether symmetry may hold a structure, as nothing but its gradient moves it."""
        moved_by_chance = self.n_starts > 1 or any(len(each.noise) for each in self.stages)
        return not moved_by_chance and not isinstance(self.stepping, DirectSearch)

    def coordinates(self, batch: Batch, movable: torch.Tensor) -> Coordinates:
        """Return the coordinates of a batch; ``movable`` (N, 3) is 1 where a position may move."""
        if self.strain is None:
            return Coordinates.fixed_cell(batch, movable)
        return Coordinates.moving_cell(batch, movable, self.strain)

    def identity(self) -> dict[str, Any]:
        """Return all that results follow from, by the options' names, ready for JSON."""
        return {each.name: identity_of(getattr(self, each.name)) for each in fields(self)}


class RelaxOptions(LossOptions, total=False):
    """Keyword arguments that make ``Settings``, for signatures."""

    optimizer: str | Optimizer | DirectSearch
    max_steps: int | None
    fmax: float | None
    movable: Any
    cell: bool
    strain_mask: Sequence | None
    hydrostatic_strain: bool
    constant_volume: bool
    symprec: float | None
    schedule: Sequence[Stage]
    noise: Sequence[float] | None
    n_starts: int
    n_conformers: int
    start_noise: float
    escape: bool
    max_error: float
    seed: int
