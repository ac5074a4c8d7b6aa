"""Numbers as text, for the sentences, tables and pages of all commands."""

from __future__ import annotations

from losiko_torch.shown.text import as_number, plural

__all__ = ["as_number", "plural"]
