"""Archives of a few molecules, as those of reference data are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms


def write_archive(path: Path, given: Sequence[Atoms], **more: Any) -> Path:
    """Write molecules, and further arrays by name, to an archive; return its path."""
    path.parent.mkdir(exist_ok=True)
    np.savez(
        path,
        Z=np.concatenate([atoms.numbers for atoms in given]),
        R=np.concatenate([atoms.positions for atoms in given]),
        offsets=np.cumsum([0, *map(len, given)]),
        **more,
    )
    return path
