"""Records of what is found for each structure: results, scores, matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError
from losiko_torch.extras import needs
from losiko_torch.shown.items import ShownMatches, ShownResult, ShownScore
from losiko_torch.shown.losses import draw_losses
from losiko_torch.shown.many import ShownList
from losiko_torch.systems.names import known_as

#: Beginning of the reason of a failed structure; why it failed follows.
FAILED = "failed: "
#: Beginning of the reason of a structure that could not go on before it converged.
STOPPED = "stopped: "


@dataclass(frozen=True, eq=False, repr=False)
class Matches(ShownMatches):
    """References of each of n atoms, nearest first; -1 and zero where there are fewer than k.

    Learned targets take no references: theirs are those of "locally-linear", searched on demand.
    With weighted references, those first whose distance over weight is smallest.

    Attributes:
        structure: Number of the database's structure, shape (n, k).
        atom: Index of the atom in that structure, shape (n, k).
        weight: Share of the reference in the target, shape (n, k); the row's sum is 1.
        distance: Squared distance |p - z|^2 of the unit descriptors from the reference, shape
            (n, k).
    """

    structure: np.ndarray
    atom: np.ndarray
    weight: np.ndarray
    distance: np.ndarray


class MatchesOnDemand(Matches):
    """Matches that are searched once one of their arrays is looked at."""

    def __init__(self, find: Callable[[], Matches]):
        """Keep the function that finds them."""
        self.__dict__["_find"] = find

    def __reduce__(self) -> tuple:
        return Matches, (self.structure, self.atom, self.weight, self.distance)

    def __getattr__(self, name: str) -> np.ndarray:
        if name not in {each.name for each in fields(Matches)}:
            raise AttributeError(name)
        found = self.__dict__["_find"]()
        self.__dict__.update({each.name: getattr(found, each.name) for each in fields(Matches)})
        return self.__dict__[name]


class Judgement(NamedTuple):
    """Loss of a structure at its very positions.

    Attributes:
        loss: Sum of ``distances`` and ``terms``.
        terms: Value of each further term of the loss, by name.
        distances: Weighted distance of each atom, shape (n,).
        matches: References of the atoms.
    """

    loss: float
    terms: dict[str, float]
    distances: np.ndarray
    matches: Matches


@dataclass(frozen=True, eq=False, repr=False)
class Score(ShownScore):
    """Coverage of a structure by a database.

    Attributes:
        atoms: Structure, as ``ase.Atoms``.
        loss: Sum of ``distances`` and ``terms``; NaN if it failed.
        distances: Distance of each atom from its target times its weight, shape (n,).
        matches: References of the atoms; None if it failed.
        problem: Reason why the structure could not be judged; None if it could.
        terms: Value of each further term of the loss, by name.
    """

    atoms: Atoms
    loss: float
    distances: np.ndarray
    matches: Matches | None
    problem: str | None = None
    terms: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the names of the structure and its formula, as in "ethanol (C2H6O)"."""
        return known_as(self.atoms.info, self.atoms.get_chemical_formula())


@dataclass(frozen=True, eq=False, repr=False)
class Frames:
    """Structures on the way of a relaxation, F of them with n atoms.

    Attributes:
        steps: Numbers of the evaluations, from 1, shape (F,).
        loss, fmax: Loss and largest gradient there, shape (F,).
        positions: Positions in Angstrom, shape (F, n, 3).
        cells: Cell vectors as rows, missing ones completed, shape (F, 3, 3).
        expected_rmsd: Root mean square of the errors to expect (Angstrom), shape (F,); NaN where
            targets are not learned.
    """

    steps: np.ndarray
    loss: np.ndarray
    fmax: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    expected_rmsd: np.ndarray

    def joined(self, other: Frames) -> Frames:
        """Return these frames and those of a later part of the way."""
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Frames(*map(np.concatenate, pairs))


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """Losses of all T evaluations of a structure, in all stages together.

    Not every evaluation is accepted, so that the loss need not fall at each of them.

    Attributes:
        steps: Numbers of the evaluations, from 1, shape (T,).
        loss: Loss, shape (T,).
        fmax: Largest gradient on any row of coordinates, shape (T,); NaN where none is computed.
        frames: Structures on the way, where a trajectory is asked for and not written yet.
    """

    steps: np.ndarray
    loss: np.ndarray
    fmax: np.ndarray
    frames: Frames | None = None

    def joined(self, other: History) -> History:
        """Return this history with that of a later part of the way."""
        frames = self.frames or other.frames
        if self.frames is not None and other.frames is not None:
            frames = self.frames.joined(other.frames)
        steps, loss, fmax = (
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("steps", "loss", "fmax")
        )
        return History(steps, loss, fmax, frames)

    def __repr__(self) -> str:
        if not len(self.steps):
            return "History(0 steps)"
        return f"History({len(self.steps)} steps, loss {self.loss[0]:.3g} to {self.loss[-1]:.3g})"


@dataclass(frozen=True, eq=False, repr=False)
class Result(ShownResult):
    """Relaxed structure, or one that failed.

    Attributes:
        atoms: Copy of the input with the new positions and, if it relaxed, cell; unmoved if it
            failed. Sites of a structure that could not be made ``ase.Atoms`` stand as "X".
        loss: Loss, as ``score`` gives it; never larger than ``start_loss``. NaN if it failed.
        start_loss: Loss of the input; NaN if it could not be judged.
        converged: Whether the gradient fell to ``fmax`` on every atom (with ``symprec``: before the
            structure was made symmetric); for Nelder-Mead, whether the simplex shrank to its
            spreads.
        n_steps: Evaluations of the loss, in all stages together.
        reason: "converged", "max_steps", "failed: <why>", or "stopped: <why>": the gradient became
            small, but only at a larger loss than before. Then the best point before is returned.
        distances: Distance of each atom from its target, the squared distance |p - t|^2 of unit
            descriptors, times the atom's weight: what it adds to the loss, shape (n,).
        matches: References of the atoms; None if it failed.
        number: Number of the structure among those given, from 0.
        starts: With ``n_starts``, the results of all copies, that of the input as given first;
            this one is the one of lowest loss among them. Of a molecule that came as SMILES or by
            RDKit, those of all conformers; this one is the best of them.
        terms: Value of each further term of the loss, by name.
        expected_error: Distance (Angstrom) at which each atom is to be expected from where it
            should be, shape (n,), with learned targets; see ``learned.expected_error``. None with
            others.
        doubt: Sentence about why the structure may be wrong and what to do; "" if nothing speaks
            against it. See ``losiko_torch.verdict``.
        history: Losses of all evaluations, if ``relax`` was asked for them (``history=True``).
        start_positions: Positions (Angstrom) before it was relaxed, shape (n, 3); None if unknown
            or if it failed. See ``start``.
        start_cell: Cell before it was relaxed, shape (3, 3), where it was deformed; None elsewhere.
    """

    atoms: Atoms
    loss: float
    start_loss: float
    converged: bool
    n_steps: int
    reason: str
    distances: np.ndarray
    matches: Matches | None
    number: int = 0
    starts: tuple[Result, ...] = ()
    terms: dict[str, float] = field(default_factory=dict)
    expected_error: np.ndarray | None = None
    doubt: str = ""
    history: History | None = None
    start_positions: np.ndarray | None = None
    start_cell: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Return the names of the structure and its formula, as in "ethanol, in.xyz@3 (C2H6O)"."""
        return known_as(self.atoms.info, self.atoms.get_chemical_formula(), self.number)

    @property
    def reliable(self) -> bool:
        """Return whether the structure relaxed and nothing speaks against it."""
        return self.converged and not self.failed and not self.doubt

    @property
    def expected_rmsd(self) -> float | None:
        """Root mean square of ``expected_error``, Angstrom; None if unknown."""
        if self.expected_error is None or not len(self.expected_error):
            return None
        return float(np.sqrt(np.mean(np.square(self.expected_error))))

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses of all evaluations with matplotlib; return its axes.

        Args:
            axes: Axes to draw into. None makes new ones.

        Raises:
            InputError: If matplotlib is not installed, or no losses were kept.
        """
        needs("matplotlib", "a picture of losses")
        if self.history is None:
            raise InputError("its losses were not kept: relax it with history=True")
        steps, loss, fmax = self.history.steps, self.history.loss, self.history.fmax
        return draw_losses(steps, loss, fmax, self.name, axes)

    @property
    def failed(self) -> bool:
        """Return whether the structure could not be relaxed."""
        return self.reason.startswith(FAILED)


def expected_rmsds(results: Sequence[Result]) -> list[float | None]:
    """Return the ``expected_rmsd`` of each result, the same numbers to the last bit."""
    found: list[float | None] = [None] * len(results)
    alike: dict[tuple, list[int]] = {}
    for place, result in enumerate(results):
        errors = result.expected_error
        if errors is None or errors.ndim != 1:
            found[place] = result.expected_rmsd
        elif len(errors):
            alike.setdefault((len(errors), errors.dtype), []).append(place)
    for places in alike.values():
        errors = np.array([results[place].expected_error for place in places])
        values = np.sqrt(np.mean(np.square(errors), axis=1))
        for place, value in zip(places, values.tolist(), strict=True):
            found[place] = value
    return found


def without_frames(result: Result, history: bool = True) -> Result:
    """Return a result without its frames, and without its ``history`` unless that is to be kept."""
    if result.history is None and not result.starts:
        return result
    kept = replace(result.history, frames=None) if result.history and history else None
    starts = tuple(without_frames(each, history) for each in result.starts)
    return replace(result, history=kept, starts=starts)


class Results(ShownList[Result]):
    """List of results, as ``relax`` returns it: a ``list``, but for how it shows itself.

    Slices, sums and copies are ``Results`` too, and so is what ``Results(...)`` makes of any other
    results, such as ``Results(relax_iter(structures))`` or ``Results(r for r in results if
    r.failed)``.
    """

    KIND = Result

    def counts(self) -> dict[str, int]:
        """Return how many results converged, are reliable, and failed."""
        return {
            "converged": sum(each.converged and not each.failed for each in self),
            "reliable": sum(each.reliable for each in self),
            "failed": sum(each.failed for each in self),
        }


class Scores(ShownList[Score]):
    """List of scores, as ``score`` returns it: a ``list``, but for how it shows itself."""

    KIND = Score

    def counts(self) -> dict[str, int]:
        """Return how many structures were judged, and how many could not be."""
        failed = sum(each.problem is not None for each in self)
        return {"judged": len(self) - failed, "failed": failed}
