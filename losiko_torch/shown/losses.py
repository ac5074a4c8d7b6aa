"""Drawing of loss curves, with matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np


def draw_losses(steps: np.ndarray, loss: np.ndarray, fmax: np.ndarray, name: str, axes: Any) -> Any:
    """Draw loss and largest gradient by the number of the evaluation; return the axes.

    Args:
        steps, loss, fmax: Numbers of the evaluations, and what they found, shape (T,).
        name: Title of the picture.
        axes: Axes of matplotlib. None makes new ones.
    """
    if axes is None:
        from matplotlib import pyplot

        _, axes = pyplot.subplots(layout="constrained")
    axes.plot(steps, loss, label="loss")
    if np.isfinite(fmax).any():
        axes.plot(steps, fmax, label="largest gradient", linestyle="--")
    if (loss[np.isfinite(loss)] > 0).all():
        axes.set_yscale("log")
    axes.set_xlabel("evaluation")
    axes.set_title(name)
    axes.legend()
    return axes
