"""``losiko relax``: move the atoms, write them, say what became of each structure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from losiko_torch.cli.inputs import (
    WHAT,
    BatchAtoms,
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
)
from losiko_torch.cli.relax_options import (
    AsFinished,
    Cell,
    ConstantVolume,
    HydrostaticStrain,
    MaxSteps,
    Movable,
    Noise,
    Optimizer,
    RayAddress,
    Schedule,
    Seed,
    StartNoise,
    Starts,
    StrainMask,
    Symprec,
    WorkerCount,
    parse_noise,
    parse_strain_mask,
)
from losiko_torch.cli.relax_run import Asked, Workers, relax_into_file, relax_into_folder
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output
from losiko_torch.io.stream import check_sources
from losiko_torch.io.writers import suffixes
from losiko_torch.relaxation.relaxer import checked
from losiko_torch.relaxation.schedule import parse_schedule
from losiko_torch.relaxation.settings import START_NOISE
from losiko_torch.systems.selection import selection

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        show_default=False,
        help="Relaxed structures, in input order: .extxyz, .xyz, .db (ASE) or .parquet (a table).",
        rich_help_panel=WHAT,
    ),
]

Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        show_default=False,
        help="Folder of a run that survives: the same command goes on where it stopped.",
        rich_help_panel=WHAT,
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STRUCTURES",
        show_default=False,
        help="Geometries that the structures should have, in the same order: RMSDs are told.",
        rich_help_panel=WHAT,
    ),
]


def relax(
    structures: Structures,
    output: Output = None,
    run: Run = None,
    database: DatabaseFile = None,
    reference: Reference = None,
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
    batch_atoms: BatchAtoms = None,
    workers: WorkerCount = None,
    ray_address: RayAddress = None,
    as_finished: AsFinished = False,
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
    how: dict[str, Any] = {
        "optimizer": optimizer,
        "targets": targets,
        "n_neighbors": n_neighbors,
        "reg": reg,
        "degree": degree,
        "weights": weights,
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
    where = {"device": device, "dtype": dtype, "batch_atoms": batch_atoms}
    # Before anything is read, which may take long.
    checked(**how)
    if movable is not None:
        selection(movable)
    if output is None and run is None:
        raise InputError("where to? Name a file (-o OUT.extxyz) or the folder of a run (--run DIR)")
    references = reference or []
    if output is not None:
        files = input_files([*structures, *references], database)
        check_output(output, files, force, suffixes())
    check_sources([*structures, *references])
    options = {**how, **where, "movable": movable}
    asked = Asked(structures, references, database, reference_weights, no_pbc, options)
    by = Workers(workers, ray_address)
    if run is not None:
        tally, end = relax_into_folder(asked, run, output, force, by)
    else:
        assert output is not None
        tally, end = relax_into_file(asked, output, force, not as_finished, by)
    tally.print_table()
    tally.print_summary(f"against {name_of(database)}", end)
    return 1 if tally.failures else 0
