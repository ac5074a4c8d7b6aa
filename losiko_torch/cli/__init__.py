"""The command line: ``losiko build``, ``relax``, ``score`` and ``info``."""

from losiko_torch.cli.app import main

__all__ = ["main"]
