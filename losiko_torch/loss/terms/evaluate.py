r"""Values of the terms of a batch, with their gradients by positions and strain.

A strain e deforms a structure, r -> r (1 + e) for row vectors r, atoms and cell vectors alike;
autograd goes through it, so that a term needs to know nothing of strains.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from losiko_torch.accelerators import is_out_of_memory
from losiko_torch.errors import InputError, LosikoError, first_line
from losiko_torch.loss.terms.interface import Term
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.sums import gathered


class TermValues(NamedTuple):
    """Terms of B structures, N atoms.

    Attributes:
        values: Value of each of T terms, shape (T, B).
        gradient: Gradient of their sum by the positions, 1/Angstrom, shape (N, 3).
        virial: Gradient of their sum by the strain, shape (B, 3, 3).
    """

    values: torch.Tensor
    gradient: torch.Tensor
    virial: torch.Tensor


def term_values(terms: Sequence[Term], batch: Batch) -> torch.Tensor:
    """Return the values of the terms, shape (T, B), without gradients; NaN where one fails."""
    if not terms:
        return batch.cells.new_zeros((0, batch.n_systems))
    with torch.enable_grad():
        here = _tracked(batch)
        return torch.stack([_values(term, here).detach() for term in terms])


def evaluate_terms(terms: Sequence[Term], batch: Batch) -> TermValues:
    """Return the values of the terms and their gradients; NaN for structures where one fails.

    Raises:
        InputError: For a term that gives no number a structure, or numbers that torch cannot
            differentiate.
    """
    with torch.enable_grad():
        positions = batch.positions.detach().requires_grad_()
        strain = torch.zeros_like(batch.cells).requires_grad_()
        deformation = torch.eye(3).to(strain) + strain
        here = replace(
            batch,
            positions=(positions[:, None, :] @ gathered(deformation, batch.system_idx)).squeeze(1),
            cells=batch.cells.detach() @ deformation,
        )
        values = [_differentiable(term, here) for term in terms]
        stacked = torch.stack(values)
        gradient, virial = torch.autograd.grad(
            stacked.sum(), (positions, strain), materialize_grads=True
        )
    return TermValues(stacked.detach(), gradient, virial)


def problem_of(term: Term, batch: Batch) -> str | None:
    """Return why a term has no finite value for a batch of one structure; None if it has one.

    Raises:
        InputError: For a term that gives no number a structure.
    """
    try:
        with torch.enable_grad():
            value = _value(term, _tracked(batch)).detach()
    except InputError:
        raise
    except Exception as error:  # whatever another's code trips over in a structure
        if is_out_of_memory(error):
            raise
        kind = "" if isinstance(error, LosikoError) else f"{type(error).__name__}: "
        return f"the term '{term.name}' fails ({kind}{first_line(error)})"
    return None if value.isfinite().all() else f"the term '{term.name}' is not a finite number"


def _tracked(batch: Batch) -> Batch:
    """Return the batch for terms that differentiate by the positions themselves, as forces do."""
    return replace(batch, positions=batch.positions.detach().requires_grad_())


def _values(term: Term, batch: Batch) -> torch.Tensor:
    """Return the values of a term, shape (B,); NaN for structures in which the term fails."""
    try:
        return _value(term, batch)
    except InputError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
    # One structure must not take the others down.
    systems = torch.arange(batch.n_systems, device=batch.cells.device)
    return torch.cat([_alone(term, batch.keep(systems == k)) for k in systems.tolist()])


def _alone(term: Term, batch: Batch) -> torch.Tensor:
    """Return the value of a term for a batch of one structure, shape (1,); NaN if it has none."""
    problem = problem_of(term, batch)
    if problem is None:
        return _value(term, batch)
    warnings.warn(problem, stacklevel=2)
    # Made of the structure's own numbers, the NaN can be differentiated.
    return torch.nan * (batch.cells.sum((1, 2)) + batch.positions.sum())


def _value(term: Term, batch: Batch) -> torch.Tensor:
    """Return the values of a term, shape (B,), in the precision of the batch."""
    found = term(batch)
    if not isinstance(found, torch.Tensor):
        kind = f"{type(found).__module__}.{type(found).__qualname__}"
        raise InputError(f"term '{term.name}' gives a {kind}, not a torch.Tensor")
    if found.shape != (batch.n_systems,) or found.is_complex():
        shape = list(found.shape) if found.ndim else "a single number"
        given = "complex numbers" if found.is_complex() else shape
        raise InputError(
            f"term '{term.name}' gives {given} for {batch.n_systems} structures: one real number "
            "a structure is needed"
        )
    if found.device != batch.positions.device:
        raise InputError(
            f"term '{term.name}' gives numbers on {found.device}, and the relaxation is on "
            f"{batch.positions.device}: move it there"
        )
    return found.to(batch.positions.dtype)


def _differentiable(term: Term, batch: Batch) -> torch.Tensor:
    found = _values(term, batch)
    if not found.requires_grad:
        raise InputError(
            f"term '{term.name}' gives numbers that torch cannot differentiate by positions or "
            "cells"
        )
    return found
