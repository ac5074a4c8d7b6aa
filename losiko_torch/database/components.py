"""Principal components of an element's references: nearly their span, in far fewer numbers.

The descriptors of a few thousand environments fill a small part of feature space: 512 of 3,696
directions keep all but 0.2 % (H) and 0.6 % (C) of the length of those of 359 QM9 molecules. In that
basis references are faster to search and to combine, and take a seventh of the memory; relaxed
structures stay the same to 0.001 A on average (benchmarks/README.md).

The basis is found from a sample of the references. References that lose most of their length in it
join the sample (``joining_rows``), and the basis is found again.
"""

from __future__ import annotations

import torch

#: Principal components in which the references of an element are kept.
COMPONENTS = 512
#: Number of references above which an element keeps ``COMPONENTS_OF_MANY``, in float16.
MANY, COMPONENTS_OF_MANY = 100_000, 384
#: References from which the basis is found; more would not change it and cost cubically.
SAMPLE = 2048
#: Share of a reference's squared length that the basis may lose, and number of references losing
#: more that join the sample: rare ones, such as the hydrogens of H2, which the sample had missed.
LOST, JOINING = 0.05, 128


def usual_components(n: int) -> int:
    """Default number of components for an element with ``n`` references."""
    return COMPONENTS if n <= MANY else COMPONENTS_OF_MANY


def sample_rows(
    n: int, n_features: int, count: int | None, joining: torch.Tensor | None = None
) -> torch.Tensor:
    """Rows, ascending, of the sample of ``n`` references that the basis is found from.

    The sample holds evenly spaced references and the rows ``joining``, and all references if there
    are no more than ``count`` components.
    """
    count = kept_components(n, n_features, count)
    if n <= count:
        return torch.arange(n)
    rows = torch.linspace(0, n - 1, min(n, max(SAMPLE, count)), dtype=torch.float64).long()
    return (rows if joining is None else torch.cat([rows, joining.cpu()])).unique()


def basis_of(sample: torch.Tensor, count: int) -> torch.Tensor:
    """Orthonormal columns (F, r), r <= count, that span the vectors (S, F) as well as r can.

    The principal components are not centered: the references are unit vectors and the origin
    matters. Up to ``count`` vectors are spanned exactly, except for rounding.
    """
    # The eigenvectors of the small matrix of scalar products give those of the large one.
    values, mixing = torch.linalg.eigh(sample.double() @ sample.double().T)
    values, mixing = values.flip(0)[:count], mixing.flip(1)[:, :count]
    independent = values > 1e-12 * values[0]
    columns = sample.double().T @ mixing[:, independent]
    # Small eigenvalues lose orthogonality in the product; QR restores it. QR's result lies in
    # memory column by column, a file's row by row: products with them differ in the last bit.
    return torch.linalg.qr(columns / columns.norm(dim=0))[0].float().contiguous()


def principal_components(
    vectors: torch.Tensor, count: int | None, joining: torch.Tensor | None = None
) -> torch.Tensor:
    """Basis (F, r) found from a sample of the vectors (N, F); see ``basis_of``."""
    n, n_features = vectors.shape
    rows = sample_rows(n, n_features, count, joining).to(vectors.device)
    return basis_of(vectors[rows], kept_components(n, n_features, count))


def joining_rows(lost: torch.Tensor) -> torch.Tensor:
    """Rows of the references that join the sample.

    Args:
        lost: Share of its squared length that each reference loses in the basis, shape (N,).
    """
    if len(lost) <= SAMPLE:
        return torch.empty(0, dtype=torch.long)
    missed = lost.topk(min(JOINING, len(lost)))
    return missed.indices[missed.values > LOST].cpu()


def kept_components(n: int, n_features: int, count: int | None) -> int:
    """Largest number of components that ``n`` references can have. ``count`` None means all."""
    return min(n if count is None else count, n, n_features)


def rounded(vectors: torch.Tensor, n: int) -> torch.Tensor:
    """Components rounded to float16 if the element has many references, as files keep them.

    A unit vector of 384 components moves by less than 0.0003 of its length.
    """
    return vectors.half().float() if n > MANY else vectors


def compact(vectors: torch.Tensor, n: int) -> torch.Tensor:
    """Equal numbers in float16, if ``n`` is many and float16 can hold them."""
    if n <= MANY or any(not torch.equal(rounded(some, n), some) for some in vectors.split(2**16)):
        return vectors
    return vectors.half()
