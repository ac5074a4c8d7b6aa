r"""Behler's symmetry functions of pairs and triples of atoms, in torch.

Equation numbers are those of J. Behler, J. Chem. Phys. 134, 074106 (2011). With the cutoff function
f_c(r) = (cos(pi r / r_cut) + 1) / 2, zero from r_cut on (eq. 4), a center i has

    G1 = sum_j f_c(r_ij)                                                               (eq. 5)
    G2 = sum_j exp(-eta (r_ij - R_s)^2) f_c(r_ij)                                      (eq. 6)
    G3 = sum_j cos(kappa r_ij) f_c(r_ij)                                               (eq. 7)
    G4 = 2^(1-zeta) sum_jk (1 + lambda cos theta_ijk)^zeta
         exp(-eta (r_ij^2 + r_ik^2 + r_jk^2)) f_c(r_ij) f_c(r_ik) f_c(r_jk)            (eq. 8)
    G5 = the same without r_jk and f_c(r_jk)                                           (eq. 9)

with theta_ijk the angle at i. As in DScribe each unordered pair {j, k} counts once.

Angles never appear: with the unit vectors u_j, u_k to both neighbours,

    (1 + cos theta) / 2 = |u_j + u_k|^2 / 4,    (1 - cos theta) / 2 = |u_j - u_k|^2 / 4,

neither of which can become negative or lose its digits where the three atoms lie on a line. With
lambda beyond -1 to 1 the base 1 + lambda cos theta changes its sign, and a whole zeta keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from losiko_torch.errors import InputError
from losiko_torch.systems.sums import gathered, summed

#: Smallest squared interatomic distance (Angstrom^2) of two neighbours, so that its root is smooth.
LEAST_R2 = 1e-12


def cutoff_function(r: torch.Tensor, r_cut: float) -> torch.Tensor:
    """f_c(r) (eq. 4) of interatomic distances in Angstrom; 0, with zero slope, beyond ``r_cut``."""
    # cos^2(x/2) = (1 + cos x)/2, without its cancellation near the cutoff.
    return torch.cos(r.clamp(max=r_cut) * (0.5 * math.pi / r_cut)).square()


def log_cutoff(r: torch.Tensor, r_cut: float) -> torch.Tensor:
    """ln f_c(r), with a floor far below rounding in place of its pole at ``r_cut``."""
    return torch.log(cutoff_function(r, r_cut) + _tiny(r.dtype))


def radial_functions(
    r: torch.Tensor, fc: torch.Tensor, g2: torch.Tensor, g3: torch.Tensor
) -> torch.Tensor:
    """Terms of G1, G2 and G3 of every pair.

    Args:
        r, fc: Interatomic distances in Angstrom and their cutoff function, shape (E,).
        g2: eta (1/Angstrom^2) and R_s (Angstrom), shape (n_g2, 2).
        g3: kappa (1/Angstrom), shape (n_g3,).

    Returns:
        Terms of G1, then G2, then G3, shape (E, 1 + n_g2 + n_g3).
    """
    fc, r = fc[:, None], r[:, None]
    gaussians = torch.exp(-g2[:, 0] * (r - g2[:, 1]).square())
    return torch.cat([fc, gaussians * fc, torch.cos(r * g3) * fc], dim=1)


def neighbor_pairs(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All unordered pairs of neighbours of each center, for neighbours listed center by center.

    Args:
        counts: Number of neighbours of each center, shape (M,).

    Returns:
        Two indices into the list of sum(counts) neighbours, both shape (T,), T = sum n(n-1)/2. The
        first ascends, and the second lies before it in the list of the same center.
    """
    n_neighbors = int(counts.sum())
    place = torch.arange(n_neighbors, device=counts.device)
    start = torch.repeat_interleave(torch.cumsum(counts, 0) - counts, counts)
    rank = place - start  # number of earlier neighbours of the same center
    first = torch.repeat_interleave(place, rank)
    before = torch.cumsum(rank, 0) - rank
    second = torch.arange(len(first), device=counts.device) + (start - before)[first]
    return first, second


def angular_functions(
    geometry: torch.Tensor, first: torch.Tensor, second: torch.Tensor, lambdas: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """The parts of ln |G5| of every triple of atoms, from which G4 follows too.

    Args:
        geometry: Unit vector to each neighbour, its interatomic distance (Angstrom), and ln f_c,
            shape (5, E).
        first, second: The two neighbours of each triple, shape (T,).
        lambdas: Values of lambda that occur.

    Returns:
        Rows ln |(1 + lambda cos theta)/2| for every lambda, then r_ij^2 + r_ik^2 (Angstrom^2) and
        ln(2 f_c(r_ij) f_c(r_ik)), shape (n_lambda + 2, T); r_jk^2 (Angstrom^2), shape (T,); and
        the sign of 1 + lambda cos theta for every lambda, then a row of ones, shape
        (n_lambda + 1, T), or None where it is never negative.
    """
    # Rows of neighbours are faster to gather, rows of components faster to compute with.
    rows = geometry.T.contiguous()
    one, two = (gathered(rows, index).T.contiguous() for index in (first, second))
    plus = (one[:3] + two[:3]).square().sum(0) * 0.25
    minus = (one[:3] - two[:3]).square().sum(0) * 0.25
    # A straight triple has a zero here. The floor lets the derivatives of
    # (1 + lambda cos theta)^zeta, taken through exp and ln, have their limits there.
    halves = [
        0.5 * (1 - abs(value)) + abs(value) * (plus if value > 0 else minus) for value in lambdas
    ]
    bases = torch.stack(halves)
    signs = None
    if any(abs(value) > 1 for value in lambdas):
        signs = torch.ones_like(torch.cat([bases.detach(), bases[:1].detach()]))
        signs[:-1][bases.detach() < 0] = -1
        bases = bases * signs[:-1]
    logarithms = torch.log(bases + _tiny(geometry.dtype))
    r_ij, r_ik = one[3], two[3]
    r2_jk = (r_ij - r_ik).square() + 4 * r_ij * r_ik * minus
    r2 = r_ij.square() + r_ik.square()
    parts = torch.cat([logarithms, r2[None], (one[4] + two[4] + math.log(2))[None]])
    return parts, r2_jk, signs


def with_third_side(parts: torch.Tensor, r2_jk: torch.Tensor, r_cut: float) -> torch.Tensor:
    """The parts of ln |G4|, shape (n_lambda + 2, T), from the ``parts`` of ln |G5|."""
    log_fc = log_cutoff(r2_jk.clamp(min=LEAST_R2).sqrt(), r_cut)
    return torch.cat([parts[:-2], (parts[-2] + r2_jk)[None], (parts[-1] + log_fc)[None]])


def sum_angular(
    mixing: torch.Tensor,
    parts: torch.Tensor,
    slot: torch.Tensor,
    n_slots: int,
    signs: torch.Tensor | None = None,
) -> torch.Tensor:
    """Angular functions, summed over triples of atoms.

    Args:
        mixing: Result of ``mixing_matrix``, shape (n_functions, n_lambda + 2).
        parts: Parts of the logarithm from ``angular_functions``, shape (n_lambda + 2, T).
        slot: Number, below ``n_slots``, of the sum that a triple belongs to, shape (T,).
        n_slots: Number of sums.
        signs: Signs of the terms, shape (n_functions, T). None means that all are positive.

    Returns:
        Sums, shape (n_functions, n_slots).
    """
    # All factors are in the exponent: each pass over the many terms takes time.
    terms = torch.exp(mixing @ parts)
    if signs is not None:
        terms = terms * signs
    return summed(terms, slot, n_slots, dim=1)


def sign_rows(parameters: list[list[float]], lambdas: list[float]) -> torch.Tensor:
    """Row of the signs of ``angular_functions`` that each function (eta, zeta, lambda) has, (n,).

    An even power, and any of a lambda within -1 to 1, has the last row, that of ones.
    """
    rows = [
        lambdas.index(value) if abs(value) > 1 and zeta % 2 else len(lambdas)
        for _, zeta, value in parameters
    ]
    return torch.tensor(rows, dtype=torch.long)


def mixing_matrix(parameters: list[list[float]], lambdas: list[float]) -> torch.Tensor:
    """Coefficients that add up the parts of ln |G4| or ln |G5| for functions (eta, zeta, lambda).

    Returns:
        Matrix with a row for each function: zeta in the column of its lambda, then -eta and 1,
        shape (n, n_lambda + 2).
    """
    mixing = torch.zeros((len(parameters), len(lambdas) + 2), dtype=torch.float64)
    for function, (eta, zeta, value) in enumerate(parameters):
        mixing[function, lambdas.index(value)] = zeta
        mixing[function, -2] = -eta
        mixing[function, -1] = 1
    return mixing


def number_or_nan(value: Any) -> float:
    """Return ``value`` as a float, or NaN if it is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def parameter_table(name: str, parameters: Any, columns: tuple[str, ...]) -> np.ndarray:
    """Parameters as an array (n, len(columns)), or (n,) for one column. None means n = 0.

    Raises:
        InputError: For another form, and for values out of range.
    """
    single = len(columns) == 1
    empty = np.zeros(0) if single else np.zeros((0, len(columns)))
    if parameters is None:
        return empty
    try:
        table = np.array(parameters, dtype=float)
    except (TypeError, ValueError):
        table = np.array(np.nan)
    if table.size == 0:
        return empty
    if table.ndim != empty.ndim or table.shape[1:] != empty.shape[1:]:
        form = "one number" if single else f"{len(columns)} numbers"
        raise InputError(f"{name} must list {form} ({', '.join(columns)}) for each function")
    if not np.isfinite(table).all():
        raise InputError(f"{name} has an entry that is not a finite number")
    if columns[0] == "eta" and (table[:, 0] < 0).any():
        raise InputError(f"{name}: eta must not be negative, not {table[:, 0].min():g}")
    if len(columns) == 3 and (table[:, 1] <= 0).any():
        raise InputError(f"{name}: zeta must be positive, not {table[:, 1].min():g}")
    if len(columns) == 3:
        undefined = table[(abs(table[:, 2]) > 1) & (table[:, 1] % 1 != 0)]
        for _, zeta, value in undefined:
            raise InputError(
                f"{name}: lambda {value:g} makes 1 + lambda cos theta negative, so it needs a "
                f"whole zeta, not {zeta:g}"
            )
    return table


def _tiny(dtype: torch.dtype) -> float:
    """A number so small that it only changes zeros, whose inverse can still be squared."""
    return math.sqrt(torch.finfo(dtype).tiny)
