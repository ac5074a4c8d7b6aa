"""The commands together, and how the program ends.

Exit status: 0 all well; 1 some structures failed (the others are done); 2 unusable input or usage,
nothing written; 74 what was found cannot be printed; 130 interrupted.
"""

from __future__ import annotations

import inspect
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Annotated, Any, cast

import typer

from losiko_torch.cli.build import build
from losiko_torch.cli.console import error, warning
from losiko_torch.cli.curate import curate
from losiko_torch.cli.fetch import fetch
from losiko_torch.cli.fit import fit
from losiko_torch.cli.info import info
from losiko_torch.cli.map import map_
from losiko_torch.cli.relax import relax
from losiko_torch.cli.report import report
from losiko_torch.cli.score import score
from losiko_torch.errors import LosikoError

#: EX_IOERR of sysexits.h.
NOT_PRINTED = 74

app = typer.Typer(
    name="losiko",
    help=(
        "Relax molecules and crystals by their similarity to known good structures.\n\n"
        "STRUCTURES are files of any kind that ASE reads, or QM9-style npz archives; a slice "
        "behind an @ picks frames: [bold]traj.extxyz@:100[/bold], [bold]qm9.npz@::500[/bold], "
        "[bold]run.traj@-1[/bold]."
    ),
    epilog=(
        "Exit status: 0 all well; 1 some structures failed, the others are done; 2 unusable "
        "input, nothing written."
    ),
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
_COMMANDS: tuple[Callable[..., Any], ...] = (
    *(relax, report, score, map_),
    *(fetch, build, fit, curate, info),
)
for _command in _COMMANDS:
    # Typer keeps the line ends of a docstring: a paragraph is made one line.
    _paragraphs = inspect.cleandoc(_command.__doc__ or "").split("\n\n")
    _help = "\n\n".join(" ".join(text.split()) for text in _paragraphs)
    app.command(_command.__name__.rstrip("_"), help=_help)(_command)

# Typer carries Click within itself or depends on it, by version; this is its UsageError in both.
_UsageError = cast(type[Exception], typer.BadParameter.__base__)


@app.callback(invoke_without_command=True)
def _losiko(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from losiko_torch.version import __version__

        typer.echo(f"losiko {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with ``argv`` (default: the process's); ends by ``SystemExit``."""
    if threading.current_thread() is threading.main_thread():
        # Ending in order gives every half-written file the chance to be removed.
        signal.signal(signal.SIGTERM, _end)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: warning(str(message))
        sys.exit(_run(argv))


def _run(argv: Sequence[str] | None) -> int:
    try:
        status = app(
            args=None if argv is None else list(argv), prog_name="losiko", standalone_mode=False
        )
    except LosikoError as problem:
        error(str(problem))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except OSError as problem:  # files tell by InputError: what is left is stdout
        error(f"the output cannot be printed ({problem.strerror or problem})")
        return NOT_PRINTED
    except _UsageError as problem:
        context = getattr(problem, "ctx", None)
        error(problem.format_message())  # type: ignore[attr-defined]
        if context is not None:
            typer.echo(f"Try '{context.command_path} --help'.", err=True)
        return 2
    if status == 130:
        error("interrupted")
    return status if isinstance(status, int) else 0


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
