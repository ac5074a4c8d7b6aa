"""What only ``losiko relax`` has: how structures move, and which parts of them."""

from __future__ import annotations

from typing import Annotated

import typer

from losiko_torch.cli.inputs import HOW, WHAT, WHERE
from losiko_torch.errors import InputError
from losiko_torch.optimizers.registry import OPTIMIZERS

MOVES, NOISE = "What moves", "Noise and stages"


def _numbers(text: str) -> list[float]:
    """Numbers separated by commas or spaces."""
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"'{text}' is no list of numbers such as 0.2,0.05") from None


def parse_noise(text: str | None) -> list[float] | None:
    """S0SQUARED,ALPHA[,EVERY] as ``relax`` takes it."""
    if text is None:
        return None
    values = _numbers(text)
    return [*values[:2], *[int(v) if v.is_integer() else v for v in values[2:]]]


def parse_strain_mask(text: str | None) -> list[float] | None:
    """Six numbers, with or without commas between them."""
    if text is None:
        return None
    return _numbers(" ".join(text) if text.isdecimal() else text)


Optimizer = Annotated[
    str,
    typer.Option(
        metavar="|".join(OPTIMIZERS),
        help="All work on many structures at once but Nelder-Mead, a slow yardstick.",
        rich_help_panel=HOW,
    ),
]
MaxSteps = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        show_default="200; 20,000 for nelder-mead",
        help="Evaluations of the loss granted to each structure.",
        rich_help_panel=HOW,
    ),
]
Movable = Annotated[
    str | None,
    typer.Option(
        metavar="SELECTION",
        show_default="all atoms",
        help='Atoms that may move, constraints permitting: "within 5 of 0,4,7" (A; atoms), '
        '"within 5 of Li", "within 5 of z=12.5" (a plane), "within 5 of c=0.5", or the name of a '
        "per-atom array of the structures.",
        rich_help_panel=MOVES,
    ),
]
Cell = Annotated[
    bool,
    typer.Option(
        "--cell",
        help="Relax the cells of periodic structures too, along their periodic directions.",
        rich_help_panel=MOVES,
    ),
]
StrainMask = Annotated[
    str | None,
    typer.Option(
        metavar="XX,YY,ZZ,YZ,XZ,XY",
        show_default="all",
        help="Strains that a cell may take, 1 or 0 each: 1,1,0,0,0,1 relaxes the xy plane only.",
        rich_help_panel=MOVES,
    ),
]
HydrostaticStrain = Annotated[
    bool,
    typer.Option(
        "--hydrostatic-strain", help="Scale cells without shape change.", rich_help_panel=MOVES
    ),
]
ConstantVolume = Annotated[
    bool,
    typer.Option("--constant-volume", help="Keep the volume of cells.", rich_help_panel=MOVES),
]
Symprec = Annotated[
    float | None,
    typer.Option(
        metavar="A",
        show_default="none",
        help="Make relaxed crystals as symmetric as they are within this tolerance, for example "
        "0.4 (needs --cell).",
        rich_help_panel=MOVES,
    ),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        metavar="STAGES",
        show_default="none",
        help="Stages gone through first, TARGETS:STEPS or TARGETS/NEIGHBORS:STEPS, for example "
        "nearest:30,locally-linear/8:20.",
        rich_help_panel=NOISE,
    ),
]
Noise = Annotated[
    str | None,
    typer.Option(
        metavar="S0SQUARED,ALPHA",
        show_default="none",
        help="A stage of annealed noise just before the last: N(0, s0^2 exp(-alpha k)) in A^2 is "
        "added after every step, or, with a third number, after so many steps.",
        rich_help_panel=NOISE,
    ),
]
Starts = Annotated[
    int,
    typer.Option(
        "--n-starts",
        min=1,
        metavar="N",
        help="Relax N copies of each structure, all but one with noise, and keep the best.",
        rich_help_panel=NOISE,
    ),
]
StartNoise = Annotated[
    float,
    typer.Option(metavar="A", help="Their noise in Angstrom.", rich_help_panel=NOISE),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="S",
        help="What random numbers follow from: the same seed, the same result.",
        rich_help_panel=NOISE,
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
