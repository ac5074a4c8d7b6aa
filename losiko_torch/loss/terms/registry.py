"""Terms that the command line offers, those of other packages among them."""

from __future__ import annotations

from losiko_torch.registry import Registry

TERMS = Registry("term", "losiko_torch.loss.terms", "TERM")
