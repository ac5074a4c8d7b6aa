"""The commands together, and how the program ends.

Exit status: 0 all well; 1 some structures failed (the others are done); 2 unusable input or usage,
nothing written; 74 what was found cannot be printed; 130 interrupted.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from losiko_torch.cli.faces import (
    COMMANDS,
    command_of,
    command_with,
    face_of,
    others_add_to,
    read_faces,
)
from losiko_torch.cli.quick_help import import_help
from losiko_torch.errors import LosikoError

#: EX_IOERR of sysexits.h.
NOT_PRINTED = 74


class _Commands(TyperGroup):
    """The commands, each of them with its own options where other packages add to those."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        place = COMMANDS.get(name or "")
        if place is not None and others_add_to(name or ""):
            alone = typer.Typer(**_STYLE)
            alone.command(name, help=face_of(command_of(place))["help"])(command_of(place))
            command = typer.main.get_command(alone)
        return name, command, rest


_STYLE: dict[str, Any] = {"rich_markup_mode": "rich", "pretty_exceptions_enable": False}
app = typer.Typer(
    name="losiko",
    cls=_Commands,
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
    **_STYLE,
)
for _name, _face in read_faces().items():
    app.command(_name, help=_face["help"])(command_with(_face, COMMANDS[_name]))

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
    with warnings.catch_warnings(), _logged():
        warnings.showwarning = _warning
        sys.exit(_run(argv))


def _run(argv: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or "--help" in arguments:
        import_help()
    try:
        status = app(
            args=None if argv is None else list(argv), prog_name="losiko", standalone_mode=False
        )
    except LosikoError as problem:
        _error(str(problem))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except OSError as problem:  # files tell by InputError: what is left is stdout
        _error(f"the output cannot be printed ({problem.strerror or problem})")
        return NOT_PRINTED
    except _UsageError as problem:
        context = getattr(problem, "ctx", None)
        _error(problem.format_message())  # type: ignore[attr-defined]
        if context is not None:
            typer.echo(f"Try '{context.command_path} --help'.", err=True)
        return 2
    if status == 130:
        _error("interrupted")
    return status if isinstance(status, int) else 0


class _Notes(logging.Handler):
    """Handler that prints messages of the library as the program's own."""

    def emit(self, record: logging.LogRecord) -> None:
        from losiko_torch.cli.console import note

        note(record.getMessage())


@contextmanager
def _logged() -> Iterator[None]:
    """Print messages of the library on stderr while the context lasts, and nowhere else."""
    logger, handler = logging.getLogger("losiko_torch"), _Notes()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from losiko_torch.cli.console import warning  # takes longer to import than all else here

    warning(str(message))


def _error(text: str) -> None:
    from losiko_torch.cli.console import error

    error(text)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
