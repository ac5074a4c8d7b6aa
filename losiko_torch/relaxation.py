"""Relaxing structures: one or thousands, each with its own fate.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase, relax
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3)
>>> database = EnvironmentDatabase.build([molecule("H2O")], soap)
>>> distorted = molecule("H2O")
>>> distorted.rattle(0.1, seed=1)
>>> result = relax(distorted, database, targets="nearest")[0]
>>> result.reason, result.loss < 1e-4 < result.start_loss
('converged', True)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from ase import Atoms

from losiko_torch.batch_relaxation import Ended, relax_batch
from losiko_torch.conversion import AnyStructure
from losiko_torch.coordinates import Coordinates
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.optimizers.adam import Adam
from losiko_torch.optimizers.fire import FIRE
from losiko_torch.optimizers.gradient_descent import GradientDescent
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.optimizers.nelder_mead import NelderMead, relax_one_by_one
from losiko_torch.optimizers.stepping import Optimizer
from losiko_torch.preparation import Prepared
from losiko_torch.results import Judgement, Result
from losiko_torch.structures import Batch, max_by_system
from losiko_torch.workplace import Workplace

#: Default largest gradient on any atom, 1/Angstrom. A smaller one is not better: directions in
#: which the loss is that flat are ones on which the references have no say.
FMAX = 0.02

NOT_FINITE = "its loss ceased to be a finite number"
COLLAPSED = "its cell collapsed or blew up: start from a better cell, or keep it fixed"

#: Those that step with gradients, a whole batch at a time.
GRADIENT_OPTIMIZERS: dict[str, Optimizer] = {
    "lbfgs": LBFGS(),
    "fire": FIRE(),
    "adam": Adam(),
    "gradient-descent": GradientDescent(),
}
OPTIMIZERS = (*GRADIENT_OPTIMIZERS, "nelder-mead")


def relax(
    structures: AnyStructure | Iterable[AnyStructure],
    database: EnvironmentDatabase | None = None,
    *,
    optimizer: str = "lbfgs",
    targets: str = "locally-linear",
    n_neighbors: int | None = None,
    reg: float | None = None,
    max_steps: int | None = None,
    fmax: float | None = None,
    cell: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    seed: int = 0,
    batch_atoms: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Result]:
    """Move atoms until their environments look like those of the database.

    Args:
        structures: One ``ase.Atoms`` or many; they are not changed. ``FixAtoms`` and
            ``FixCartesian`` are honoured. pymatgen's ``Structure`` and ``Molecule`` count as such;
            results hold ``ase.Atoms``.
        database: References; None takes the embedded one (organic molecules of H, C, N, O, F).
        optimizer: "lbfgs", "fire", "adam" or "gradient-descent", all batched; or "nelder-mead",
            SciPy's, one structure at a time, a yardstick.
        targets: "locally-linear" or "nearest" (see ``losiko_torch.targets``).
        n_neighbors, reg: References an atom's target combines (64) and its ridge (1e-3).
        max_steps: Evaluations of the loss granted to each structure: 200; 20,000 for Nelder-Mead.
        fmax: Largest gradient on any atom at which a structure has converged, 1/Angstrom (0.02).
        cell: Whether to relax the cells of periodic structures too, along their periodic
            directions; ``fmax`` then holds for the strain as well (see ``coordinates``).
        device: Where to compute; None: where the database is.
        dtype: torch.float32 (default) or torch.float64, or their names.
        seed: For optimizers that draw random numbers; these draw none.
        batch_atoms: Atoms worked on at once; None: as many as memory allows.
        progress: Called with the number of structures that have just finished.

    Returns:
        One ``Result`` for each structure, in input order. A structure that cannot be relaxed comes
        back unmoved with the reason "failed: <why>"; the others are not affected.

    Raises:
        InputError: For arguments that make no sense.
    """
    check_optimizer(optimizer)
    if optimizer == "nelder-mead" and fmax is not None:
        raise InputError("nelder-mead uses no gradient: fmax does not apply to it")
    if optimizer == "nelder-mead" and cell:
        raise InputError("nelder-mead does not relax cells: use another optimizer")
    fmax = FMAX if fmax is None else fmax
    if not isinstance(fmax, (int, float)) or not fmax > 0:
        raise InputError(f"fmax must be positive, not {fmax}")
    if max_steps is None:
        max_steps = 20_000 if optimizer == "nelder-mead" else 200
    if not isinstance(max_steps, int) or max_steps < 1:
        raise InputError(f"max_steps must be an integer from 1 on, not {max_steps}")
    work = Workplace.make(database, targets, n_neighbors, reg, device, dtype, batch_atoms)
    finished = progress or (lambda n: None)

    def run(batch: Batch, movable: torch.Tensor) -> Ended:
        if optimizer == "nelder-mead":
            settings = NelderMead()
            return relax_one_by_one(work.objective, batch, movable, settings, max_steps, finished)
        rows = (Coordinates.moving_cell if cell else Coordinates.fixed_cell)(batch, movable)
        stepper = GRADIENT_OPTIMIZERS[optimizer]
        return relax_batch(work.objective, rows, stepper, max_steps, fmax, finished)

    results: list[Result] = []
    for group in work.groups(structures, moves=True):
        results.extend(_relax_group(group, work, run, cell, finished))
    return results


def check_optimizer(name: str) -> None:
    """Raise ``InputError`` for an optimizer that there is not."""
    if name not in OPTIMIZERS:
        raise InputError(f"optimizer '{name}' is none of {', '.join(OPTIMIZERS)}")


_Run = Callable[[Batch, torch.Tensor], Ended]


def _relax_group(
    group: list[Prepared],
    work: Workplace,
    run: _Run,
    cell: bool,
    finished: Callable[[int], None],
) -> list[Result]:
    good = [item for item in group if item.problem is None]
    finished(len(group) - len(good))
    relaxed: Iterator[Result] = iter(_relax_good(good, work, run, cell) if good else [])
    return [
        next(relaxed) if item.problem is None else _failure(item.atoms, item.problem)
        for item in group
    ]


def _relax_good(good: list[Prepared], work: Workplace, run: _Run, cell: bool) -> list[Result]:
    batch = work.batch(good)
    movable = torch.as_tensor(np.concatenate([item.movable for item in good])).to(batch.positions)
    before = work.judge(batch)
    ended = run(batch, movable)
    there, after = _never_worse(work, batch, before, ended)
    positions = there.positions.double().cpu().split(batch.counts.tolist())
    cells = there.cells.double().cpu().numpy()
    left = _differs(there, ended.last)
    results = []
    for k, item in enumerate(good):
        if ended.broken[k] or ended.collapsed[k]:
            results.append(_failure(item.atoms, COLLAPSED if ended.collapsed[k] else NOT_FINITE))
            continue
        converged = bool(ended.converged[k]) and not bool(left[k])
        atoms = _moved(item, positions[k].numpy(), cells[k] if cell else None)
        results.append(_result(atoms, before[k].loss, after[k], converged, int(ended.n_steps[k])))
    return results


def _never_worse(
    work: Workplace, batch: Batch, before: list[Judgement], ended: Ended
) -> tuple[Batch, list[Judgement]]:
    """Where structures ended, or where they were at their best if a last search finds that worse.

    References are chosen by nearness, so that a search at the end can raise the loss.
    """

    def worse() -> torch.Tensor:
        pairs = zip(before, after, strict=True)
        return torch.tensor([not new.loss <= old.loss for old, new in pairs], device=work.device)

    there = ended.last
    after = work.judge(there)
    if worse().any():
        there = _swapped(there, ended.best, worse())
        after = work.judge(there)
        # The best may be the start, and that worse than itself by rounding.
        start = worse()
        there = _swapped(there, batch, start)
        after = [
            old if is_start else new
            for old, new, is_start in zip(before, after, start.tolist(), strict=True)
        ]
    return there, after


def _swapped(batch: Batch, other: Batch, systems: torch.Tensor) -> Batch:
    """The structures of a mask (B,) taken from the other batch of the same ones."""
    atoms = systems[batch.system_idx, None]
    return replace(
        batch,
        positions=torch.where(atoms, other.positions, batch.positions),
        cells=torch.where(systems[:, None, None], other.cells, batch.cells),
    )


def _differs(batch: Batch, other: Batch) -> torch.Tensor:
    """Structures (B,) that are not the same in both."""
    apart = (batch.positions - other.positions).abs().amax(1)
    atoms = max_by_system(apart, batch.system_idx, batch.n_systems)
    return (atoms > 0) | (batch.cells != other.cells).any(2).any(1)


def _moved(item: Prepared, positions: np.ndarray, cell: np.ndarray | None) -> Atoms:
    """A copy with new positions and cell; in float32 what may not move stays exactly as it was.

    Where the cell moves, fixed atoms keep their place in it.
    """
    atoms = item.atoms.copy()
    if cell is None or not atoms.pbc.any():
        positions = np.where(item.movable, positions, atoms.positions)
    else:
        atoms.set_cell(np.where(atoms.cell.any(1)[:, None], cell, 0.0))
    atoms.set_positions(positions, apply_constraint=False)
    return atoms


def _result(
    atoms: Atoms, start_loss: float, end: Judgement, converged: bool, n_steps: int
) -> Result:
    return Result(
        atoms=atoms,
        loss=end.loss,
        start_loss=start_loss,
        converged=converged,
        n_steps=n_steps,
        reason="converged" if converged else "max_steps",
        distances=end.distances,
        matches=end.matches,
    )


def _failure(atoms: Atoms, problem: str) -> Result:
    return Result(
        atoms=atoms.copy(),
        loss=np.nan,
        start_loss=np.nan,
        converged=False,
        n_steps=0,
        reason=f"failed: {problem}",
        distances=np.full(len(atoms), np.nan),
        matches=None,
    )
