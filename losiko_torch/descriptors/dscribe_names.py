"""Further names that DScribe's users call on a descriptor, beside ``create`` and ``derivatives``.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=2, sigma=0.3)
>>> soap.n_elements, soap.index_to_atomic_number
(2, {0: 1, 1: 8})
>>> soap.create_single(molecule("H2O"), [0]).shape
(1, 108)
>>> soap.r_cut = 4.0
Traceback (most recent call last):
    ...
losiko_torch.errors.FixedParameter: the r_cut of a SOAP cannot be changed: make another SOAP
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms

from losiko_torch.descriptors.soap.gaussian_basis import cutoff_padding, gaussian_orbitals
from losiko_torch.descriptors.soap.polynomial_basis import orthonormal_polynomials
from losiko_torch.errors import FixedParameter, InputError
from losiko_torch.shown.table import facts
from losiko_torch.shown.text import first_words

#: Most characters of a setting in a notebook.
LONGEST = 80
METHODS = ("auto", "analytical", "numerical")
#: Arguments of a constructor that may be changed afterwards, as in DScribe.
CHANGEABLE = {"self", "average", "periodic", "sparse", "dtype"}


class DscribeNames:
    """Names that SOAP and ACSF share."""

    create: Callable[..., Any]
    derivatives: Callable[..., Any]
    get_number_of_features: Callable[[], int]
    parameters_dict: Callable[[], dict[str, Any]]

    def __setattr__(self, name: str, value: Any) -> None:
        own: Any = type(self)
        if name in _fixed(own) and (name in self.__dict__ or hasattr(own, name)):
            raise FixedParameter(
                f"the {name} of a {own.__name__} cannot be changed: make another {own.__name__}"
            )
        super().__setattr__(name, value)

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers, ascending, by which features are ordered."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        told = {"features": f"{self.get_number_of_features():,}"}
        for name, value in self.parameters_dict().items():
            told[name] = first_words(str(value), LONGEST)
        return facts(type(self).__name__, told)

    @property
    def n_elements(self) -> int:
        """Number of elements among ``species``."""
        return len(self.species)

    @property
    def atomic_number_to_index(self) -> dict[int, int]:
        """Place of each atomic number in the order of the features."""
        return {number: place for place, number in enumerate(self.species)}

    @property
    def index_to_atomic_number(self) -> dict[int, int]:
        """Atomic number at each place in the order of the features."""
        return dict(enumerate(self.species))

    def create_single(
        self,
        system: Atoms,
        centers: Sequence | None = None,
        return_descriptor: bool = True,
        return_derivatives: bool = False,
    ) -> Any:
        """Features of one structure, by ``create``.

        ``return_descriptor`` and ``return_derivatives`` change nothing, as in DScribe. Unlike
        there, the result has the form that ``sparse`` and ``dtype`` ask for.
        """
        return self.create(system, centers)

    def derivatives_single(
        self,
        system: Atoms,
        centers: Sequence | None,
        indices: Sequence[int],
        method: str = "numerical",
        attach: bool = False,
        return_descriptor: bool = True,
    ) -> Any:
        """Derivatives of one structure by the positions of the atoms ``indices``."""
        return self.derivatives(
            system,
            centers,
            include=indices,
            method=method,
            attach=attach,
            return_descriptor=return_descriptor,
        )

    def validate_derivatives_method(self, method: str, attach: bool = True) -> str:
        """Return the method by which derivatives are taken: "analytical", whatever is asked for.

        Raises:
            InputError: For a method that is none of DScribe's.
        """
        if method not in METHODS:
            raise InputError(f"method '{method}' is none of {', '.join(METHODS)}")
        return "analytical"


class RadialNames:
    """Names of the radial bases of SOAP."""

    sigma: float

    def get_cutoff_padding(self) -> float:
        """Length in Angstrom beyond ``r_cut`` within which atoms count."""
        return cutoff_padding(self.sigma)

    def get_basis_gto(self, r_cut: float, n_max: int, l_max: int) -> tuple[np.ndarray, np.ndarray]:
        """Exponents (1/Angstrom^2) and mixing of the Gaussian-type orbitals.

        Returns:
            alpha, shape (l_max + 1, n_max), and beta, shape (l_max + 1, n_max, n_max): function n
            of degree l is sum_k beta[l, n, k] r^l exp(-alpha[l, k] r^2).

        Raises:
            InputError: If the functions are linearly dependent in double precision.
        """
        return gaussian_orbitals(r_cut, n_max, l_max)

    def get_basis_poly(self, r_cut: float, n_max: int) -> tuple[np.ndarray, np.ndarray]:
        """Points of the radial quadrature (Angstrom) and the polynomial basis there.

        Returns:
            Points, shape (100,), and values, shape (n_max, 100).

        Raises:
            InputError: If the functions are linearly dependent in double precision.
        """
        radii, _, values = orthonormal_polynomials(r_cut, n_max)
        return radii, values.T


@cache
def _fixed(descriptor: type) -> frozenset[str]:
    """Arguments of a descriptor's constructor that define its features."""
    return frozenset(inspect.signature(descriptor).parameters) - CHANGEABLE
