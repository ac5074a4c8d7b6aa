"""Kernels of a GPU compiled before a relaxation launches them, many at once.

They are kept on disk: this saves time where a machine works on sizes for the first time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.loss.ahead import evaluation_calls
from losiko_torch.optimizers.lbfgs import LBFGS, NUMBERS
from losiko_torch.relaxation.settings import Settings
from losiko_torch.relaxation.stages import fmax_of
from losiko_torch.systems.by_structure import MOST_ROWS

LOGGER = logging.getLogger(__name__)


def compile_ahead(evaluator: Evaluator, settings: Settings, counts: npt.ArrayLike) -> None:
    """Compile what a relaxation on a GPU will launch; elsewhere do nothing.

    Whatever stops it is told and stops nothing else: a kernel is compiled at the latest where it is
    launched.

    Args:
        evaluator: Evaluator for the elements of the structures.
        settings: Options of the relaxation.
        counts: Atoms of each structure, shape (B,).
    """
    device = evaluator.device
    kernels = kernels_for(device) if device.type == "cuda" else None
    if kernels is None:
        return
    try:
        with torch.cuda.device(device):
            calls = relaxation_calls(evaluator, settings, counts, kernels.ahead)
            kernels.ahead.compile_ahead(calls)
    except Exception as error:
        LOGGER.warning("kernels are compiled one by one, as they are launched (%s)", error)


def relaxation_calls(
    evaluator: Evaluator, settings: Settings, counts: npt.ArrayLike, ahead: ModuleType
) -> Iterator[Any]:
    """Yield the calls of all stages for ``ahead.compile_ahead``, what takes longest first."""
    like = torch.empty(0, dtype=evaluator.dtype, device=evaluator.device)
    defaults = evaluator.objective.database.defaults
    targets = [stage.target(defaults) for stage in settings.stages]
    objectives = [replace(evaluator.objective, target=target) for target in targets]
    for objective in objectives:
        yield from evaluation_calls(objective, like, ahead)
    if settings.strain is not None:
        return
    optimizer, dtype = settings.stepping, evaluator.dtype
    # A batch is worked on in blocks as large as its largest structure, of the next power of two.
    sizes = np.unique(counts).tolist()
    for block in sorted({1 << (n - 1).bit_length() for n in sizes if 0 < n <= MOST_ROWS}):
        for objective in objectives:
            yield from ahead.of_measures(dtype, block, objective.hold, objective.stiffness)
            if not objective.searches:
                yield from ahead.of_ends(dtype, block, fmax_of(objective, settings))
        if isinstance(optimizer, LBFGS):
            longest = optimizer.max_step
            yield from ahead.of_lbfgs(dtype, block, optimizer.memory, longest, **NUMBERS)
