"""The command line: ``losiko relax``, ``score``, ``map``, ``build`` and ``info``."""

from losiko_torch.cli.app import main

__all__ = ["main"]
