"""Runs that survive, streams of good and broken structures, memory, throughput and workers.

    python benchmarks/runs.py kills       [--molecules 150] [--runs 20]
    python benchmarks/runs.py broken      [--molecules 10000]
    python benchmarks/runs.py memory      [--molecules 1000 100000] [--max-steps 2]
    python benchmarks/runs.py throughput  [--molecules 1000] [--rounds 3]
    python benchmarks/runs.py workers     [--molecules 1000]

QM9 molecules with N(0, 0.1 A) on every coordinate and the paper's 359-molecule database (sharp
descriptor), through `losiko relax` from file to file where nothing else is said, one thread a
process. What is measured:

kills: each run is killed (SIGKILL) at a random moment, then killed again at another, then resumed
    to its end: structures and table are compared, byte by byte, with those of a run that nothing
    interrupted.
broken: one in a hundred is broken on purpose, in five ways in turn (a coordinate that is not a
    number, atoms on one spot, an element that the database lacks, a frame of no known element, no
    atoms); all must come out in order, the broken ones with their reasons.
memory: the peak of resident memory of the process, by the number of molecules.
throughput: molecules a second of the stream, reading and writing included, over those of `relax`
    on a list in memory, alternating in one process.
workers: molecules a second of two workers on a core each over those of one, counted from the first
    results to the last, so without the start of processes; then two again, one of them killed.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np
from archive_run import same
from ase import Atoms
from ase.io.extxyz import write_xyz

from losiko_torch import EnvironmentDatabase, read_structures, relax, relax_iter
from losiko_torch.io.writers import result_file
from losiko_torch.relaxation.execute import Workers, execute
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.settings import Settings
from losiko_torch.runs.folder import RunFolder
from losiko_torch.systems.names import SOURCE

NOISE = 0.1
PROGRAM = [sys.executable, "-c", "from losiko_torch.cli import main; main()", "relax"]
#: Atoms of a batch small enough for many shards.
SMALL = 100
#: Kinds of broken structures, and a part of the reason that is reported.
BROKEN = {
    "not a number": "not a finite number",
    "one spot": "lie within",
    "unknown to the database": "does not know",
    "no element": "cannot be read",
    "empty": "no atoms",
}


def noisy(count: int) -> Iterator[Atoms]:
    """Yield noisy molecules of a random order, one by one."""
    qm9 = common.QM9()
    rng = np.random.default_rng(common.REPORTING_SEED)
    for k in rng.permutation(qm9.others)[:count]:
        yield from common.with_noise([qm9.molecule(k)], NOISE, seed=int(k))


def write(path: Path, molecules: Iterator[Atoms]) -> None:
    with path.open("w") as file:
        for atoms in molecules:
            write_xyz(file, atoms)


def frame(atoms: Atoms, kind: str) -> str:
    """Extended xyz of a molecule, broken in one of the ways or in none."""
    if kind == "not a number":
        atoms.positions[0] = np.nan
    elif kind == "one spot":
        atoms.positions[1] = atoms.positions[0]
    elif kind == "unknown to the database":
        atoms.numbers[0] = 14
    elif kind == "empty":
        atoms = Atoms()
    text = io.StringIO()
    write_xyz(text, atoms)
    if kind != "no element":
        return text.getvalue()
    count, comment, first, *rest = text.getvalue().split("\n")
    return "\n".join([count, comment, f"Zq{first[2:]}", *rest])


def relaxing(folder: Path, *more: str) -> list[str]:
    return [*PROGRAM, str(folder / "in.xyz"), "-d", str(folder / "paper.losiko"), *more]


def wait(command: list[str]) -> float:
    """Run a command and return its seconds; exit unless it ends well, broken structures or not."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    return time.perf_counter() - began


def kills(folder: Path, molecules: int, runs: int) -> None:
    write(folder / "in.xyz", noisy(molecules))
    settings = ("--batch-atoms", "60")
    wait(relaxing(folder, "--run", str(folder / "warm"), *settings))
    whole = folder / "whole"
    length = wait(relaxing(folder, "--run", str(whole), *settings))
    rng = np.random.default_rng(0)
    identical, killed, done_before = 0, 0, []
    for number in range(runs):
        command = relaxing(folder, "--run", str(folder / f"run{number}"), *settings)
        for _ in range(2):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(rng.uniform(0, length))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
            if (folder / f"run{number}" / "run.json").exists():
                done_before.append(len(RunFolder.open(folder / f"run{number}").table()))
        wait(command)
        ended = RunFolder.open(folder / f"run{number}")
        identical += same(ended, RunFolder.open(whole))
    print(f"a run of {molecules:,} molecules takes {length:.1f} s; {runs} runs killed twice each,")
    print(f"{killed} of these {2 * runs} times before they had ended; structures done by then: ")
    print(f"{min(done_before)} to {max(done_before)}, median {np.median(done_before):.0f}")
    print(f"identical to the uninterrupted run: {identical} of {runs}")


def broken(folder: Path, molecules: int) -> None:
    kinds = list(BROKEN)
    with (folder / "in.xyz").open("w") as file:
        for number, atoms in enumerate(noisy(molecules)):
            atoms.info["number"] = number
            file.write(
                frame(atoms, kinds[number // 100 % len(kinds)] if number % 100 == 50 else "")
            )
    took = wait(relaxing(folder, "-o", str(folder / "out.xyz")))
    wrong = good = 0
    reasons = dict.fromkeys(kinds, 0)
    for number, atoms in enumerate(read_structures(folder / "out.xyz")):
        in_order = atoms.info[SOURCE] == f"in.xyz@{number}"
        reason = atoms.info["losiko_reason"]
        if number % 100 == 50:
            kind = kinds[number // 100 % len(kinds)]
            fits = reason.startswith("failed: ") and BROKEN[kind] in reason
            reasons[kind] += fits
        else:
            fits = reason in ("converged", "max_steps") and atoms.info["number"] == number
            good += fits
        wrong += not (in_order and fits)
    print(
        f"{molecules:,} structures in {took:.0f} s: {good:,} good ones relaxed; broken ones told:"
    )
    print(", ".join(f"{count} {kind}" for kind, count in reasons.items()))
    print(f"out of order or with another fate: {wrong}; frames written: {number + 1:,}")


def memory(folder: Path, counts: list[int], max_steps: int) -> None:
    print("| molecules | peak memory (MB) | seconds |\n|---|---|---|")
    for count in counts:
        write(folder / "in.xyz", noisy(count))
        command = relaxing(
            folder, "-o", str(folder / f"{count}.xyz"), "--max-steps", str(max_steps)
        )
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"it failed: {status}")
        took = time.perf_counter() - began
        print(f"| {count:,} | {usage.ru_maxrss * 1024 / 1e6:,.0f} | {took:.0f} |", flush=True)


def throughput(folder: Path, molecules: int, rounds: int) -> None:
    write(folder / "in.xyz", noisy(molecules))
    in_memory = list(read_structures(folder / "in.xyz"))
    database = EnvironmentDatabase.load(folder / "paper.losiko")

    def stream() -> None:
        with result_file(folder / "out.xyz", overwrite=True) as add:
            for result in relax_iter(folder / "in.xyz", database):
                add([result])

    took = common.in_rounds({"list": lambda: relax(in_memory, database), "stream": stream}, rounds)
    ratios = took["list"] / took["stream"]
    print(
        f"{molecules:,} molecules: {molecules / took['list'].mean():.1f} molecules/s from a list, "
    )
    print(f"{molecules / took['stream'].mean():.1f} from file to file: ratio {ratios.mean():.3f}")
    print("in each round", ratios.round(3).tolist())


def workers(folder: Path, molecules: int) -> None:
    database = EnvironmentDatabase.load(folder / "paper.losiko")
    structures = list(noisy(molecules))
    expected = relax(structures, database, batch_atoms=SMALL)

    def rate(count: int, kill: bool = False) -> tuple[float, bool]:
        """Molecules a second after the first shard, and whether all are as expected."""
        relaxer = Relaxer.make(structures, database, Settings(batch_atoms=SMALL))
        results, began, before = [], 0.0, 0
        for shard in execute(relaxer, structures, Workers(count)):
            results += shard.results
            if not began:
                began, before = time.perf_counter(), len(results)
            if kill and len(results) > molecules // 3:
                kill = False
                os.kill(worker_processes()[0], signal.SIGKILL)
        took = time.perf_counter() - began
        results.sort(key=lambda result: result.number)
        same = len(results) == len(expected) and all(
            np.array_equal(one.atoms.positions, other.atoms.positions)
            and one.reason == other.reason
            for one, other in zip(results, expected, strict=True)
        )
        return (molecules - before) / took, same

    one, same_one = rate(1)
    two, same_two = rate(2)
    print(f"one worker {one:.1f} molecules/s, two {two:.1f}: {two / one:.2f} times as many")
    _, same_killed = rate(2, kill=True)
    print(f"same results as one process, bit by bit: one worker {same_one}, two {same_two}, two of")
    print(f"which one was killed {same_killed}")


def worker_processes() -> list[int]:
    """Process ids of Ray's workers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::_Worker" in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["kills", "broken", "memory", "throughput", "workers"])
    parser.add_argument("--molecules", type=int, nargs="+")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=2)
    asked = parser.parse_args()
    common.one_core()
    counts = asked.molecules
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common.QM9().paper_database(**common.SHARP).save(folder / "paper.losiko")
        if asked.what == "kills":
            kills(folder, *(counts or [150]), asked.runs)
        elif asked.what == "broken":
            broken(folder, *(counts or [10_000]))
        elif asked.what == "memory":
            memory(folder, counts or [1000, 100_000], asked.max_steps)
        elif asked.what == "throughput":
            throughput(folder, *(counts or [1000]), asked.rounds)
        else:
            workers(folder, *(counts or [1000]))


if __name__ == "__main__":
    main()
