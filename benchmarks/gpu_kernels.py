"""Triton's kernels and plain torch on one NVIDIA GPU: atoms a second, and how far from the floor.

    python benchmarks/gpu_kernels.py [--atoms 100000]

Clusters of 15 to 18 atoms like those of QM9, made up on the spot; single precision. The floor of a
kernel is what it must move at the speed of a copy, or what it must multiply at the speed of a
matrix product without TF32, whichever takes longer; both speeds are measured first. What it must
move is each input and each output once; what it must multiply leaves out the harmonics, padding and
second passes.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import torch

from losiko_torch import SOAP, Batch
from losiko_torch.descriptors.soap.compiled import table_of
from losiko_torch.systems.neighbors import Pairs, find_pairs

SPECIES = ["H", "C", "N", "O", "F"]
#: Shares of the elements, about those of QM9.
SHARES = torch.tensor([0.5, 0.35, 0.07, 0.07, 0.01])
SETTINGS = [
    {"r_cut": 4.0, "n_max": 6, "l_max": 6, "sigma": 0.5},
    {"r_cut": 3.0, "n_max": 8, "l_max": 6, "sigma": 0.3},
]


def clusters(n_atoms: int, device: torch.device) -> Batch:
    """Random atoms in boxes of 10 cubic Angstrom an atom."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(15, 19, (math.ceil(n_atoms / 16.5),), generator=generator)
    system = torch.repeat_interleave(torch.arange(len(counts)), counts)
    edges = (10.0 * counts) ** (1 / 3)
    positions = torch.rand(len(system), 3, generator=generator) * edges[system, None]
    numbers = torch.tensor([1, 6, 7, 8, 9])
    element = torch.multinomial(SHARES, len(system), replacement=True, generator=generator)
    cells = torch.eye(3).expand(len(counts), 3, 3).contiguous()
    pbc = torch.zeros(len(counts), 3, dtype=torch.bool)
    parts = positions, numbers[element], cells, pbc, system
    return Batch(*(part.to(device) for part in parts))


class Work(NamedTuple):
    """A call to time, the bytes it must move, and the products it must compute (and add)."""

    name: str
    run: Callable[[], object]
    bytes: float = 0.0
    products: float = 0.0


def kernel_works(soap: SOAP, batch: Batch, pairs: Pairs, target: torch.Tensor) -> list[Work]:
    from losiko_kernels.gpu.density import expand_density, expand_density_backward
    from losiko_kernels.gpu.distance import distance
    from losiko_kernels.gpu.power_spectrum import power_spectrum_backward, unit_power_spectrum

    table = table_of(soap, batch.positions)
    vectors = pairs.vectors(batch)
    element = soap.element_of_number[batch.numbers][pairs.neighbor]
    counts = torch.bincount(pairs.center, minlength=batch.n_atoms)
    first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    inputs = vectors, None, first, element, len(SPECIES), table
    c = expand_density(*inputs)
    p, length = unit_power_spectrum(c, soap.n_max)
    _, grad_c = distance(c, target, soap.n_max)

    def gradient() -> tuple[torch.Tensor, torch.Tensor]:
        c = expand_density(*inputs)
        d, grad_c = distance(c, target, soap.n_max)
        of_vectors, _ = expand_density_backward(grad_c, None, *inputs)
        of_positions = torch.zeros_like(batch.positions).index_add_(0, pairs.neighbor, of_vectors)
        return d, of_positions.index_add_(0, pairs.center, of_vectors, alpha=-1)

    n, orders, channels = c.shape
    n_pairs, n_max, degrees = len(vectors), soap.n_max, soap.l_max + 1
    geometry = n_pairs * (vectors.element_size() * 3 + element.element_size())
    of_c, of_p = c.nbytes, p.nbytes
    triangle, square = channels * (channels + 1) // 2, channels**2
    radial = n_pairs * n_max * degrees
    expand = n_pairs * orders * n_max + 5 * radial
    contract = 2 * n_pairs * orders * n_max + 9 * radial
    fused = n * orders * (triangle + square)
    return [
        Work("expand_density", lambda: expand_density(*inputs), geometry + of_c, expand),
        Work(
            "expand_density_backward",
            lambda: expand_density_backward(grad_c, None, *inputs),
            geometry + of_c + vectors.nbytes,
            contract,
        ),
        Work(
            "unit_power_spectrum",
            lambda: unit_power_spectrum(c, n_max),
            of_c + of_p,
            n * orders * triangle,
        ),
        Work(
            "power_spectrum_backward",
            lambda: power_spectrum_backward(c, length, target, n_max),
            2 * of_c + of_p,
            fused,
        ),
        Work("distance", lambda: distance(c, target, n_max), 2 * of_c + of_p, fused),
        Work(
            "distance by positions (three kernels, sums)",
            gradient,
            2 * geometry + 4 * of_c + of_p,
            expand + contract + fused,
        ),
    ]


def torch_works(soap: SOAP, batch: Batch, pairs: Pairs, target: torch.Tensor) -> list[Work]:
    def values() -> torch.Tensor:
        with torch.no_grad():
            return torch.nn.functional.normalize(soap(batch, pairs=pairs), dim=1)

    def gradient() -> tuple[torch.Tensor, torch.Tensor]:
        moved = batch.with_positions(batch.positions.clone().requires_grad_())
        p = torch.nn.functional.normalize(soap(moved, pairs=pairs), dim=1)
        d = (p - target).square().sum(1)
        return d.detach(), torch.autograd.grad(d.sum(), moved.positions)[0]

    return [Work("plain torch: features", values), Work("plain torch: distance", gradient)]


def seconds(work: Callable[[], object]) -> float:
    from triton.testing import do_bench

    return do_bench(work, return_mode="median") / 1000


def speed_of_copy(device: torch.device) -> float:
    """Bytes a second, read and written."""
    source = torch.zeros(2**28, device=device)
    copy = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: copy.copy_(source))


def speed_of_products(device: torch.device) -> float:
    """Multiplications with addition a second, in single precision."""
    torch.backends.cuda.matmul.allow_tf32 = False
    matrix = torch.rand(8192, 8192, device=device)
    return 8192**3 / seconds(lambda: matrix @ matrix)


def compare(kernels: list[Work], plain: list[Work]) -> str:
    d, gradient = kernels[-1].run()
    exact_d, exact = plain[-1].run()
    off, off_d = (gradient - exact).abs().max(), (d - exact_d).abs().max()
    return (
        f"largest difference from plain torch: distance {off_d:.1e} (of {exact_d.max():.2f}), "
        f"gradient {off:.1e} (of {exact.abs().max():.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, default=100_000)
    n_atoms = parser.parse_args().atoms
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU and a build of torch for it")
    device = torch.device("cuda")
    copy, products = speed_of_copy(device), speed_of_products(device)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"copies {copy / 1e9:,.0f} GB/s, multiplies {products / 1e12:.1f} T/s (float32)")
    batch = clusters(n_atoms, device)
    for setting in SETTINGS:
        soap = SOAP(species=SPECIES, **setting).to(device)
        pairs = find_pairs(batch, soap.cutoff, False)
        features = soap.get_number_of_features()
        target = torch.nn.functional.normalize(
            torch.rand(batch.n_atoms, features, device=device), dim=1
        )
        print(f"\n{soap.summary()}\n{batch.n_atoms} atoms, {len(pairs.center)} pairs")
        kernels = kernel_works(soap, batch, pairs, target)
        plain = torch_works(soap, batch, pairs, target)
        print(compare(kernels, plain))
        print("| | ms | million atoms/s | GB to move | GB/s | floor, ms | share of the floor |")
        print("|---|---|---|---|---|---|---|")
        for work in [*kernels, *plain]:
            took = seconds(work.run)
            row = f"| {work.name} | {1e3 * took:.3f} | {batch.n_atoms / took / 1e6:.2f} |"
            if work.bytes:
                floor = max(work.bytes / copy, work.products / products)
                row += f" {work.bytes / 1e9:.2f} | {work.bytes / took / 1e9:,.0f} |"
                row += f" {1e3 * floor:.3f} | {floor / took:.0%} |"
            print(row, flush=True)
        del kernels, plain, target
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
