"""``losiko relax``: move the atoms, write them, say what became of each structure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.text import Text

from losiko_torch.cli import tables
from losiko_torch.cli.console import progress, stdout
from losiko_torch.cli.inputs import (
    WHAT,
    DatabaseFile,
    Degree,
    Device,
    Dtype,
    Fmax,
    Force,
    Neighbors,
    NoPbc,
    ReferenceWeights,
    Reg,
    Structures,
    Targets,
    Weights,
    input_files,
    name_of,
    open_database,
    read_inputs,
)
from losiko_torch.cli.later import refuse_later
from losiko_torch.cli.relax_options import (
    Cell,
    ConstantVolume,
    HydrostaticStrain,
    MaxSteps,
    Movable,
    Noise,
    Optimizer,
    Schedule,
    Seed,
    StartNoise,
    Starts,
    StrainMask,
    Symprec,
    parse_noise,
    parse_strain_mask,
)
from losiko_torch.method import START_NOISE, Method
from losiko_torch.outputs import check_output
from losiko_torch.relaxation import relax as relax_structures
from losiko_torch.results import Result
from losiko_torch.schedule import parse_schedule
from losiko_torch.selection import selection
from losiko_torch.similarity import Similarity
from losiko_torch.writing import SUFFIXES, write_results

Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT.extxyz",
        show_default=False,
        help="Relaxed structures, in input order.",
        rich_help_panel=WHAT,
    ),
]

COLUMNS = {
    "structure": "fold",
    "formula": "fold",
    "result": "left",
    "steps": "right",
    "start\nloss": "right",
    "loss": "right",
    "largest\ndistance": "right",
    "worst\natom": "left",
}


def relax(
    structures: Structures,
    output: Output,
    database: DatabaseFile = None,
    force: Force = False,
    no_pbc: NoPbc = False,
    optimizer: Optimizer = "lbfgs",
    targets: Targets = "locally-linear",
    n_neighbors: Neighbors = None,
    reg: Reg = None,
    degree: Degree = 1.0,
    weights: Weights = None,
    reference_weights: ReferenceWeights = None,
    max_steps: MaxSteps = None,
    fmax: Fmax = None,
    movable: Movable = None,
    cell: Cell = False,
    strain_mask: StrainMask = None,
    hydrostatic_strain: HydrostaticStrain = False,
    constant_volume: ConstantVolume = False,
    symprec: Symprec = None,
    schedule: Schedule = None,
    noise: Noise = None,
    n_starts: Starts = 1,
    start_noise: StartNoise = START_NOISE,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    run: Annotated[Path | None, typer.Option("--run", hidden=True)] = None,
) -> int:
    """Move atoms until their surroundings look like those of known good structures.

    Each atom is compared with the references of its element; the loss is the sum of the squared
    distances of their descriptors, without units, 0 where every atom is matched. FixAtoms and
    FixCartesian in the structures are honoured. The output is extended xyz with losiko_loss,
    losiko_start_loss, losiko_converged, losiko_steps, losiko_reason and losiko_source for each
    structure and losiko_distance for each atom. Structures that cannot be relaxed are written
    unmoved, with the reason, and make the exit status 1.

    Example: [bold]losiko relax guesses.xyz -o relaxed.extxyz[/bold]

    Example: [bold]losiko relax POSCAR -d si-o.losiko --cell -o relaxed.extxyz[/bold]

    Example: [bold]losiko relax slab.xyz -d si-o.losiko --movable "within 5 of z=12.5" --noise
    0.2,0.05 -o relaxed.extxyz[/bold]
    """
    refuse_later(run)
    how: dict[str, Any] = {
        "optimizer": optimizer,
        "targets": targets,
        "n_neighbors": n_neighbors,
        "reg": reg,
        "max_steps": max_steps,
        "fmax": fmax,
        "cell": cell,
        "strain_mask": parse_strain_mask(strain_mask),
        "hydrostatic_strain": hydrostatic_strain,
        "constant_volume": constant_volume,
        "symprec": symprec,
        "schedule": [] if schedule is None else parse_schedule(schedule),
        "noise": parse_noise(noise),
        "n_starts": n_starts,
        "start_noise": start_noise,
        "seed": seed,
    }
    # Before anything is read, which may take long.
    Method.make(**how)
    Similarity.make(targets, n_neighbors, reg, degree, weights)
    selected = None if movable is None else selection(movable)
    check_output(output, input_files(structures, database), force, SUFFIXES)
    inputs = read_inputs(structures, no_pbc)
    references = open_database(database, reference_weights)
    start = time.perf_counter()
    with progress("relaxing", len(inputs)) as done:
        results = relax_structures(
            inputs,
            references,
            degree=degree,
            weights=weights,
            movable=selected,
            device=device,
            dtype=dtype,
            progress=done,
            **how,
        )
    seconds = time.perf_counter() - start
    write_results(results, output, overwrite=force)
    _print_table(results)
    _print_summary(results, seconds, f"against {name_of(database)}", output)
    return 1 if any(result.failed for result in results) else 0


def _status(result: Result) -> Text:
    if result.failed:
        return Text("failed", style="red")
    if result.converged:
        return Text("converged", style="green")
    return Text("step limit", style="yellow")


def _badness(result: Result) -> tuple[float, ...]:
    """Failures first, then what did not converge, then by the atom that is matched worst."""
    largest = tables.largest(result.distances)
    return (result.failed, not result.converged, 0.0 if np.isnan(largest) else largest)


def _print_table(results: list[Result]) -> None:
    rows, title = tables.chosen_rows([_badness(result) for result in results], None)
    table = tables.structure_table(title, COLUMNS)
    for k in rows:
        result = results[k]
        table.add_row(
            Text(tables.source_of(result.atoms, k)),
            tables.formula_of(result.atoms),
            _status(result),
            str(result.n_steps),
            tables.as_loss(result.start_loss),
            tables.as_loss(result.loss),
            tables.as_loss(tables.largest(result.distances)),
            tables.worst_atom(result.atoms, result.distances),
        )
    stdout().print(table)


def _print_summary(results: list[Result], seconds: float, against: str, output: Path) -> None:
    relaxed = [result for result in results if not result.failed]
    converged = sum(result.converged for result in relaxed)
    failures = [
        (tables.source_of(result.atoms, k), result.reason.removeprefix("failed: "))
        for k, result in enumerate(results)
        if result.failed
    ]
    out = stdout()
    tables.print_failures(failures, "failed, written unmoved")
    steps = ""
    if relaxed:
        steps = f"median {np.median([result.n_steps for result in relaxed]):.0f} steps, "
    out.print(
        Text(
            f"{len(relaxed):,} of {tables.plural(len(results), 'structure')} relaxed {against}: "
            f"{converged:,} converged, {len(relaxed) - converged:,} at the step limit, "
            f"{len(failures):,} failed; {steps}{seconds:.1f} s",
            style="bold",
        )
    )
    out.print(Text(f"written to {output}"))
