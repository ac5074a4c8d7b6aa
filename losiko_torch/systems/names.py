"""The names of structures: where they were read, and what they are known by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Key under which a structure remembers the file and the frame it was read from.
SOURCE = "losiko_source"
#: Key under which what stands for an unreadable structure tells why it cannot be read.
UNREADABLE = "losiko_unreadable"


def known_as(info: Mapping[str, Any], formula: str, number: int) -> str:
    """What a structure is known by, and its formula: "ethanol, in.xyz@3 (C2H6O)"."""
    keys = ("name", "material_id", "smiles", "id", "source", SOURCE)
    known = [str(info[key]) for key in keys if isinstance(info.get(key), (str, int, np.integer))]
    return f"{', '.join(known) or f'structure {number}'} ({formula or 'no atoms'})"
