"""Kernels that a GPU alone has, in plain torch: they stand in for it on a processor."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from losiko_kernels import TILE

from losiko_torch import Batch
from losiko_torch.accelerators import kernels_for
from losiko_torch.descriptors.soap import mixed, seen_pairs
from losiko_torch.descriptors.soap.neighbor_weights import smooth_cutoff, smooth_cutoff_slope
from losiko_torch.learned import together
from losiko_torch.learned.folded import Folded
from losiko_torch.optimizers import lbfgs
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.measuring import plain_measure
from losiko_torch.systems import by_structure

#: Names of the kernels that have a function of the same name here.
NAMES = (
    *("pair_geometry", "gradient_of_atoms", "mix", "inner_layers"),
    *("measure", "lbfgs_step", "conclude"),
)


def put_in(monkeypatch):
    """Let the processor, which has no such kernels, go the way of a GPU."""
    kernels = kernels_for(torch.device("cpu"))
    for name in NAMES:
        monkeypatch.setattr(kernels, name, globals()[name], raising=False)
    let_go_by(monkeypatch, kernels)


def let_go_by(monkeypatch, kernels):
    """Let the processor take the kernels of a module as a GPU does."""
    for module in (seen_pairs, mixed, together, by_structure):
        monkeypatch.setattr(module, "gpu_kernel", lambda device, name: getattr(kernels, name))


def pair_geometry(positions, center, neighbor, channel, cutoff, width):
    vectors = positions[neighbor] - positions[center]
    r2 = vectors.square().sum(1)
    near = r2 <= cutoff**2
    weights, slopes = torch.ones_like(r2), torch.zeros_like(r2)
    if width > 0:
        weights, slopes = smooth_cutoff(r2, cutoff, width), smooth_cutoff_slope(r2, cutoff, width)
    nearby = [torch.where(near, each, 0.0) for each in (weights, slopes)]
    return torch.where(near[:, None], vectors, 0.0), *nearby, channel[neighbor]


def gradient_of_atoms(by_vectors, by_weights, vectors, slopes, first, incoming, first_incoming):
    pull = by_vectors + (2 * by_weights * slopes)[:, None] * vectors
    none = pull.new_zeros((len(first) - 1, 3))
    ahead = none.index_add(0, _numbers(first_incoming), pull[incoming])
    return ahead - none.index_add(0, _numbers(first), pull)


def mix(values, rows, tiles, place, matrices, back):
    matrices = matrices.transpose(2, 3) if back else matrices
    orders = 2 * torch.arange(matrices.shape[1]) + 1
    of_rows = matrices.repeat_interleave(orders, 1)
    out = values.new_full((*values.shape[:2], matrices.shape[3]), torch.nan)
    for number, first, end in tiles.tolist():
        assert 0 < end - first <= TILE
        some = rows[first:end]
        out[some] = torch.einsum("nma,mab->nmb", values[some], of_rows[place[number]])
    return out


def lbfgs_step(before, loss, gradient, fresh, *, first, largest, longest, **numbers):
    assert numbers == lbfgs.NUMBERS
    state, system = lbfgs.State(**before), _numbers(first, largest)
    after, accepted = lbfgs.plain_step(state, loss, gradient, system, fresh, longest)
    return vars(after), accepted


def inner_layers(z1, between, values, rows, tiles, place, w2, b2, w3, minus):
    between.fill_(torch.nan)
    for number, first, end in tiles.tolist():
        assert 0 < end - first <= TILE
        of, some = place[number], slice(first, end)
        weights = w2[of], b2[of, :, None], w3[of, :, :, None], minus[of, :, None, None]
        own = values.new_empty(len(values), end - first)
        Folded(None, None, None, *weights).inner(z1[some], own)
        values[:, rows[some]] = own


def measure(trial, start, movable, loss, gradient, *, first, largest, hold, stiffness):
    system = _numbers(first, largest)
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
    atoms = _numbers(first, largest)
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


def _numbers(first, largest=None):
    """Return the number of each entry, given the first one of each number."""
    counts = first.diff()
    assert largest is None or largest == counts.max()
    return torch.repeat_interleave(torch.arange(len(counts)), counts)
