"""The command line: ``losiko relax``, ``score``, ``map``, ``build``, ``info`` and others."""

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with ``argv`` (default: the process's); ends by ``SystemExit``."""
    # The commands are made of a file that a module of this package writes.
    from losiko_torch.cli.app import main as run

    run(argv)
