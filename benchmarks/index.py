"""Ways to find the nearest of very many references: how many are found, how fast, in what memory.

    python benchmarks/index.py [--database qm9.losiko | --molecules 20000] [--elements H C]

Queries are atoms of 60 molecules of the database, undisturbed and with N(0, 0.1 A) on every
coordinate; the molecules' own environments are left out. The exact answer, and the time that
others are compared with, is that of the package's search through all references
(``warm_start.near_known_search``). All others find candidates in the first components; exact
distances in float64 choose among them. One core; recall@k: the share of the k nearest
that is found.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import common
import faiss
import numpy as np
import torch
from ase.data import atomic_numbers

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.database.building.describe import describe
from losiko_torch.database.element import Environments
from losiko_torch.search import inverted_lists as lists
from losiko_torch.search.exact import _nearest_of
from losiko_torch.search.warm_start import near_known_search

#: Molecules whose atoms are searched, and atoms of an element at most.
MOLECULES, ATOMS = 60, 500
NOISE = 0.1
#: References that a relaxation needs, and candidates that FAISS returns.
K, CANDIDATES = 64, 512
HEADER = (
    "| element | search | made in (s) | memory (MB) | 1,000 noisy queries (s) | times as fast "
    "| recall@1, recall@64 noisy | undisturbed |\n" + "|---" * 8 + "|"
)

#: ``components (n, r) -> indices (n, K)``
Find = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Queries:
    """Components of atoms of one element, (n, r)."""

    noisy: torch.Tensor
    undisturbed: torch.Tensor


def queries_of(database: EnvironmentDatabase, number: int, molecules: list) -> Queries:
    part = database.environments[number]

    def components(structures: list) -> torch.Tensor:
        numbers = np.concatenate([atoms.numbers for atoms in structures])
        rows = torch.from_numpy(np.flatnonzero(numbers == number))
        return part.project(describe(structures, database.descriptor)[rows[:ATOMS]])[0]

    return Queries(components(common.with_noise(molecules, NOISE)), components(molecules))


def exactly(part: Environments) -> Find:
    search = near_known_search(part.vectors)
    assert search is not None, "numba is not installed"
    return lambda queries: search(queries, K, None)[1]


def in_lists(times: float, dimensions: int, looked_at: list[float]) -> dict[str, Callable]:
    """Searches in the package's lists, by lists and references compared (both times sqrt(N))."""
    divided: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def make(part: Environments, seen: float) -> Find:
        lists.LISTS, lists.DIMENSIONS, lists.LOOKED_AT = times, dimensions, seen
        if id(part) not in divided:
            found = lists.divided(part.vectors)
            assert found is not None
            divided[id(part)] = found
        search = lists.list_search(part.vectors, *divided[id(part)])
        return lambda queries: search(queries, K, None)[1]

    name = f"lists, {times:g} sqrt(N), {dimensions} components"
    return {
        f"{name}, {seen:g} sqrt(N) looked at": lambda part, seen=seen: make(part, seen)
        for seen in looked_at
    }


def by_faiss(factory: str, dimensions: int, effort: int) -> Callable[[Environments], Find]:
    """Search by a FAISS index over the first components; ``effort``: lists probed, or efSearch."""

    def make(part: Environments) -> Find:
        short = part.vectors[:, :dimensions].contiguous().numpy()
        n_lists = int(lists.LISTS * len(short) ** 0.5)
        index = faiss.index_factory(short.shape[1], factory.format(n_lists))
        index.train(short)
        index.add(short)
        if "IVF" in factory:
            index.nprobe = effort
        elif "HNSW" in factory:
            index.hnsw.efSearch = effort

        def find(queries: torch.Tensor) -> torch.Tensor:
            asked = queries[:, :dimensions].float().contiguous().numpy()
            _, found = index.search(asked, CANDIDATES)
            candidates = torch.from_numpy(found)
            # FAISS has -1 where it finds too few: the first reference stands in.
            return _nearest_of(queries, part.vectors, candidates.clamp(min=0), K)[1]

        return find

    return make


WAYS: dict[str, Callable[[Environments], Find]] = {
    "FAISS flat, all components": by_faiss("Flat", 10_000, 0),
    **in_lists(2, 64, [6]),
    **in_lists(4, 32, [6]),
    **in_lists(4, 64, [4, 6, 8, 16]),
    "FAISS IVF-flat, 64 components, 32 lists probed": by_faiss("IVF{},Flat", 64, 32),
    "FAISS IVF fp16, 64 components, 32 lists probed": by_faiss("IVF{},SQfp16", 64, 32),
    "FAISS IVF SQ8, 64 components, 32 lists probed": by_faiss("IVF{},SQ8", 64, 32),
    "FAISS IVF-PQ32, 64 components, 32 lists probed": by_faiss("IVF{},PQ32", 64, 32),
    "FAISS HNSW32, 64 components, efSearch 512": by_faiss("HNSW32", 64, 512),
}


def resident() -> float:
    """Memory of this process now, in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def shares(found: torch.Tensor, wanted: torch.Tensor) -> str:
    first = (found[:, 0] == wanted[:, 0]).float().mean()
    all_ = (found[:, :, None] == wanted[:, None, :]).any(2).float().mean()
    return f"{first:.4f}, {all_:.4f}"


def compare(symbol: str, part: Environments, queries: Queries, chosen: str) -> None:
    exact = exactly(part)
    exact(queries.noisy[:3])  # kernels are compiled on first use
    began = time.perf_counter()
    wanted = Queries(exact(queries.noisy), torch.empty(0))
    base = (time.perf_counter() - began) / len(queries.noisy)
    wanted = Queries(wanted.noisy, exact(queries.undisturbed))
    print(f"| {symbol} | all {len(part):,} references: exact | - | - | {1000 * base:.2f} | 1 | | |")
    for name, make in WAYS.items():
        if chosen not in name:
            continue
        before, began = resident(), time.perf_counter()
        find = make(part)
        made, memory = time.perf_counter() - began, resident() - before
        find(queries.noisy[:3])
        began = time.perf_counter()
        found = find(queries.noisy)
        took = (time.perf_counter() - began) / len(queries.noisy)
        print(
            f"| {symbol} | {name} | {made:.0f} | {memory:.0f} | {1000 * took:.3f} "
            f"| {base / took:.1f} | {shares(found, wanted.noisy)} "
            f"| {shares(find(queries.undisturbed), wanted.undisturbed)} |",
            flush=True,
        )
        del find


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--database", help="of QM9's molecules, with their numbers (id)")
    parser.add_argument("--molecules", type=int, default=20_000, help="of a database made here")
    parser.add_argument("--elements", nargs="+", default=["H"])
    parser.add_argument("--ways", default="", help="only those with this text in their name")
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    if arguments.database:
        database = EnvironmentDatabase.load(arguments.database)
    else:
        soap = SOAP(species=common.SPECIES, **common.SHARP)
        database = EnvironmentDatabase.build(qm9.spaced(arguments.molecules, []), soap)
    database = database.searched_whole()
    rng = np.random.default_rng(0)
    out = rng.choice(len(database.structures), MOLECULES, replace=False).tolist()
    place = {int(number): k for k, number in enumerate(qm9.ids)}
    molecules = [qm9.molecule(place[database.structures[k]["id"]]) for k in out]
    rest = database.without(out)
    print(f"{rest}, one core\n\n{HEADER}", flush=True)
    for symbol in arguments.elements:
        number = atomic_numbers[symbol]
        compare(
            symbol, rest.environments[number], queries_of(rest, number, molecules), arguments.ways
        )


if __name__ == "__main__":
    main()
