"""The references of one element: descriptors in few components, and the search among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch

from losiko_torch.database.reference_weights import as_weight
from losiko_torch.search.exact import Search, plain_search
from losiko_torch.search.inverted_lists import SEARCHED_WHOLE, divided, list_search, probed_lists
from losiko_torch.search.warm_start import NearKnown, near_known_search
from losiko_torch.search.weighted import weighted_search

#: Prefix of the names of fitted tensors among ``Environments.tensors()``.
FITTED = "fitted/"


@dataclass(frozen=True, eq=False)
class Environments:
    """References of one element.

    Attributes:
        vectors: Descriptors of unit length, projected on ``basis``, shape (N, r), float32.
        basis: Orthonormal columns, shape (F, r), float32.
        structure: Number of the structure of each reference, shape (N,).
        atom: Index of each reference's atom within that structure, shape (N,).
        weight: Weights of the references, shape (N,), float32: the distance D of a reference
            counts as D / weight, and weight 0 leaves it out. None means that all weigh 1.
        centroids: Centroids of the inverted lists that divide many references, in their first d
            components, shape (L, d), float32 (see ``search.inverted_lists``). None means no lists.
        lists: Inverted list of each reference, shape (N,), int32. None means no lists.
        products: Scalar products of the columns of the whole basis, shape (r, r), float64, if
            ``basis`` is restricted to some features. None means that ``basis`` is whole.
        fitted: Tensors that a target fitted beforehand to these references, by name, such as the
            weights of a network. Other references make them meaningless.
    """

    vectors: torch.Tensor
    basis: torch.Tensor
    structure: torch.Tensor
    atom: torch.Tensor
    weight: torch.Tensor | None = None
    centroids: torch.Tensor | None = None
    lists: torch.Tensor | None = None
    products: torch.Tensor | None = None
    fitted: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Environments:
        """Environments of named tensors, as ``tensors`` returns them."""
        own = {name: each for name, each in tensors.items() if not name.startswith(FITTED)}
        fitted = {
            name.removeprefix(FITTED): each
            for name, each in tensors.items()
            if name.startswith(FITTED)
        }
        return cls(**own, fitted=fitted)

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        return f"Environments({len(self):,} references with {self.n_features:,} features)"

    def __getstate__(self) -> dict[str, Any]:
        # What is made on demand, such as searches, is made anew in a copy or another process.
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def device(self) -> torch.device:
        """Place of the references."""
        return self.structure.device

    @cached_property
    def n_features(self) -> int:
        """Number of features of the descriptor."""
        return len(self.basis)

    @cached_property
    def usable(self) -> int:
        """Number of references that can be chosen: those whose weight is not 0."""
        return len(self) if self.weight is None else int((self.weight > 0).sum())

    @property
    def length_kept(self) -> float:
        """Share of the squared length of the descriptors that the components keep."""
        squares = [some.square().sum(dtype=torch.float64) for some in self.vectors.split(2**16)]
        return float(torch.stack(squares).sum()) / len(self)

    @cached_property
    def search(self) -> Search:
        """The search among all references, weighted if they are."""
        if self.weight is None:
            return plain_search(self.vectors)
        return weighted_search(self.vectors, self.weight)

    @cached_property
    def _converted(self) -> dict[torch.dtype, torch.Tensor]:
        """Copies of ``vectors`` in other precisions, which all restrictions share."""
        return {}

    def vectors_in(self, dtype: torch.dtype) -> torch.Tensor:
        """Components of the references in float32 or float64, shape (N, r)."""
        if dtype == self.vectors.dtype:
            return self.vectors
        if dtype not in self._converted:
            self._converted[dtype] = self.vectors.to(dtype)
        return self._converted[dtype]

    def restricted(self, columns: torch.Tensor) -> Environments:
        """The references for descriptors that vanish outside the features ``columns`` (f,)."""
        products = self._products if self.products is None else self.products
        part = replace(self, basis=self.basis[columns], products=products)
        # The vectors are the same, and so is the search among them; ``search`` is not made where it
        # is not used.
        finder = ("search",) if self.near_known is None else ()
        for shared in ("near_known", "_converted", *finder):
            part.__dict__[shared] = getattr(self, shared)
        return part

    @cached_property
    def _products(self) -> torch.Tensor:
        """Scalar products of the columns of ``basis``, shape (r, r), float64."""
        return self.basis.double().T @ self.basis.double()

    def left_out(self, indices: torch.Tensor) -> torch.Tensor:
        """Squared lengths of the references ``indices`` in features left out, both shape (n,)."""
        if self.products is None:
            return self.vectors.new_zeros(len(indices))
        some = self.vectors[indices].double()
        return ((some @ (self.products - self._products)) * some).sum(1).clamp(min=0)

    def project(self, p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Components (n, r) of unit descriptors (n, F), and the rest of |p|^2 beyond them, (n,).

        The distance from a reference z = basis y is |p - z|^2 = |components - y|^2 + rest.
        """
        components = p @ self.basis.to(p.dtype)
        length, kept = (torch.linalg.vector_norm(each, dim=1) for each in (p, components))
        return components, (length.square() - kept.square()).clamp(min=0)

    @cached_property
    def near_known(self) -> NearKnown | None:
        """The search that is faster if near references are known. None means: use ``search``."""
        if self.weight is not None:
            return None
        if self.probed is not None:
            assert self.centroids is not None
            assert self.lists is not None
            return list_search(self.vectors, self.centroids, self.lists)
        return near_known_search(self.vectors)

    @property
    def probed(self) -> int | None:
        """Number of inverted lists that a search visits. None means that it visits all references.

        All are visited if there are no lists, few references or weights, and on a GPU, where all
        distances are a single matrix product.
        """
        few = len(self) <= SEARCHED_WHOLE or self.vectors.device.type != "cpu"
        if self.centroids is None or self.weight is not None or few:
            return None
        return probed_lists(len(self), len(self.centroids))

    def divided(self) -> Environments:
        """Return the same references, with inverted lists if they are many and faiss is there."""
        if len(self) <= SEARCHED_WHOLE or self.lists is not None:
            return self
        found = divided(self.vectors)
        return self if found is None else replace(self, centroids=found[0], lists=found[1])

    def undivided(self) -> Environments:
        """Return the same references without inverted lists: a search visits all of them."""
        return self if self.lists is None else replace(self, centroids=None, lists=None)

    def nearest(
        self,
        components: torch.Tensor,
        rest: torch.Tensor,
        k: int,
        known: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Distances |p - z|^2 and indices of the ``k`` nearest references, both shape (n, k).

        Args:
            components, rest: Shapes (n, r) and (n,), as ``project`` returns them.
            k: Number of references, at most ``usable``. They are ordered by distance over weight.
            known: References that are probably near, shape (n, k), to make the search faster. They
                change the result only where inverted lists are searched (``probed``): there it is
                the nearest of the known references and of those in the lists visited.
        """
        if self.near_known is not None:
            distances, indices = self.near_known(components, k, known)
            return distances + rest[:, None], indices
        return self.search(components, rest, k)

    def inverse_weights(self, indices: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
        """Inverse weights of the references ``indices``, in their shape. None means all 1."""
        return None if self.weight is None else 1 / self.weight[indices].to(dtype)

    def kept(self, rows: torch.Tensor) -> Environments:
        """The references that a mask (N,) or indices select; what was fitted stays with them."""
        weight = None if self.weight is None else as_weight(self.weight[rows])
        return replace(
            self,
            vectors=self.vectors[rows],
            structure=self.structure[rows],
            atom=self.atom[rows],
            weight=weight,
            lists=None if self.lists is None else self.lists[rows],
        )

    def to(self, device: torch.device | str) -> Environments:
        """Return the same references with all tensors on ``device``."""
        if self.device == full_name(device):
            return self
        return self.of_tensors({name: each.to(device) for name, each in self.tensors().items()})

    def tensors(self) -> dict[str, torch.Tensor]:
        """Tensors that are not None, by name; the fitted ones under "fitted/NAME"."""
        every = {each.name: getattr(self, each.name) for each in fields(self)}
        fitted = {f"{FITTED}{name}": tensor for name, tensor in every.pop("fitted").items()}
        own = {name: tensor for name, tensor in every.items() if tensor is not None}
        return {**own, **fitted}


def full_name(device: torch.device | str) -> torch.device:
    """The device as tensors on it name it: "cuda:0" for "cuda"."""
    return torch.empty(0, device=device).device
