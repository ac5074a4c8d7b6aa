"""Options of the loss: those that ``relax``, ``score``, the calculator and the model share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch

from losiko_torch.checks import positive, whole
from losiko_torch.database.defaults import MOLECULES, TargetDefaults
from losiko_torch.errors import InputError
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.targets.interface import Target
from losiko_torch.loss.targets.registry import TARGETS
from losiko_torch.loss.terms.interface import Term, checked_terms
from losiko_torch.options import WHERE, check_options, option
from losiko_torch.systems.atom_weights import element_factors

PRECISIONS = (torch.float32, torch.float64)


def weights_from_text(text: str) -> dict[str, float]:
    """Return {"H": 0.5, "O": 2.0} for "H=0.5,O=2"."""
    weights: dict[str, float] = {}
    for entry in text.split(","):
        element, equals, number = (part.strip() for part in entry.partition("="))
        if not equals or not element:
            raise InputError(f"weights: '{entry.strip()}' is not of the form H=0.5")
        if element in weights:
            raise InputError(f"weights: {element} is given twice")
        try:
            weights[element] = float(number)
        except ValueError:
            raise InputError(f"weights: '{number}' is not a number") from None
    return weights


def _element_weights(name: str, value: Any) -> Any:
    element_factors(value)
    return value


def _precision(name: str, value: Any) -> torch.dtype:
    dtype = getattr(torch, value, value) if isinstance(value, str) else value
    if dtype not in PRECISIONS:
        raise InputError(f"dtype must be float32 or float64, not {dtype}")
    return dtype


def make_target(
    targets: str | Target | None,
    n_neighbors: int | None = None,
    reg: float | None = None,
    defaults: TargetDefaults = MOLECULES,
) -> Target:
    """Return the target of this name with these parameters, or the object itself.

    None stands for the database's own, by its ``defaults``; with parameters for "locally-linear",
    as they are its.

    Raises:
        InputError: For an unknown name, parameters that the target does not take, and an object
            that is no target.
    """
    if targets is None:
        alone = n_neighbors is None and reg is None
        targets = defaults.usual if alone else "locally-linear"
    if isinstance(targets, str):
        if targets not in {*TARGETS.choices, *TARGETS.problems}:
            raise InputError(f"targets '{targets}' are none of {', '.join(TARGETS.choices)}")
        return TARGETS[targets].make(n_neighbors, reg, defaults)
    if isinstance(targets, type) or not isinstance(targets, Target):
        raise InputError(
            f"targets {targets!r} are none: give a name such as 'nearest' or an object such as "
            "LocallyLinear(n_neighbors=64, reg=1e-3)"
        )
    if n_neighbors is not None or reg is not None:
        raise InputError("n_neighbors and reg belong to a name: give them to the target itself")
    return targets


@dataclass(frozen=True)
class TargetSettings:
    """Options of the target, by name or as an object; those left out depend on the database."""

    targets: str | Target | None = option(
        None,
        "What leads an atom: targets that the database has learned, the best combination of its "
        "nearest references, or its nearest reference.",
        choices=TARGETS,
        shown="learned where the database carries them, else locally-linear",
        text=str,
    )
    n_neighbors: int | None = option(
        None,
        "References in a combination (locally-linear).",
        check=whole,
        metavar="N",
        shown="64; 32 for crystals",
        text=int,
    )
    reg: float | None = option(
        None,
        "Ridge on the weights of a combination (locally-linear).",
        check=positive,
        metavar="X",
        shown="1e-3; 0.3 for crystals",
        text=float,
    )

    def __post_init__(self) -> None:
        check_options(self)
        make_target(self.targets, self.n_neighbors, self.reg)

    def target(self, defaults: TargetDefaults = MOLECULES) -> Target:
        """Return the target, with a database's defaults for what was left out."""
        return make_target(self.targets, self.n_neighbors, self.reg, defaults)


@names_unknown
@dataclass(frozen=True)
class LossSettings(TargetSettings):
    """Options of the loss, and of where it is computed; see ``relax`` for their meaning.

    Raises:
        InputError: For values that make no sense.
    """

    degree: float = option(
        1.0,
        "Exponent of the similarity kernel; a larger one sees smaller differences.",
        check=positive,
        metavar="D",
        shown="1, the squared distance",
        text=float,
    )
    weights: Mapping[str, float] | None = option(
        None,
        "Weight of each element's atoms in the loss.",
        check=_element_weights,
        metavar="H=0.5,O=2",
        shown="1 each",
        text=str,
        parse=weights_from_text,
    )
    terms: Sequence[Term] = option((), "Terms added to the loss.", check=checked_terms)
    device: torch.device | str | None = option(
        None,
        "Where to compute: cpu, cuda, cuda:1.",
        panel=WHERE,
        metavar="DEVICE",
        shown="cpu",
        text=str,
    )
    dtype: torch.dtype | str | None = option(
        None,
        "Floating-point numbers used.",
        check=_precision,
        panel=WHERE,
        metavar="float32|float64",
        shown="float32",
        text=str,
    )
    batch_atoms: int | None = option(
        None,
        "Atoms worked on at once.",
        check=whole,
        panel=WHERE,
        metavar="N",
        shown="as many as memory allows",
        text=int,
    )

    @property
    def factors(self) -> dict[int, float]:
        """Weights of elements in the loss, by atomic number."""
        return element_factors(self.weights)

    @property
    def precision(self) -> torch.dtype:
        """Floating-point numbers that are computed with."""
        return _precision("dtype", torch.float32 if self.dtype is None else self.dtype)


class PlaceOptions(TypedDict, total=False):
    """Keyword arguments for the place of a computation, for signatures."""

    device: torch.device | str | None
    dtype: torch.dtype | str | None
    batch_atoms: int | None


class LossOptions(PlaceOptions, total=False):
    """Keyword arguments that make ``LossSettings``, for signatures."""

    targets: str | Target | None
    n_neighbors: int | None
    reg: float | None
    degree: float
    weights: Mapping[str, float] | None
    terms: Sequence[Term]


def identity_of(value: Any) -> Any:
    """Return what tells an option's value from others, ready for JSON."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "identity"):
        return value.identity()
    if isinstance(value, Mapping):
        return {str(key): identity_of(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity_of(each) for each in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Callable):  # type: ignore[arg-type]
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{getattr(value, '__module__', '')}.{name}"
    kind = type(value)
    if kind.__repr__ is object.__repr__:
        # Its text would tell where it lies in memory.
        return {"class": f"{kind.__module__}.{kind.__qualname__}", **identity_of(vars(value))}
    return str(value)
