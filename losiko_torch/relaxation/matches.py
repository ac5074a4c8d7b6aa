"""Matches of structures relaxed on learned targets, which search none: found when asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ase import Atoms

from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.batching.score import score
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.results import Matches, MatchesOnDemand, Result


def with_matches(result: Result, evaluator: Evaluator) -> Result:
    """Return a result that finds its matches, and those of its starts, once they are asked for."""
    if not evaluator.objective.by_model or result.matches is None:
        return result
    find = partial(_found, result.atoms, evaluator)
    starts = tuple(with_matches(each, evaluator) for each in result.starts)
    return replace(result, matches=MatchesOnDemand(find), starts=starts)


def _found(atoms: Atoms, evaluator: Evaluator) -> Matches:
    """Return the references that locally-linear targets would take."""
    database, dtype = evaluator.objective.database, evaluator.dtype
    assert isinstance(database, EnvironmentDatabase)
    (found,) = score(atoms, database, targets="locally-linear", dtype=dtype)
    assert found.matches is not None
    return found.matches
