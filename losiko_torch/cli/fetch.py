"""``losiko fetch``: public sets of structures, for ``losiko build`` to make databases of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from losiko_torch.cli.console import bytes_progress, facts_table, note, stdout
from losiko_torch.cli.inputs import Force
from losiko_torch.cli.tables import print_failures
from losiko_torch.io.atomic import check_output
from losiko_torch.io.fetching.download import part_of, size_of
from losiko_torch.io.fetching.fetch import dataset_of
from losiko_torch.io.fetching.fetch import fetch as fetch_
from losiko_torch.options import WHAT
from losiko_torch.report.wording import plural

Name = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        show_default=False,
        help="qm9, or mp: and a chemical system, such as mp:Si-O.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default="qm9.npz, mp-Si-O.extxyz and so on",
        help="The file to write.",
        rich_help_panel=WHAT,
    ),
]
Hull = Annotated[
    float | None,
    typer.Option(
        metavar="E",
        show_default="all crystals",
        help="Take crystals up to this energy above the hull, eV per atom.",
        rich_help_panel=WHAT,
    ),
]


def fetch(source: Name, output: Output = None, hull: Hull = None, force: Force = False) -> int:
    """Fetch public structures, for 'losiko build' to make a database of.

    qm9: the molecules of H, C, N and O of QM9, without those that failed its consistency check (86
    MB from figshare, checked). mp:SYSTEM: the crystals of a chemical system and of its subsystems
    in the Materials Project; this needs mp-api (pip install mp-api) and your key in MP_API_KEY.

    The file keeps title, level of theory, licence and citation, and so does a database that is
    built of it. After an interruption the same command goes on with what lies in FILE.part.
    Crystals that cannot be taken are listed, and make the exit status 1.

    Example: [bold]losiko fetch qm9[/bold]

    Example: [bold]losiko fetch mp:Si-O --hull 0.1[/bold]
    """
    path = output or Path(dataset_of(source, hull).file)
    check_output(path, overwrite=force)
    part = part_of(path)
    if size_of(part):
        note(f"going on with what {part} holds")
    with bytes_progress("fetching") as watch:
        fetched = fetch_(source, path, hull=hull, overwrite=force, watch=watch)
    out = stdout()
    out.print(f"{fetched.path}: {plural(fetched.structures, 'structure')}")
    out.print(facts_table((k.replace("_", " "), str(v)) for k, v in fetched.metadata.items()))
    print_failures(list(fetched.left_out.items()), "left out")
    return 1 if fetched.left_out else 0
