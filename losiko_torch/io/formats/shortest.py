"""Numbers as the shortest text that is read as the same number, by the thousand.

Equal, character for character, to what Python writes.

>>> shortest(np.array([0.1, -2.5e-07, 3.0]))
['0.1', '-2.5e-07', '3.0']
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

#: Numbers from which on it pays to import Arrow, which writes them three times as fast as Python.
MANY = 1000
#: Sizes between which Arrow writes numbers that are not whole as Python does.
LEAST, MOST = 1e-4, 1e10


def shortest(values: np.ndarray) -> list[str]:
    """Return the ``repr`` of numbers (n,), those of single precision as of double."""
    values = np.ascontiguousarray(values, dtype=float)
    if len(values) < MANY or find_spec("pyarrow") is None:
        return list(map(repr, values.tolist()))
    import pyarrow as pa
    import pyarrow.compute as pc

    # To make an array of NumPy's, Arrow would import pandas.
    numbers = pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])
    text = pc.cast(numbers, pa.string()).to_pylist()
    size = np.abs(values)
    # Written so that what is no number is among the others.
    alike = (size >= LEAST) & (size < MOST) & (values != np.floor(values))
    for k in np.flatnonzero(~alike).tolist():
        text[k] = repr(float(values[k]))
    return text
