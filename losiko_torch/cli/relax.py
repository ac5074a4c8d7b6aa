"""``losiko relax``: move the atoms, write them, report what became of each structure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from losiko_torch.cli.config import SavedConfig, with_config
from losiko_torch.cli.console import note, stdout_taken
from losiko_torch.cli.inputs import (
    STRUCTURES_HELP,
    DatabaseFile,
    Force,
    NoPbc,
    ReferenceWeights,
    input_files,
    name_of,
)
from losiko_torch.cli.pipe import is_piped, is_stdout, read_pipe, typed_smiles
from losiko_torch.cli.relax_run import Paths, RelaxRequest, relax_into_file, relax_into_folder
from losiko_torch.cli.settings_options import takes
from losiko_torch.errors import InputError
from losiko_torch.extras import needs
from losiko_torch.io.atomic import check_output
from losiko_torch.io.formats.registry import format_of, suffixes
from losiko_torch.io.stream import check_sources
from losiko_torch.options import WHAT, WHERE
from losiko_torch.relaxation.execute import Workers
from losiko_torch.relaxation.settings import Settings

Structures = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STRUCTURES", show_default=False, help=STRUCTURES_HELP, callback=read_pipe
    ),
]
Smiles = Annotated[
    list[str] | None,
    typer.Option(
        "--smiles",
        metavar="SMILES",
        show_default=False,
        help="Molecule to relax beside those of the files, by its graph; may be repeated, and a "
        "name may follow behind a space.",
        rich_help_panel=WHAT,
    ),
]
Trajectory = Annotated[
    str | None,
    typer.Option(
        "--trajectory",
        metavar="PATH",
        show_default=False,
        help="Frames of all structures on their way: a file (.traj, .extxyz), or a folder with a "
        "file for each; with --run a folder within the run.",
        rich_help_panel=WHAT,
    ),
]
TrajectoryInterval = Annotated[
    int | None,
    typer.Option(
        "--trajectory-interval",
        min=1,
        metavar="N",
        show_default="1",
        help="Evaluations from one frame to the next.",
        rich_help_panel=WHAT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        show_default=False,
        help=f"Relaxed structures, in input order, in the form that the suffix names: "
        f"{', '.join(suffixes())}; - for a pipe (extended xyz).",
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
        help="Geometries that the structures should have, in the same order: RMSDs are reported.",
        rich_help_panel=WHAT,
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        show_default="this process alone",
        help="Processes that relax, through Ray, each on a GPU or on its share of the processor; "
        "the results are the same.",
        rich_help_panel=WHERE,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        show_default="this machine alone",
        help="Ray cluster to work on; auto: the one that this machine is part of.",
        rich_help_panel=WHERE,
    ),
]
AsFinished = Annotated[
    bool,
    typer.Option(
        "--as-finished",
        help="Write structures as they are done (losiko_source tells which is which), not in "
        "input order.",
        rich_help_panel=WHAT,
    ),
]


Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit status 1 also where a structure is in doubt, not only where one failed.",
        rich_help_panel=WHAT,
    ),
]


@with_config
@takes(Settings)
def relax(
    settings: dict[str, Any],
    saved: SavedConfig | None = None,
    structures: Structures = None,
    smiles: Smiles = None,
    output: Output = None,
    run: Run = None,
    database: DatabaseFile = None,
    reference: Reference = None,
    force: Force = False,
    no_pbc: NoPbc = False,
    reference_weights: ReferenceWeights = None,
    workers: WorkerCount = None,
    ray_address: RayAddress = None,
    as_finished: AsFinished = False,
    strict: Strict = False,
    trajectory: Trajectory = None,
    trajectory_interval: TrajectoryInterval = None,
) -> int:
    """Move atoms until their surroundings look like those of known good structures.

    Each atom is compared with the references of its element; the loss is the sum of the squared
    distances of their descriptors, without units, 0 where every atom is matched. FixAtoms and
    FixCartesian in the structures are honoured, and a POSCAR's selective dynamics where the cell
    allows it. The output, in the form that its suffix names, has losiko_loss,
    losiko_start_loss, losiko_converged, losiko_steps, losiko_reason and losiko_source for each
    structure and losiko_distance for each atom; with learned targets also losiko_expected_rmsd and,
    for each atom, losiko_expected_error: how far (Angstrom) they may be from where they should be.
    losiko_reliable tells which to keep, losiko_doubt what speaks against the others.
    Structures that cannot be relaxed are written unmoved, with the reason, and make the exit status
    1.

    Example: [bold]losiko relax guesses.xyz -o relaxed.extxyz[/bold]

    Example: [bold]losiko relax --smiles "CCO ethanol" --smiles "c1ccccc1O" -o relaxed.sdf[/bold]

    Example: [bold]losiko relax POSCAR -d si-o.losiko --cell -o relaxed.extxyz[/bold]

    Example: [bold]losiko relax slab.xyz -d si-o.losiko --movable "within 5 of z=12.5" --noise
    0.2,0.05 -o relaxed.extxyz[/bold]

    Example: [bold]losiko relax guesses.xyz --repulsion --tether 0.1 -o relaxed.extxyz[/bold]
    """
    # Before anything is read, which may take long.
    how, by = Settings(**settings), Workers(workers, ray_address)
    files, references = structures or [], reference or []
    if saved is not None:
        saved.check(force)
        if not files and not smiles:
            saved.write(force)
            note(f"the options are written to {saved.path}, and nothing is relaxed")
            return 0
    if not files and not smiles:
        raise InputError("what to relax? Name files of structures, or give --smiles")
    if output is None and run is None:
        raise InputError("where to? Name a file (-o OUT.extxyz) or the folder of a run (--run DIR)")
    if run is not None:
        needs("pyarrow", "a run")
        if smiles or any(is_piped(each) for each in files):
            raise InputError(
                "--run goes on from files, and what comes by a pipe or as --smiles is none: "
                "write it into a file (SMILES: one a line, named .smi)"
            )
    if output is not None and not is_stdout(output):
        format_of(output)
        check_output(output, input_files([*files, *references], database), force)
    paths = None
    if trajectory is not None:
        paths = Paths.make(trajectory, trajectory_interval or 1, force, run is not None)
    elif trajectory_interval is not None:
        raise InputError("--trajectory-interval is for trajectories: give --trajectory PATH too")
    check_sources([*files, *references])
    if saved is not None:
        saved.write(force)
    against = f"against {name_of(database)}"
    with typed_smiles(smiles) as typed, stdout_taken(is_stdout(output)):
        sources = [*files, *typed]
        request = RelaxRequest(sources, references, database, reference_weights, no_pbc, how, paths)
        if run is not None:
            tally, end, complete = relax_into_folder(request, run, output, force, by)
        else:
            assert output is not None
            tally, end, complete = relax_into_file(request, output, force, not as_finished, by)
        tally.print_table()
        tally.print_summary(against, end)
    doubtful = strict and tally.unreliable
    return 1 if tally.failures or doubtful or not complete else 0
