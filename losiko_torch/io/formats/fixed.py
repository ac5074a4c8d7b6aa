"""Columns of numbers as text with eight decimals, by table instead of one by one.

Equal, byte for byte, to what Python writes for "%16.8f".

>>> as_text(np.array([-0.5, 1234.000000004])).tobytes()
b'     -0.50000000   1234.00000000'
"""

from __future__ import annotations

from functools import cache

import numpy as np

#: Characters of a number, and those behind its point.
WIDTH, DECIMALS = 16, 8
#: Numbers are smaller than this.
MOST = 10_000
#: Distance from a tie between two last digits, in units of these, within which Python rounds: the
#: product of a number and 1e8 has a smaller error.
TIE = 1e-3
#: Numbers that are worked on together: what is in between stays in the processor's cache.
TOGETHER = 8192


def as_text(values: np.ndarray) -> np.ndarray:
    """Return numbers (...) as text, shape (..., 16), bytes; all are finite and below ``MOST``."""
    values = np.asarray(values, dtype=float)
    text = np.empty((*values.shape, WIDTH), dtype=np.uint8)
    every, rows = values.reshape(-1), text.reshape(-1, WIDTH)
    for first in range(0, len(every), TOGETHER):
        _write(every[first : first + TOGETHER], rows[first : first + TOGETHER])
    return text


def _write(values: np.ndarray, text: np.ndarray) -> None:
    """Write numbers (n,) into ``text`` (n, 16)."""
    scaled = np.abs(values) * 10.0**DECIMALS
    digits = np.rint(scaled)
    # Whole numbers below 2^53 are exact, and so are quotients rounded down from a half beyond.
    tens = np.floor((digits + 0.5) * 1e-4)
    integers = np.floor((tens + 0.5) * 1e-4)
    signed = np.copysign(integers + 1, values)
    text[:, :8].view(np.uint64)[:, 0] = _integers()[signed.astype(int)]
    text[:, 8:12].view(np.uint32)[:, 0] = _four_digits()[(tens - integers * 1e4).astype(int)]
    text[:, 12:].view(np.uint32)[:, 0] = _four_digits()[(digits - tens * 1e4).astype(int)]
    for k in np.flatnonzero(np.abs(scaled - digits) > 0.5 - TIE).tolist():
        text[k] = np.frombuffer(b"%16.8f" % float(values[k]), dtype=np.uint8)


@cache
def _integers() -> np.ndarray:
    """Return the text of k, with the point, at k + 1 and that of -k at -k - 1, as integers.

    k goes from 0 to ``MOST``. Zero has a sign as well.
    """
    numbers = range(MOST + 1)
    text = [b" " * 8, *(b"%7d." % k for k in numbers)]
    text += [(b"-%d." % k).rjust(8) for k in reversed(numbers)]
    return np.frombuffer(b"".join(text), dtype=np.uint64)


@cache
def _four_digits() -> np.ndarray:
    return np.frombuffer(b"".join(b"%04d" % k for k in range(10**4)), dtype=np.uint32)
