"""Data of a page as text: compressed, and made of characters that no script ends with.

A page unpacks it by the browser's own ``DecompressionStream("deflate")``.

>>> unpacked(packed(b"abc"))
b'abc'
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

#: Bits of a float32 that are set to zero, so that 4 digits stay and the rest takes no space.
ROUNDED = 10


def packed(data: bytes) -> str:
    """Return bytes as deflated base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpacked(text: str) -> bytes:
    """Return the bytes that ``packed`` made text of."""
    return zlib.decompress(base64.b64decode(text))


def packed_json(data: Any) -> str:
    """Return data as packed JSON; it must hold no NaN."""
    return packed(json.dumps(data, allow_nan=False, separators=(",", ":")).encode())


def packed_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[list[list[Any]], str]:
    """Return a list of (name, type, length) of arrays, and all of them packed, one after the other.

    Numbers are little-endian, and the first bytes of all numbers of an array lie before their
    second bytes: so they compress best.
    """
    listed, parts = [], []
    for name, values in arrays.items():
        flat = np.ascontiguousarray(values.reshape(-1))
        little = flat.astype(flat.dtype.newbyteorder("<"))
        listed.append([name, flat.dtype.name, len(flat)])
        planes = little.view(np.uint8).reshape(len(flat), flat.dtype.itemsize)
        parts.append(planes.T.tobytes())
    return listed, packed(b"".join(parts))


def rounded(values: np.ndarray) -> np.ndarray:
    """Return numbers as float32 with 4 significant digits."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    return (bits & np.uint32((0xFFFFFFFF << ROUNDED) & 0xFFFFFFFF)).view(np.float32)


def short_floats(values: Iterable[float | None], digits: int = 5) -> list[float | None]:
    """Return numbers of so many significant digits for JSON; None in the place of NaN."""
    return [
        None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")
        for value in values
    ]
