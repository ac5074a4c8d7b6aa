"""Relaxation with two databases in turn: a broad descriptor first, a sharp one to finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ase import Atoms

from losiko_torch import EnvironmentDatabase, Result, relax


def relax_in_turn(
    starts: Sequence[Atoms],
    first: EnvironmentDatabase,
    second: EnvironmentDatabase,
    first_how: Mapping[str, Any],
    second_how: Mapping[str, Any],
) -> list[Result]:
    """Relax with two databases in turn, each call with options ``how`` of its own.

    The results are the second ones; their ``n_steps`` count the evaluations of both.
    """
    led = relax(starts, first, **first_how)
    ended = relax([result.atoms for result in led], second, **second_how)
    return [
        replace(after, n_steps=before.n_steps + after.n_steps)
        for before, after in zip(led, ended, strict=True)
    ]
