"""The reference environments of one element: descriptors in few components, found by nearness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

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
    """Reference environments of one element.

    Attributes:
        vectors: Descriptors of unit length, projected on ``basis``, shape (N, r), float32.
        basis: Orthonormal columns, shape (F, r), float32.
        structure: Number of the structure each came from, shape (N,).
        atom: Index of the atom within that structure, shape (N,).
        weight: Of each, shape (N,), float32: its squared distance D counts as D / weight, and 0
            leaves it out. None: 1 each.
        centroids: Middles of the lists that divide a large number of references, (L, d), in their
            first d components (see ``lists``). None: there are none.
        lists: The list of each, (N,), int32. None: there are none.
        products: Of a restriction to some features: the scalar products of the columns of the
            whole basis, (r, r), float64. None: it is whole.
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

    @cached_property
    def usable(self) -> int:
        """How many can be chosen: those with a weight."""
        return len(self) if self.weight is None else int((self.weight > 0).sum())

    @property
    def length_kept(self) -> float:
        """Share of the squared length of their descriptors that their components keep."""
        squares = [some.square().sum(dtype=torch.float64) for some in self.vectors.split(2**16)]
        return float(torch.stack(squares).sum()) / len(self)

    @cached_property
    def search(self) -> Search:
        """What finds the nearest of them."""
        if self.weight is None:
            return plain_search(self.vectors)
        return weighted_search(self.vectors, self.weight)

    @cached_property
    def _converted(self) -> dict[torch.dtype, torch.Tensor]:
        """``vectors`` in other precisions; all restrictions share them."""
        return {}

    def vectors_in(self, dtype: torch.dtype) -> torch.Tensor:
        """``vectors`` in float32 or float64."""
        if dtype == self.vectors.dtype:
            return self.vectors
        if dtype not in self._converted:
            self._converted[dtype] = self.vectors.to(dtype)
        return self._converted[dtype]

    def restricted(self, columns: torch.Tensor) -> Environments:
        """For descriptors of which only these features, shape (f,), can differ from zero."""
        products = self._products if self.products is None else self.products
        part = replace(self, basis=self.basis[columns], products=products)
        # The vectors are the same, and so is whatever finds the nearest of them; ``search`` is not
        # made where it is not used.
        finder = ("search",) if self.near_known is None else ()
        for shared in ("near_known", "_converted", *finder):
            part.__dict__[shared] = getattr(self, shared)
        return part

    @cached_property
    def _products(self) -> torch.Tensor:
        """Scalar products of the basis' columns, (r, r), float64."""
        return self.basis.double().T @ self.basis.double()

    def left_out(self, indices: torch.Tensor) -> torch.Tensor:
        """Squared length of references (n,) in features that a restriction left out, (n,)."""
        if self.products is None:
            return self.vectors.new_zeros(len(indices))
        some = self.vectors[indices].double()
        return ((some @ (self.products - self._products)) * some).sum(1).clamp(min=0)

    def project(self, p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Components (n, r) of unit descriptors (n, F), and what they leave over of |p|^2, (n,).

        For references z = basis y the distance is |p - z|^2 = |components - y|^2 + rest.
        """
        components = p @ self.basis.to(p.dtype)
        length, kept = (torch.linalg.vector_norm(each, dim=1) for each in (p, components))
        return components, (length.square() - kept.square()).clamp(min=0)

    @cached_property
    def near_known(self) -> NearKnown | None:
        """What finds the nearest of them, faster from others that are near; None: ``search``."""
        if self.weight is not None:
            return None
        if self.probed is not None:
            assert self.centroids is not None
            assert self.lists is not None
            return list_search(self.vectors, self.centroids, self.lists)
        return near_known_search(self.vectors)

    @property
    def probed(self) -> int | None:
        """How many lists a search goes through; None: it goes through all references.

        It does where there are no lists or few references, where they are weighted, and on a GPU,
        to which all are a single matrix product.
        """
        few = len(self) <= SEARCHED_WHOLE or self.vectors.device.type != "cpu"
        if self.centroids is None or self.weight is not None or few:
            return None
        return probed_lists(len(self), len(self.centroids))

    def divided(self) -> Environments:
        """The same, with lists where there are many and faiss is installed."""
        if len(self) <= SEARCHED_WHOLE or self.lists is not None:
            return self
        found = divided(self.vectors)
        return self if found is None else replace(self, centroids=found[0], lists=found[1])

    def undivided(self) -> Environments:
        """The same without lists: all are searched."""
        return self if self.lists is None else replace(self, centroids=None, lists=None)

    def nearest(
        self,
        components: torch.Tensor,
        rest: torch.Tensor,
        k: int,
        known: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared distances |p - z|^2 and indices, both (n, k), of the ``k`` nearest references.

        Nearest by distance over weight; ``components`` (n, r) and ``rest`` (n,) as ``project``
        gives them, ``k`` at most ``usable``. To know k references that are near (n, k) may make it
        faster. It never changes the answer, but where lists are searched (``probed``): there the
        answer is the nearest of the known ones and of those that the lists hold.
        """
        if self.near_known is not None:
            distances, indices = self.near_known(components, k, known)
            return distances + rest[:, None], indices
        return self.search(components, rest, k)

    def inverse_weights(self, indices: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
        """1 / weight of these, in their shape; None where all weigh 1."""
        return None if self.weight is None else 1 / self.weight[indices].to(dtype)

    def kept(self, rows: torch.Tensor) -> Environments:
        """Those where the mask (N,) is true."""
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
        if self.vectors.device == full_name(device):
            return self
        return self.of_tensors({name: each.to(device) for name, each in self.tensors().items()})

    def tensors(self) -> dict[str, torch.Tensor]:
        """Tensors that are not None, by name; the fitted ones under "fitted/NAME"."""
        every = {each.name: getattr(self, each.name) for each in fields(self)}
        fitted = {f"{FITTED}{name}": tensor for name, tensor in every.pop("fitted").items()}
        own = {name: tensor for name, tensor in every.items() if tensor is not None}
        return {**own, **fitted}

    def without_fitted(self) -> Environments:
        """The same references, and nothing that was fitted to them."""
        return replace(self, fitted={}) if self.fitted else self


def full_name(device: torch.device | str) -> torch.device:
    """The device with its index, as tensors on it tell: "cuda:0" for "cuda"."""
    return torch.empty(0, device=device).device
