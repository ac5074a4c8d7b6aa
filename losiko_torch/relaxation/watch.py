"""Watching a relaxation: what each evaluation found, for callbacks, loss curves and trajectories.

Nothing of it is done unless it is asked for: numbers come from the device at every step then. A
batch that begins again, as memory ran out, sees its first steps twice; what is kept of them is kept
once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms

from losiko_torch.batching.prepare import Prepared
from losiko_torch.errors import InputError, first_line
from losiko_torch.loss.objective import Objective
from losiko_torch.results import FAILED, Frames, History, Result
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.names import known_as

#: Beginning of the reason of a structure that a callback ended.
ENDED = "the callback ended it at step "


@dataclass(frozen=True, eq=False)
class Step:
    """Evaluation of a structure, as callbacks get it.

    Attributes:
        number: Number of the structure among those given.
        copy: Number among its copies (``n_starts``, conformers), 0 for itself; -1 for the shaken
            copy that seeks a way off a saddle.
        step: Number of the evaluation, from 1, in all stages together.
        loss: Loss there; not every evaluation is accepted, so that it may be larger than before.
        fmax: Largest gradient on any row of coordinates; NaN where none is computed.
    """

    number: int
    copy: int
    step: int
    loss: float
    fmax: float
    _item: Prepared = field(repr=False)
    _here: tuple[Batch, int] = field(repr=False)

    @property
    def name(self) -> str:
        """Return the names of the structure and its formula."""
        atoms = self._item.atoms
        return known_as(atoms.info, atoms.get_chemical_formula(), self.number)

    @property
    def positions(self) -> np.ndarray:
        """Return the positions that were evaluated, Angstrom, shape (n, 3)."""
        batch, k = self._here
        return batch.positions[batch.system_idx == k].double().cpu().numpy()

    @property
    def cell(self) -> np.ndarray:
        """Return the cell vectors as rows, shape (3, 3); missing ones are completed."""
        batch, k = self._here
        return batch.cells[k].double().cpu().numpy()

    @property
    def atoms(self) -> Atoms:
        """Return a copy of the structure at these positions."""
        atoms = self._item.atoms.copy()
        if atoms.pbc.any():
            atoms.set_cell(np.where(atoms.cell.array.any(axis=1)[:, None], self.cell, 0.0))
        atoms.set_positions(self.positions, apply_constraint=False)
        return atoms


#: Function called with each step of each structure; an exception that it raises ends the structure.
Callback = Callable[[Step], Any]


@dataclass(frozen=True)
class Watching:
    """Wishes about the steps of a relaxation.

    Attributes:
        callback: Function to call with each step. None calls none.
        interval: Steps from one frame that is kept to the next. None keeps none.
        history: Whether to keep the losses of all steps.

    Raises:
        InputError: For an interval that is none, or what cannot be called.
    """

    callback: Callback | None = None
    interval: int | None = None
    history: bool = False

    def __post_init__(self) -> None:
        if self.callback is not None and not callable(self.callback):
            kind = type(self.callback).__name__
            raise InputError(f"the callback is a {kind}: give a function of a step")

    @property
    def wanted(self) -> bool:
        """Return whether anything is to be watched."""
        return self.callback is not None or self.interval is not None or self.history


NOTHING = Watching()


class _Seen(NamedTuple):
    """Evaluation of some structures: arrays of b, and frames of those that are kept."""

    places: np.ndarray
    steps: np.ndarray
    losses: np.ndarray
    sizes: np.ndarray
    frames: list[tuple[int, np.ndarray, np.ndarray, float]]


class Watch:
    """Observer of structures on their way through the stages.

    Attributes:
        ended: Reasons of the structures that the callback ended, by place.
    """

    def __init__(self, items: Sequence[Prepared], before: Sequence[int], watching: Watching):
        """Prepare for structures of which so many steps were taken ``before``."""
        self.items, self.watching = items, watching
        self._before = self._offsets = np.array(before, dtype=int)
        self._seen: list[_Seen] = []
        self.ended: dict[int, str] = {}

    def begin(self, steps: Sequence[int]) -> None:
        """Begin a stage, after so many steps of each structure in earlier ones."""
        self._offsets = self._before + np.array(steps, dtype=int)

    def see(
        self,
        objective: Objective,
        system: torch.Tensor,
        steps: torch.Tensor,
        loss: torch.Tensor,
        size: torch.Tensor,
        here: Batch,
        lost: torch.Tensor,
    ) -> torch.Tensor:
        """Take in an evaluation; return the mask (b,) of structures that end here.

        Args:
            objective: Loss.
            system: Places of the structures among the items, shape (b,).
            steps: Number of this evaluation in the stage, shape (b,).
            loss, size: Loss and largest gradient of each, shape (b,).
            here: The structures as they were evaluated.
            lost: Structures that broke, shape (b,).
        """
        places = system.cpu().numpy()
        counts = steps.cpu().numpy() + self._offsets[places]
        losses, sizes = loss.double().cpu().numpy(), size.double().cpu().numpy()
        frames = []
        if self.watching.interval is not None:
            chosen = ((counts - 1) % self.watching.interval == 0) & ~lost.cpu().numpy()
            frames = _frames(objective, here, chosen)
        if self.watching.history or frames:
            self._seen.append(_Seen(places, counts, losses, sizes, frames))
        if self.watching.callback is not None:
            for k, place in enumerate(places.tolist()):
                if place not in self.ended:
                    self._call(place, counts[k], losses[k], sizes[k], (here, k))
        if not self.ended:
            return torch.zeros_like(lost)
        ended = [place in self.ended for place in places.tolist()]
        return torch.tensor(ended, dtype=torch.bool, device=lost.device)

    def results(self, results: Sequence[Result]) -> list[Result]:
        """Return the results with what was seen; those that the callback ended have failed."""
        found = list(results)
        if self._seen:
            for place, history in enumerate(self._histories()):
                found[place] = replace(found[place], history=history)
        for place, why in self.ended.items():
            found[place] = replace(found[place], reason=f"{FAILED}{why}", doubt=why)
        return found

    def _call(
        self, place: int, step: int, loss: float, size: float, here: tuple[Batch, int]
    ) -> None:
        item = self.items[place]
        told = Step(item.number, item.copy, int(step), float(loss), float(size), item, here)
        assert self.watching.callback is not None
        try:
            self.watching.callback(told)
        except Exception as error:  # a user's function may raise anything
            text = str(error).strip() and f": {first_line(error)}"
            self.ended[place] = f"{ENDED}{step} ({type(error).__name__}{text})"

    def _histories(self) -> list[History]:
        losses: list[dict[int, tuple[float, float]]] = [{} for _ in self.items]
        frames: list[dict[int, tuple[np.ndarray, np.ndarray, float]]] = [{} for _ in self.items]
        for seen in self._seen:
            rows = zip(
                *(each.tolist() for each in (seen.places, seen.steps, seen.losses, seen.sizes)),
                strict=True,
            )
            for place, step, loss, size in rows:
                # A structure that began again forgets what it had seen from there on.
                memories: list[dict[int, Any]] = [losses[place], frames[place]]
                for known in memories:
                    while known and next(reversed(known)) >= step:
                        known.popitem()
                losses[place][step] = loss, size
            for k, positions, cell, error in seen.frames:
                frames[int(seen.places[k])][int(seen.steps[k])] = positions, cell, error
        return [
            _history(own, kept if self.watching.interval is not None else None)
            for own, kept in zip(losses, frames, strict=True)
        ]


def _history(
    losses: dict[int, tuple[float, float]],
    frames: dict[int, tuple[np.ndarray, np.ndarray, float]] | None,
) -> History:
    curve = np.array(list(losses.values())).reshape(-1, 2)
    kept = None
    if frames:
        loss, fmax = np.array([losses[step] for step in frames]).T
        positions, cells, errors = (np.array(each) for each in zip(*frames.values(), strict=True))
        kept = Frames(np.array(list(frames)), loss, fmax, positions, cells, errors)
    return History(np.array(list(losses), dtype=int), curve[:, 0], curve[:, 1], kept)


def _frames(
    objective: Objective, here: Batch, chosen: np.ndarray
) -> list[tuple[int, np.ndarray, np.ndarray, float]]:
    """Return number, positions, cell and expected RMSD of the chosen structures of a batch."""
    if not chosen.any():
        return []
    some = here if chosen.all() else here.keep(torch.as_tensor(chosen, device=here.cells.device))
    errors = objective.expected_errors(some)
    expected = np.full(some.n_atoms, np.nan) if errors is None else errors.double().cpu().numpy()
    positions, cells = some.positions.double().cpu().numpy(), some.cells.double().cpu().numpy()
    ends = np.cumsum([0, *some.counts.tolist()]).tolist()
    return [
        (
            int(k),
            positions[ends[row] : ends[row + 1]],
            cells[row],
            float(np.sqrt(np.mean(expected[ends[row] : ends[row + 1]] ** 2))),
        )
        for row, k in enumerate(np.flatnonzero(chosen))
    ]
