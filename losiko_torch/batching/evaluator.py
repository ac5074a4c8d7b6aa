"""Where structures are judged: database, similarity, device, and how much fits at once.

What ``relax`` and ``score`` share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from losiko_torch.batching.memory import atoms_that_fit, check_neighbors
from losiko_torch.batching.prepare import Prepared, prepare
from losiko_torch.batching.shards import shards
from losiko_torch.checks import whole
from losiko_torch.database.builtin import default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.loss.judge import Verdict, judge, judgements
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.settings import Similarity
from losiko_torch.results import Judgement
from losiko_torch.systems.atom_weights import filled
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.pymatgen import AnyStructure
from losiko_torch.systems.selection import Selection


@dataclass(frozen=True)
class Workplace:
    """The objective, the precision and place of the computation, and the atoms of a batch.

    ``factors`` are the weights of elements, by atomic number.
    """

    objective: Objective
    factors: Mapping[int, float]
    dtype: torch.dtype
    device: torch.device
    batch_atoms: int

    @classmethod
    def make(
        cls,
        database: EnvironmentDatabase | None,
        similarity: Similarity,
        device: torch.device | str | None,
        dtype: torch.dtype | str | None,
        batch_atoms: int | None,
    ) -> Workplace:
        """From the arguments of ``relax``, checked."""
        if isinstance(dtype, str):
            dtype = getattr(torch, dtype, None) or dtype
        dtype = torch.float32 if dtype is None else dtype
        if dtype not in (torch.float32, torch.float64):
            raise InputError(f"dtype must be float32 or float64, not {dtype}")
        if batch_atoms is not None:
            whole("batch_atoms", batch_atoms)
        if database is None:
            database = default_database()
        elif not isinstance(database, EnvironmentDatabase):
            raise InputError(
                f"the database is a {type(database).__name__}: give an EnvironmentDatabase, "
                "for example EnvironmentDatabase.load('my.losiko')"
            )
        if device is not None:
            try:
                database = database.to(device)
            except (RuntimeError, AssertionError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"device '{device}' cannot be used ({reason})") from None
        objective = Objective(database, similarity.target(database.defaults), similarity.degree)
        check_neighbors(objective.most_neighbors, dtype, database.device)
        size = batch_atoms or atoms_that_fit(database, objective.most_neighbors, dtype)
        return cls(objective, similarity.factors, dtype, database.device, size)

    def batch(self, items: Sequence[Prepared]) -> Batch:
        batch = Batch.from_atoms([item.atoms for item in items], self.dtype, self.device)
        if all(item.weights is None for item in items):
            return batch
        weights = filled((item.atoms for item in items), (item.weights for item in items))
        return replace(batch, weights=torch.as_tensor(weights).to(batch.positions))

    def restricted(self, items: Sequence[Prepared]) -> Workplace:
        """The same for the elements of these structures only: cheaper, equal results."""
        numbers = np.concatenate([item.atoms.numbers for item in items])
        return replace(self, objective=self.objective.restricted(torch.as_tensor(numbers)))

    def prepare(self, given: AnyStructure, select: Selection | None) -> Prepared:
        return prepare(given, self.objective.database, self.factors, select)

    def groups(self, structures: AnyStructure | Iterable[AnyStructure]) -> Iterator[list[Prepared]]:
        """Structures in input order, each group a batch of such as stay as they are."""
        for shard in shards(structures, self.batch_atoms):
            yield [self.prepare(given, None) for given in shard.structures]

    def judge(self, batch: Batch, since: Verdict | None = None) -> Verdict:
        """See ``verdict.judge``."""
        return judge(self.objective, batch, since)

    def judgements(self, verdict: Verdict) -> list[Judgement]:
        """See ``verdict.judgements``."""
        return judgements(self.objective, verdict)
