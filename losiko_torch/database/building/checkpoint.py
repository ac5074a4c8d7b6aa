"""Checkpoints of a build: finished parts in a folder, from which it continues after a kill.

The folder holds what the parts depend on (``configuration.json``), the bases of each pass, and the
parts projected onto them. Every file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from losiko_torch.database.building import order as layout
from losiko_torch.database.stored_descriptor import StoredDescriptor
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacement
from losiko_torch.systems.atom_weights import own_weights

CONFIGURATION = "configuration.json"
#: Patterns of the names of all files that a build writes into its folder.
PATTERNS = (CONFIGURATION, "bases-*.safetensors", "part-*.safetensors")

#: Components (n, r) of an element's environments, and the share of its squared length that each
#: lost, (n,).
Projected = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Parts:
    """Finished parts of a build in ``folder``. None means that nothing is kept."""

    folder: Path | None

    @classmethod
    def in_folder(cls, folder: Path, configuration: dict[str, Any]) -> Parts:
        """The parts of a build of this configuration, new or begun before.

        Raises:
            InputError: If the folder holds other files, or parts of another configuration.
        """
        path = folder / CONFIGURATION
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                if any(folder.iterdir()):
                    raise InputError(f"{folder}: holds other files, not the parts of a build")
                with replacement(path) as temporary:
                    temporary.write_text(json.dumps(configuration, indent=1))
            before = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder}: cannot be used for the parts of a build ({error})"
            ) from None
        if not isinstance(before, dict):
            raise InputError(f"{path}: damaged: remove the folder to begin anew")
        for name, value in json.loads(json.dumps(configuration)).items():
            if before.get(name) != value:
                raise InputError(
                    f"{folder}: the parts of a build with other {name} "
                    f"({_difference(before.get(name), value)}): remove the folder to begin anew"
                )
        return cls(folder)

    def bases(self, passage: int) -> dict[int, torch.Tensor] | None:
        """The bases of a pass by atomic number. None if they were not found yet."""
        found = self._read(f"bases-{passage}")
        return None if found is None else _by_number(found)

    def keep_bases(self, passage: int, bases: dict[int, torch.Tensor]) -> None:
        self._write(f"bases-{passage}", {chemical_symbols[z]: each for z, each in bases.items()})

    def load(
        self, passage: int, number: int, counts: dict[int, int]
    ) -> dict[int, Projected] | None:
        """A finished part by atomic number. None if it is not finished.

        Args:
            passage: Number of the pass.
            number: Number of the part.
            counts: Environments of each element that the part must have.

        Raises:
            InputError: If the file is damaged, or of another size.
        """
        found = self._read(_name(passage, number))
        if found is None:
            return None
        part = {
            z: (
                found.get(f"{chemical_symbols[z]}/vectors"),
                found.get(f"{chemical_symbols[z]}/lost"),
            )
            for z in counts
        }
        for z, each in part.items():
            if any(tensor is None or len(tensor) != counts[z] for tensor in each):
                raise InputError(f"{self.folder}: a part is damaged: remove the folder")
        return part  # type: ignore[return-value]

    def keep(self, passage: int, number: int, part: dict[int, Projected]) -> None:
        tensors = {}
        for z, (vectors, lost) in part.items():
            tensors[f"{chemical_symbols[z]}/vectors"] = _smallest(vectors)
            tensors[f"{chemical_symbols[z]}/lost"] = lost
        self._write(_name(passage, number), tensors)

    def _write(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        if self.folder is None:
            return
        with replacement(self.folder / f"{name}.safetensors", overwrite=True) as temporary:
            try:
                save_file({k: t.cpu().contiguous() for k, t in tensors.items()}, temporary)
            except SafetensorError as error:
                raise OSError(str(error)) from None

    def _read(self, name: str) -> dict[str, torch.Tensor] | None:
        path = None if self.folder is None else self.folder / f"{name}.safetensors"
        if path is None or not path.exists():
            return None
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: damaged ({error}): remove it to compute it anew") from None


def configuration_of(
    descriptor: nn.Module, components: dict[int, int | None], structures: list[Atoms]
) -> dict[str, Any]:
    """Everything that the parts of a build depend on, ready for JSON."""
    stored = StoredDescriptor.of(descriptor, sorted(components))
    told: dict[str, Any] = {"kind": stored.kind, **stored.parameters}
    if stored.tensor is not None:
        told["fingerprint"] = hashlib.sha256(stored.tensor.numpy().tobytes()).hexdigest()
    return {
        "descriptor": told,
        "components": {chemical_symbols[z]: count for z, count in components.items()},
        "structures": {"number": len(structures), "digest": digest(structures)},
        "sizes": {"at once": layout.ATOMS_AT_ONCE, "a part": layout.ATOMS_A_PART},
    }


def digest(structures: list[Atoms]) -> str:
    """Digest of all atoms, cells and weights of the structures, in their order."""
    found = hashlib.sha256()
    for atoms in structures:
        weights = own_weights(atoms)
        for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, weights):
            found.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        found.update(len(atoms).to_bytes(8, "little"))
    return found.hexdigest()


def remove_parts(folder: Path) -> None:
    """Remove the files of a build from its folder, and the folder if it is then empty."""
    for pattern in PATTERNS:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _smallest(vectors: torch.Tensor) -> torch.Tensor:
    """The vectors in float16 if float16 holds them exactly, else as they are."""
    half = vectors.half()
    return half if torch.equal(half.float(), vectors) else vectors


def _name(passage: int, number: int) -> str:
    return f"part-{passage}-{number:06}"


def _by_number(tensors: dict[str, torch.Tensor]) -> dict[int, torch.Tensor]:
    return {atomic_numbers[symbol]: tensor for symbol, tensor in tensors.items()}


def _difference(before: Any, now: Any) -> str:
    """The first entry that differs, or both values, as text."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in now:
            if before.get(key) != now[key]:
                inner = _difference(before.get(key), now[key])
                return f"{key}: {inner}" if isinstance(now[key], dict) else f"{key} {inner}"
    return f"{before} there, {now} here"
