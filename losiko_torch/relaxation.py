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

import numpy as np
import torch
from ase import Atoms

from losiko_torch.batch_relaxation import Ended, relax_batch
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.optimizers.nelder_mead import NelderMead, relax_one_by_one
from losiko_torch.preparation import Prepared
from losiko_torch.results import Judgement, Result
from losiko_torch.structures import Batch
from losiko_torch.workplace import Workplace

#: Default largest gradient on any atom, 1/Angstrom. A smaller one is not better: directions in
#: which the loss is that flat are ones on which the references have no say.
FMAX = 0.02

OPTIMIZERS = ("lbfgs", "nelder-mead")
#: Named by the design, not there yet.
LATER_OPTIMIZERS = ("adam", "fire")


def relax(
    structures: Atoms | Iterable[Atoms],
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
        structures: One ``ase.Atoms`` or many; they are not changed. ``FixAtoms`` is honoured.
        database: References; None takes the embedded one (organic molecules of H, C, N, O, F).
        optimizer: "lbfgs" (batched), or "nelder-mead" (SciPy's, one at a time, a yardstick).
        targets: "locally-linear" or "nearest" (see ``losiko_torch.targets``).
        n_neighbors, reg: References an atom's target combines (64) and its ridge (1e-3).
        max_steps: Evaluations of the loss granted to each structure: 200; 20,000 for Nelder-Mead.
        fmax: Largest gradient on any atom at which a structure has converged, 1/Angstrom (0.02).
        cell: Whether to relax the cell too: not possible yet.
        device: Where to compute; None: where the database is.
        dtype: torch.float32 (default) or torch.float64, or their names.
        seed: For optimizers that draw random numbers; these two draw none.
        batch_atoms: Atoms worked on at once; None: as many as memory allows.
        progress: Called with the number of structures that have just finished.

    Returns:
        One ``Result`` for each structure, in input order. A structure that cannot be relaxed comes
        back unmoved with the reason "failed: <why>"; the others are not affected.

    Raises:
        InputError: For arguments that make no sense.
    """
    if cell:
        raise InputError("relaxing the cell (cell=True) is not possible yet")
    if optimizer in LATER_OPTIMIZERS:
        raise InputError(f"optimizer '{optimizer}' is not there yet: use {' or '.join(OPTIMIZERS)}")
    if optimizer not in OPTIMIZERS:
        raise InputError(f"optimizer '{optimizer}' is none of {', '.join(OPTIMIZERS)}")
    if optimizer == "nelder-mead" and fmax is not None:
        raise InputError("nelder-mead uses no gradient: fmax does not apply to it")
    fmax = FMAX if fmax is None else fmax
    if not fmax > 0:
        raise InputError(f"fmax must be positive, not {fmax}")
    if max_steps is None:
        max_steps = 20_000 if optimizer == "nelder-mead" else 200
    if max_steps < 1:
        raise InputError(f"max_steps must be at least 1, not {max_steps}")
    work = Workplace.make(database, targets, n_neighbors, reg, device, dtype, batch_atoms)
    finished = progress or (lambda n: None)

    def run(batch: Batch, movable: torch.Tensor) -> Ended:
        if optimizer == "nelder-mead":
            settings = NelderMead()
            return relax_one_by_one(work.objective, batch, movable, settings, max_steps, finished)
        return relax_batch(work.objective, batch, movable, LBFGS(), max_steps, fmax, finished)

    results: list[Result] = []
    for group in work.groups(structures, moves=True):
        results.extend(_relax_group(group, work, run, finished))
    return results


_Run = Callable[[Batch, torch.Tensor], Ended]


def _relax_group(
    group: list[Prepared], work: Workplace, run: _Run, finished: Callable[[int], None]
) -> list[Result]:
    good = [item for item in group if item.problem is None]
    finished(len(group) - len(good))
    relaxed: Iterator[Result] = iter(_relax_good(good, work, run) if good else [])
    return [
        next(relaxed) if item.problem is None else _failure(item.atoms, item.problem)
        for item in group
    ]


def _relax_good(good: list[Prepared], work: Workplace, run: _Run) -> list[Result]:
    batch = work.batch(good)
    movable = torch.as_tensor(np.concatenate([item.movable for item in good])).to(batch.positions)
    before = work.judge(batch)
    ended = run(batch, movable)
    positions, after = _never_worse(work, batch, before, ended)
    sizes = batch.counts.tolist()
    results = []
    for k, (item, here, end) in enumerate(
        zip(good, positions.split(sizes), ended.positions.split(sizes), strict=True)
    ):
        if ended.broken[k]:
            results.append(_failure(item.atoms, "its loss ceased to be a finite number"))
            continue
        converged = bool(ended.converged[k]) and torch.equal(here, end)
        atoms = _moved(item, here.double().cpu().numpy())
        results.append(_result(atoms, before[k].loss, after[k], converged, int(ended.n_steps[k])))
    return results


def _never_worse(
    work: Workplace, batch: Batch, before: list[Judgement], ended: Ended
) -> tuple[torch.Tensor, list[Judgement]]:
    """Where structures ended, or where they were at their best if a last search finds that worse.

    References are chosen by nearness, so that a search at the end can raise the loss.
    """

    def worse() -> list[bool]:
        return [not new.loss <= old.loss for old, new in zip(before, after, strict=True)]

    def swapped(mask: list[bool], others: torch.Tensor) -> torch.Tensor:
        atoms = torch.tensor(mask, device=work.device)[batch.system_idx, None]
        return torch.where(atoms, others, positions)

    positions = ended.positions
    after = work.judge(batch.with_positions(positions))
    if any(worse()):
        positions = swapped(worse(), ended.best_positions)
        after = work.judge(batch.with_positions(positions))
        # The best may be the start, and that worse than itself by rounding.
        start = worse()
        positions = swapped(start, batch.positions)
        after = [
            old if is_start else new
            for old, new, is_start in zip(before, after, start, strict=True)
        ]
    return positions, after


def _moved(item: Prepared, positions: np.ndarray) -> Atoms:
    """A copy with new positions where they may move; float32 leaves the rest as it was."""
    atoms = item.atoms.copy()
    chosen = np.where(item.movable, positions, atoms.positions)
    atoms.set_positions(chosen, apply_constraint=False)
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
