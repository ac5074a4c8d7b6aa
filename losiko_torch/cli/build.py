"""``losiko build``: describe the atoms of good structures and keep them as references."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.cli.console import note, progress
from losiko_torch.cli.fit import check_minutes, fitted, remove_unfinished
from losiko_torch.cli.info import describe
from losiko_torch.cli.inputs import Force, Structures, input_files, read_inputs
from losiko_torch.cli.tables import print_failures
from losiko_torch.database.building.checkpoint import remove_parts
from losiko_torch.database.components import COMPONENTS, COMPONENTS_OF_MANY, MANY
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError, StructureError
from losiko_torch.io.atomic import check_output
from losiko_torch.io.filters import parse_filter
from losiko_torch.options import WHAT
from losiko_torch.report.wording import plural
from losiko_torch.systems.names import METADATA, SOURCE, UNREADABLE, source_of
from losiko_torch.systems.validity import check_structure

SOAP_PANEL, NOTES = "Descriptor (SOAP, in DScribe's terms)", "Notes kept in the database"

Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DB.losiko",
        show_default=False,
        help="The database to write.",
        rich_help_panel=WHAT,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILTER",
        show_default=False,
        help='Take only structures whose info says so: "e_above_hull<0.2", "phase==alpha". May be '
        "repeated; all must hold.",
        rich_help_panel=WHAT,
    ),
]
#: Keys of ``info`` that are no data of the structures'.
OWN = (SOURCE, METADATA)
#: Default lengths (Angstrom) for molecules, and if a structure is periodic. In the second case
#: neighbours fade out, as a relaxing cell moves atoms across the cutoff all the time.
MOLECULAR = {"r_cut": 3.0, "sigma": 0.3, "smooth_width": 0.0}
PERIODIC = {"r_cut": 3.5, "sigma": 0.35, "smooth_width": 0.5}


def _default(name: str) -> str:
    return f"{MOLECULAR[name]:g}; {PERIODIC[name]:g} where a structure is periodic"


Species = Annotated[
    str | None,
    typer.Option(
        metavar="H,C,...",
        show_default="those found",
        help="Elements that structures may contain.",
        rich_help_panel=SOAP_PANEL,
    ),
]
RCut = Annotated[
    float | None,
    typer.Option(
        metavar="A",
        show_default=_default("r_cut"),
        help="Cutoff in Angstrom.",
        rich_help_panel=SOAP_PANEL,
    ),
]
NMax = Annotated[
    int, typer.Option(metavar="N", help="Radial functions.", rich_help_panel=SOAP_PANEL)
]
LMax = Annotated[
    int,
    typer.Option(
        metavar="L", help="Highest degree of angular functions.", rich_help_panel=SOAP_PANEL
    ),
]
Sigma = Annotated[
    float | None,
    typer.Option(
        metavar="A",
        show_default=_default("sigma"),
        help="Width of an atom's Gaussian in Angstrom.",
        rich_help_panel=SOAP_PANEL,
    ),
]
SmoothWidth = Annotated[
    float | None,
    typer.Option(
        metavar="A",
        show_default=_default("smooth_width"),
        help="Width in Angstrom over which neighbours fade out before the cutoff; 0: a sharp one.",
        rich_help_panel=SOAP_PANEL,
    ),
]
Components = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        show_default=f"{COMPONENTS}; {COMPONENTS_OF_MANY} where they are more than {MANY:,}",
        help="Principal components kept of an element's references.",
        rich_help_panel=SOAP_PANEL,
    ),
]
Fit = Annotated[
    bool,
    typer.Option("--fit", help="Fit learned targets too, see 'losiko fit'.", rich_help_panel=WHAT),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        metavar="M",
        show_default="what the structures call for",
        help="With --fit: time for the fit.",
        rich_help_panel=WHAT,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse to build where a structure cannot be read or described.",
        rich_help_panel=WHAT,
    ),
]
Note = Annotated[str | None, typer.Option(metavar="TEXT", rich_help_panel=NOTES)]


def build(
    structures: Structures,
    output: Output,
    where: Where = None,
    force: Force = False,
    strict: Strict = False,
    fit: Fit = False,
    minutes: Minutes = None,
    species: Species = None,
    r_cut: RCut = None,
    n_max: NMax = 8,
    l_max: LMax = 6,
    sigma: Sigma = None,
    smooth_width: SmoothWidth = None,
    components: Components = None,
    title: Note = None,
    level_of_theory: Note = None,
    licence: Note = None,
) -> int:
    """Make a database from good structures, for 'losiko relax' and 'losiko score' to use.

    Every atom is described by its surroundings and kept as a reference of its element. What the
    structures have in common (the method that computed them, the phases among them) is what
    relaxed structures will look like. Periodic structures are described with their images.
    Structures that cannot be read or described are left out and listed, and make the exit status
    1; with --strict nothing is built then. Title, level of theory, licence and citation that
    fetched files carry are kept, unless notes say something else.

    What is finished of a large database lies in DB.losiko.parts until all is, and what is done of
    a fit in DB.losiko.fit: after an interruption, even a kill, the same command goes on from there.

    Example: [bold]losiko build crystals.extxyz -o crystals.losiko --where "e_above_hull<0.1"[/bold]
    """
    check_minutes(minutes)
    if minutes is not None and not fit:
        raise InputError("--minutes is the time for a fit: give --fit too")
    filters = where or []
    check_output(output, input_files(structures), force)
    chosen = _filtered(structures, filters)
    if strict:
        _check_all(chosen)
    periodic = any(atoms.pbc.any() for atoms in chosen)
    usual = PERIODIC if periodic else MOLECULAR
    descriptor = SOAP(
        species=species.replace(",", " ").split() if species is not None else _elements(chosen),
        n_max=n_max,
        l_max=l_max,
        r_cut=usual["r_cut"] if r_cut is None else r_cut,
        sigma=usual["sigma"] if sigma is None else sigma,
        smooth_width=usual["smooth_width"] if smooth_width is None else smooth_width,
        periodic=periodic,
    )
    notes = {"title": title, "level_of_theory": level_of_theory, "licence": licence}
    metadata: dict[str, Any] = {key: text for key, text in notes.items() if text is not None}
    if filters:
        metadata["where"] = filters
    parts = output.with_name(f"{output.name}.parts")
    if parts.exists():
        note(f"going on with what {parts} holds")
    with progress("describing", len(chosen)) as done:
        database = EnvironmentDatabase.build(
            chosen,
            descriptor,
            components=components or "usual",
            metadata=metadata,
            progress=done,
            parts=parts,
        )
    if fit:
        database = fitted(database, output, minutes)
    database.save(output, overwrite=force)
    remove_parts(parts)
    if fit:
        remove_unfinished(output)
    describe(database, str(output), output)
    skipped = [text.removeprefix("structure ").partition(": ") for text in database.skipped]
    print_failures([(source, reason) for source, _, reason in skipped], "left out")
    return 1 if skipped else 0


def _filtered(sources: list[str], filters: list[str]) -> list[Atoms]:
    """Read the structures that pass all filters; raise ``InputError`` if there are none."""
    tests = [parse_filter(text) for text in filters]
    structures = read_inputs(sources)
    read = [atoms for atoms in structures if UNREADABLE not in atoms.info]
    passing = {id(atoms) for atoms in read if all(passes(atoms) for passes in tests)}
    if not passing:
        keys = Counter(key for atoms in read for key in atoms.info if key not in OWN)
        known = ", ".join(str(key) for key, _ in keys.most_common(12)) or "nothing"
        raise InputError(
            f"none of {plural(len(read), 'structure')} passes {' and '.join(filters)} "
            f"(their info holds {known})"
        )
    if filters:
        note(f"{len(passing):,} of {plural(len(read), 'structure')} pass the filters")
    # Those that cannot be read are listed with those that cannot be described.
    return [atoms for atoms in structures if UNREADABLE in atoms.info or id(atoms) in passing]


def _check_all(structures: list[Atoms]) -> None:
    """Raise ``InputError`` if a structure cannot be described."""
    for number, atoms in enumerate(structures):
        try:
            check_structure(atoms)
        except StructureError as error:
            raise InputError(f"{source_of(atoms, number)}: {error} (--strict)") from None


def _elements(structures: list[Atoms]) -> list[str]:
    """Symbols of the elements in the structures that can be described."""
    found: set[int] = set()
    problem: StructureError | None = None
    for atoms in structures:
        try:
            check_structure(atoms)
            found.update(atoms.numbers.tolist())
        except StructureError as error:
            problem = problem or error
    if not found:
        raise InputError(f"no structure for the database: {problem}")
    return [chemical_symbols[number] for number in sorted(found)]
