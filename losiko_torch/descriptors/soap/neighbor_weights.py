r"""Weights of neighbours: DScribe's weighting functions and the smooth cutoff.

DScribe's ``weighting`` dictionary, with r the interatomic distance from the center, r and r0 in
Angstrom, chooses among

    poly  c (1 + 2 (r/r0)^3 - 3 (r/r0)^2)^m for r <= r0, else 0  (Caro, PRB 100, 024112, 2019)
    pow   c / (d + (r/r0)^m)  (Willatt et al., PCCP 20, 29661, 2018)
    exp   c / (d + exp(-r/r0))

and has ``w0`` for the atom on the center itself. The smooth cutoff, which DScribe lacks, fades
neighbours out over the last ``smooth_width`` Angstrom before the cutoff, with two continuous
derivatives, so that a loss does not jump when an atom crosses it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from losiko_torch.errors import InputError

_REQUIRED = {"poly": ("r0", "c", "m"), "pow": ("r0", "c", "d", "m"), "exp": ("r0", "c", "d")}


def check_weighting(weighting: Mapping[str, Any] | None) -> dict[str, Any]:
    """A validated copy of DScribe's ``weighting`` dictionary, {} for None.

    Raises:
        InputError: For unknown or missing entries, and for values out of range.
    """
    checked: dict[str, Any] = dict(weighting or {})
    unknown = set(checked) - {"function", "r0", "c", "d", "m", "threshold", "w0"}
    if unknown:
        raise InputError(f"weighting has unknown entries: {', '.join(sorted(unknown))}")
    if checked.get("w0") is not None and checked["w0"] < 0:
        raise InputError("weighting: w0 must not be negative")
    function = checked.get("function")
    if function is None:
        return checked
    if function not in _REQUIRED:
        raise InputError(f"weighting function '{function}' is none of {', '.join(_REQUIRED)}")
    for name in _REQUIRED[function]:
        if checked.get(name) is None or checked[name] < 0 or (name == "r0" and checked[name] == 0):
            raise InputError(f"weighting function '{function}' needs '{name}' >= 0, and r0 > 0")
    if function != "poly":
        checked.setdefault("threshold", 1e-2)
    return checked


def infer_r_cut(weighting: Mapping[str, Any]) -> float:
    """The r_cut in Angstrom that DScribe derives from a weighting function.

    Raises:
        InputError: If there is no function, or r_cut does not follow from it.
    """
    function = weighting.get("function")
    if function is None:
        raise InputError("give r_cut, or a weighting function from which it follows")
    if function == "poly":
        return float(weighting["r0"])
    decayed = weighting["c"] / weighting["threshold"] - weighting["d"]
    if decayed <= (0 if function == "pow" else 1):
        raise InputError(
            f"weighting function '{function}' lies below its threshold everywhere: give r_cut"
        )
    if function == "pow":
        return float(weighting["r0"] * decayed ** (1 / weighting["m"]))
    return float(weighting["r0"] * math.log(decayed))


def neighbor_weights(r2: torch.Tensor, weighting: Mapping[str, Any]) -> torch.Tensor:
    """Weights of neighbours at squared interatomic distances ``r2`` (Angstrom^2), both (E,)."""
    on_center = r2 == 0
    function = weighting.get("function")
    if function is None:
        weights = torch.ones_like(r2)
    else:
        # sqrt has no gradient at zero; the weight of the center itself does not depend on it.
        r = torch.sqrt(r2.masked_fill(on_center, 1.0)).masked_fill(on_center, 0.0)
        x = r / weighting["r0"]
        c = weighting["c"]
        if function == "poly":
            weights = c * (1 + 2 * x**3 - 3 * x**2).clamp(min=0) ** weighting["m"]
            weights = weights.masked_fill(x > 1, 0.0)
        elif function == "pow":
            weights = c / (weighting["d"] + x ** weighting["m"])
        else:
            weights = c / (weighting["d"] + torch.exp(-x))
    w0 = weighting.get("w0")
    return weights if w0 is None else weights.masked_fill(on_center, w0)


def smooth_cutoff(r2: torch.Tensor, cutoff: float, width: float) -> torch.Tensor:
    """Quintic smoothstep: 1 up to ``cutoff - width`` (Angstrom), 0 from ``cutoff`` on, (E,)."""
    _, t = _faded(r2, cutoff, width)
    return 1 - t**3 * (10 - 15 * t + 6 * t**2)


def smooth_cutoff_slope(r2: torch.Tensor, cutoff: float, width: float) -> torch.Tensor:
    """Derivative of ``smooth_cutoff`` by r^2, (E,)."""
    r, t = _faded(r2, cutoff, width)
    return (t - t * t).square() / r * (-15 / width)


def _faded(r2: torch.Tensor, cutoff: float, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances, no less than where fading begins, and shares of the way through it, both (E,)."""
    # Clamping r2 keeps sqrt away from zero, where its gradient is infinite.
    r = torch.sqrt(r2.clamp(min=max(cutoff - width, 0.0) ** 2 + 1e-12))
    return r, ((r - (cutoff - width)) / width).clamp(0.0, 1.0)
