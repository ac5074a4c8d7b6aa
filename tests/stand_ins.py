"""Plain torch in place of a GPU's kernels of whole structures, with their arguments."""

from types import SimpleNamespace

import torch

from losiko_torch import Batch
from losiko_torch.accelerators import kernels_for
from losiko_torch.optimizers import lbfgs
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.measuring import plain_measure
from losiko_torch.systems import by_structure


def put_in(monkeypatch):
    """Let the processor, which has no such kernels, go the way of a GPU."""
    kernels = kernels_for(torch.device("cpu"))
    for stand_in in (lbfgs_step, measure, conclude):
        monkeypatch.setattr(kernels, stand_in.__name__, stand_in, raising=False)
    monkeypatch.setattr(by_structure, "of_gpu", lambda name, device: getattr(kernels, name))


def structures_of(first, largest):
    """Return the structure of each row."""
    counts = first.diff()
    assert largest == counts.max()
    return torch.repeat_interleave(torch.arange(len(counts)), counts)


def lbfgs_step(before, loss, gradient, fresh, *, first, largest, longest, **numbers):
    assert numbers == lbfgs.NUMBERS
    state, system = lbfgs.State(**before), structures_of(first, largest)
    after, accepted = lbfgs.plain_step(state, loss, gradient, system, fresh, longest)
    return vars(after), accepted


def measure(trial, start, movable, loss, gradient, *, first, largest, hold, stiffness):
    system = structures_of(first, largest)
    batch = Batch(start, system, trial.new_zeros(len(loss), 3, 3), system, system)
    coordinates = Coordinates.fixed_cell(batch, movable)
    evaluation = SimpleNamespace(loss=loss, gradient=gradient)
    return plain_measure(coordinates, trial, evaluation, hold, stiffness)


def conclude(
    before, ends, trial, position, loss, size, accepted, *, first, largest, fmax, max_steps
):
    ended, number = before["ended"], before["system"]
    steps, better = before["steps"] + 1, loss < before["best_loss"]
    lost = ~torch.isfinite(loss + size) & ~ended
    converged = accepted & (size <= fmax)
    done = converged | lost | (steps >= max_steps)
    leaves = done & ~ended
    atoms = structures_of(first, largest)
    best = torch.where(better[atoms, None], trial, before["best"])
    ends["broken"][number[lost]] = True
    ends["converged"][number[~ended]] = converged[~ended]
    ends["n_steps"][number[leaves]] = steps[leaves]
    for name, rows in (("last", position), ("best", best)):
        ends[name][before["atom"][leaves[atoms]]] = rows[leaves[atoms]]
    return {
        "best": best,
        "best_loss": torch.where(better, loss, before["best_loss"]),
        "loss": torch.where(accepted, loss, before["loss"]),
        "steps": steps,
        "ended": ended | done,
    }
