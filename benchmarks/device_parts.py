"""Parts of a relaxation on one GPU, each timed alone: rows of ``device_check.py``'s tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from unittest.mock import patch

import numpy as np
import torch

from losiko_torch import Batch, EnvironmentDatabase
from losiko_torch.descriptors.evaluation import described
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.descriptors.soap.seen_pairs import PairsByKernels, PairsByTorch, pairs_seen
from losiko_torch.learned import together
from losiko_torch.learned.together import Together
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.settings import make_target
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.relaxation.batch_loop import begin
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.systems.pieces import pieces_of


@dataclass
class Clock:
    """Times work on a device, and prints it as rows of a table.

    Attributes:
        device: Device.
        times: Runs of which the median counts.
        began: When the check began.
    """

    device: str
    times: int = 5
    began: float = field(default_factory=time.perf_counter)

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def title(self, text: str, *columns: str) -> None:
        print(f"\n### {text} (after {time.perf_counter() - self.began:.0f} s)\n", flush=True)
        print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")

    def row(
        self,
        name: str,
        work: Callable[[], object],
        atoms: int = 0,
        flop: float = 0,
        size: float = 0,
    ) -> float:
        """Print milliseconds of a call, nanoseconds an atom, TFLOP/s and GB/s; return the first."""
        work()
        took = []
        for _ in range(self.times):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            took.append(1e3 * (time.perf_counter() - began))
        ms = float(np.median(took))
        cells = [
            f"{ms:.3f}",
            f"{1e6 * ms / atoms:.1f}" if atoms else "",
            f"{flop / ms / 1e9:.1f}" if flop else "",
            f"{size / ms / 1e6:.0f}" if size else "",
            f"{min(took):.3f} to {max(took):.3f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        return ms


PARTS = ("part", "ms", "ns an atom", "TFLOP/s", "GB/s", "spread, ms")


def ceilings(clock: Clock, n: int) -> None:
    """Time copies and products of the size of features and components."""
    clock.title("Ceilings", *PARTS)
    x = torch.rand(2**28 if clock.device == "cuda" else 2**12, device=clock.device)
    clock.row("copy", partial(torch.empty_like(x).copy_, x), size=2 * x.nbytes)
    f, r = 3696, 512
    a = torch.rand(n, f, device=clock.device) / 60
    b = torch.rand(f, r, device=clock.device) / 60
    flop = 2.0 * n * f * r
    clock.row("product float32", lambda: a @ b, n, flop)
    torch.backends.cuda.matmul.allow_tf32 = True
    clock.row("product tf32", lambda: a @ b, n, flop)
    torch.backends.cuda.matmul.allow_tf32 = False
    for kind in (torch.float16, torch.bfloat16):
        product = partial(torch.mm, a.to(kind), b.to(kind))
        clock.row(f"product {kind}".replace("torch.", ""), product, n, flop)
    # High and low halves: as exact as float32 on tensor cores.
    ah, bh = (256 * a).half(), (256 * b).half()
    al, bl = (256 * a - ah).half(), (256 * b - bh).half()

    def three() -> torch.Tensor:
        if clock.device != "cuda":
            return ah.float() @ bl.float() + al.float() @ bh.float() + ah.float() @ bh.float()
        found = torch.mm(ah, bl, out_dtype=torch.float32)
        found += torch.mm(al, bh, out_dtype=torch.float32)
        return found.add_(torch.mm(ah, bh, out_dtype=torch.float32))

    clock.row("product float16 x 3, three calls", three, n, flop)
    exact = a[:4096].double() @ b.double()
    errors = [
        float((each - exact).norm() / exact.norm())
        for each in (three()[:4096] / 65536, a[:4096] @ b)
    ]
    print(f"\nRelative errors: float16 x 3 {errors[0]:.1e}, float32 {errors[1]:.1e}.")


def learned_parts(clock: Clock, database: EnvironmentDatabase, batch: Batch) -> None:
    """Time the parts of an evaluation with learned targets."""
    objective = Objective(database, make_target("learned")).restricted(batch.numbers)
    n, model = batch.n_atoms, objective.model
    moving = torch.ones(n, dtype=torch.bool, device=clock.device)
    clock.title(f"An evaluation, learned targets, {n:,} atoms", *PARTS)
    clock.row("list of all pairs", lambda: objective.neighbors(batch, moving), n)
    neighbors = objective.neighbors(batch, moving)
    assert neighbors is not None
    mixed = model.descriptor
    assert isinstance(mixed, MixedSoap)

    def pairs() -> PairsByTorch | PairsByKernels:
        return pairs_seen(mixed.soap, batch, neighbors.active(batch))

    seen = pairs()
    around = described(mixed, batch, neighbors.active(batch))
    clock.row("vectors and weights of pairs", pairs, n)
    clock.row(
        "those, density and mixing", lambda: described(mixed, batch, neighbors.active(batch)), n
    )
    shape = n, (mixed.soap.l_max + 1) ** 2, mixed.n_channels
    some_mixed = torch.rand(shape, device=clock.device)
    unmixed = mixed.unmixed(some_mixed, batch.numbers)
    clock.row("mixing", lambda: mixed.mixed(unmixed, batch.numbers), n)
    clock.row("back from mixing", lambda: mixed.unmixed(some_mixed, batch.numbers), n)
    pulls = [torch.rand_like(each) for each in seen.density[:2]]
    clock.row("from pairs to atoms", lambda: seen.to_positions(*pulls), n)
    features = around.features()
    clock.row("power spectrum", around.features, n)
    some = next(iter(model.networks.values()))
    flop = 2.0 * features.shape[1] * some.whitening.shape[1] * n
    own = model.networks[6].to(features)
    clock.row("product to components", lambda: own.components(features), n, flop)
    y = own.components(features)
    members, r, width = own.w1.shape
    layers = 4.0 * n * members * (r * width + width * width)
    clock.row("networks and their slopes", lambda: own.values_and_slopes(y), n, layers)
    piece = pieces_of(batch.numbers)[0]
    own_rows, networks = features[piece.rows], Together.of(model.networks, features)
    # Slopes are written over features: times stay what they are.
    values = features.new_empty((model.members, n))
    work = partial(networks.values_and_slopes, own_rows, piece, values)
    clock.row("features to slopes, all elements, a piece of the atoms", work, len(own_rows))
    with patch.object(together, "gpu_kernel", lambda device, name: None):
        clock.row("the same, inner layers element by element", work, len(own_rows))
    slope = torch.randn_like(features)
    clock.row("back to positions", lambda: around.trace_back(slope), n)
    clock.row("spectrum, networks and back", lambda: model.traced_back(around, batch.numbers), n)
    clock.row(
        "whole evaluation",
        lambda: objective.evaluate(batch, active=neighbors.active(batch)),
        n,
    )
    clock.row("errors to expect", lambda: objective.expected_errors(batch), n)


def linear_parts(clock: Clock, database: EnvironmentDatabase, batch: Batch) -> None:
    """Time the parts of an evaluation with locally-linear targets, and what could replace them."""
    objective = Objective(database, make_target("locally-linear")).restricted(batch.numbers)
    n = batch.n_atoms
    clock.title(f"An evaluation, locally-linear targets, {n:,} atoms", *PARTS)
    around = described(objective.descriptor, batch)
    features = around.features()
    clock.row("power spectrum", around.features, n)
    elements = objective.elements(batch.numbers)
    clock.row("projection", lambda: objective.project(features, elements), n)
    components = objective.project(features, elements)
    clock.row("search and distances among them", lambda: objective.search(components, elements), n)
    matching, _ = objective.search(components, elements)
    places = torch.arange(n, device=clock.device)
    clock.row(
        "combination",
        lambda: objective.distances(components, elements, matching, places, None),
        n,
    )
    slope = objective.distances(components, elements, matching, places, None).slope
    clock.row("back to features", lambda: objective.by_features(slope, elements), n)
    back = objective.by_features(slope, elements)
    clock.row("back to positions", lambda: around.trace_back(back), n)
    rows, references = elements[0]
    width = references.basis.shape[1]
    own, rest, count = (
        components.values[rows, :width],
        components.rest[rows],
        min(64, references.usable),
    )
    clock.row(
        "search alone, first element", lambda: references.nearest(own, rest, count), len(rows)
    )
    squares = torch.cdist(own[:16384], references.vectors.to(own.dtype)[:2940])
    most = min(80, squares.shape[1])
    clock.row("topk 80", lambda: squares.topk(most, dim=1, largest=False), len(squares))
    size = min(len(rows), 32768 if clock.device == "cuda" else 16)
    systems = torch.rand(size, 64, 64, device=clock.device)
    systems = systems @ systems.mT / 64 + torch.eye(64, device=clock.device)
    ones = torch.ones(size, 64, device=clock.device)
    clock.row("64 x 64: LU", lambda: torch.linalg.solve_ex(systems, ones), size)
    clock.row("64 x 64: Cholesky", lambda: torch.linalg.cholesky_ex(systems), size)


def optimizer_parts(clock: Clock, batch: Batch, objective: Objective) -> None:
    """Time what a step does beside its evaluation."""
    clock.title(f"Beside the evaluation, {batch.n_atoms:,} atoms", *PARTS)
    n, count = batch.n_atoms, batch.n_systems
    optimizer = LBFGS()
    state = optimizer.init(batch.positions, count)
    loss, gradient = torch.rand(count, device=clock.device), torch.randn_like(batch.positions)
    every = torch.ones(count, dtype=torch.bool, device=clock.device)
    clock.row("L-BFGS", lambda: optimizer.step(state, loss, gradient, batch.system_idx, every), n)
    here = Coordinates.fixed_cell(batch, torch.ones_like(batch.positions))
    progress = begin(objective, here, every, optimizer)
    stays = torch.rand(count, device=clock.device) < 0.8
    clock.row("compaction to 80 %", lambda: progress.keep(stays), n)
