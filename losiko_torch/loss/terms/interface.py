"""Interface of the terms: what is added to the loss beside the atoms' distances.

    L = sum_i c_i F_i + sum_t term_t(structure)

A term is a callable object from a ``Batch`` to one number a structure, shape (B,), which torch can
differentiate by the positions and the cells; the number of a structure depends on nothing else in
the batch. Another package brings its own as an object, ``relax(terms=[Mine()])``:

>>> import torch
>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase, relax
>>> class Height:
...     name = "height"
...     def __call__(self, batch):
...         zero = batch.positions.new_zeros(batch.n_systems)
...         return 1e-3 * zero.index_add(0, batch.system_idx, batch.positions[:, 2] ** 2)
...     def identity(self):
...         return {"name": self.name}
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3)
>>> database = EnvironmentDatabase.build([molecule("H2O")], soap)
>>> result = relax(molecule("H2O"), database, terms=[Height()])[0]
>>> bool(abs(result.loss - result.distances.sum() - result.terms["height"]) < 1e-8)
True

A term may also have:

- ``for_database(database)``: the term as it is used with a database, or ``InputError``.
- ``prepare(atoms, number)``: per-atom arrays by name, shape (n, ...), of a structure (an
  ``ase.Atoms``, ``number`` of all) as its relaxation begins; they travel in ``batch.arrays``. It
  raises ``StructureError`` for a structure to which the term does not apply. The batch holds them
  as floating-point numbers, whatever they were.
- ``needs_cell``, ``needs_volume``: True for a term that acts on cells alone, or on their volume.
- ``needs_start``: True for a term that compares with the start of a relaxation, which calculators
  do not have.
- ``needs_number``: True for a term that goes by the number of a structure, which an ASE calculator
  does not have.
- ``option`` and ``parse(value)``, of the class: its option on the command line (see
  ``losiko_torch.options``), and the term for the option's value.
- ``for_calculator()``: the term as calculators use it, which prepare a structure anew in each of
  its cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from ase import Atoms

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.errors import InputError, LosikoError, StructureError, first_line
from losiko_torch.systems.batch import Batch

#: Name of ASE's calculators in messages.
CALCULATOR = "a calculator"


@runtime_checkable
class Term(Protocol):
    """Addition to the loss of a structure; see the module's text.

    Attributes:
        name: Name under which results tell its value.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the value for each structure, shape (B,)."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return what tells this term from others, ready for JSON."""
        ...


def checked_terms(option: str, terms: Any) -> tuple[Term, ...]:
    """Return the terms as a tuple; ``InputError`` for what is no term and for equal names."""
    if isinstance(terms, Term):
        terms = [terms]
    if not isinstance(terms, Sequence) or isinstance(terms, str):
        raise InputError(
            f"{option} are a {type(terms).__name__}: give a list, such as [Repulsion()]"
        )
    for term in terms:
        if isinstance(term, type) or not isinstance(term, Term):
            name = term.__name__ if isinstance(term, type) else type(term).__name__
            raise InputError(
                f"{option} hold {name}, which is no term: a term is an object with a name and an "
                "identity() that is called with a Batch, such as Repulsion()"
            )
    names = [term.name for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two terms have the name '{name}': give each a name of its own")
    return tuple(terms)


def for_database(terms: Sequence[Term], database: DatabaseRecord) -> tuple[Term, ...]:
    """Return the terms as they are used with a database."""
    return tuple(
        term.for_database(database) if hasattr(term, "for_database") else term for term in terms
    )


def arrays_of(terms: Sequence[Term], atoms: Atoms, number: int) -> dict[str, np.ndarray]:
    """Return the per-atom arrays that terms keep of a structure, by name, shape (n, ...).

    Raises:
        StructureError: For a structure to which a term does not apply.
    """
    arrays: dict[str, np.ndarray] = {}
    for term in terms:
        for name, values in _prepared(term, atoms, number).items():
            if name in arrays or values.ndim == 0 or len(values) != len(atoms):
                raise InputError(
                    f"term '{term.name}': its array '{name}' needs a name of its own, and a row "
                    "for each atom"
                )
            arrays[name] = values
    return arrays


def _prepared(term: Term, atoms: Atoms, number: int) -> Mapping[str, np.ndarray]:
    """Return the arrays that a term keeps of a structure; ``StructureError`` where it fails."""
    prepare = getattr(term, "prepare", None)
    if prepare is None:
        return {}
    try:
        own = prepare(atoms, number)
    except LosikoError:
        raise
    except Exception as error:  # whatever another's code trips over in a structure
        raise StructureError(
            f"the term '{term.name}' fails ({type(error).__name__}: {first_line(error)})"
        ) from error
    if not isinstance(own, Mapping):
        raise InputError(
            f"term '{term.name}': prepare gives a {type(own).__name__}, not arrays by name"
        )
    return {name: np.asarray(values, dtype=float) for name, values in own.items()}


def for_calculator(terms: Sequence[Term], where: str) -> tuple[Term, ...]:
    """Return the terms as ``where`` uses them, which knows a structure's present geometry alone.

    Raises:
        InputError: For a term that compares with a start.
    """
    for term in terms:
        if getattr(term, "needs_start", False):
            raise InputError(
                f"term '{term.name}' compares with the start of a relaxation, which {where} does "
                "not have: give it positions"
            )
        if getattr(term, "needs_number", False) and where == CALCULATOR:
            raise InputError(
                f"term '{term.name}' goes by the number of a structure, which {where} does not "
                "have: give it one array, or the name of a per-atom array"
            )
    return tuple(
        term.for_calculator() if hasattr(term, "for_calculator") else term for term in terms
    )
