"""Operations on whole vectors, for kernels: scalar products, combinations, distances."""

from __future__ import annotations

from losiko_kernels.cpu.lanes import compiled, load, load_as, muladd, spread, store, total


@compiled
def dot(a, b):
    """Scalar product of two arrays, up to the length of the shorter."""
    zero, size = spread(a.dtype.type(0)), min(len(a), len(b))
    # Four sums side by side: a single one would stall at every step.
    s0, s1, s2, s3 = zero, zero, zero, zero
    for k in range(0, size - 31, 32):
        s0 = muladd(load(a, k), load(b, k), s0)
        s1 = muladd(load(a, k + 8), load(b, k + 8), s1)
        s2 = muladd(load(a, k + 16), load(b, k + 16), s2)
        s3 = muladd(load(a, k + 24), load(b, k + 24), s3)
    found = total(s0) + total(s1) + total(s2) + total(s3)
    for k in range(size // 32 * 32, size):
        found += a[k] * b[k]
    return found


@compiled
def combine(factor, a, other, b, out):
    """Write factor a + other b to ``out``, which may be a or b, up to the shortest length."""
    zero, size = spread(a.dtype.type(0)), min(len(a), len(b), len(out))
    kind = a.dtype.type
    first, second = spread(kind(factor)), spread(kind(other))
    for k in range(0, size - 7, 8):
        product = muladd(second, load(b, k), zero)
        store(muladd(first, load(a, k), product), out, k)
    for k in range(size // 8 * 8, size):
        out[k] = factor * a[k] + other * b[k]


@compiled
def apart(a, b):
    """Distance |a - b|^2, in the precision of a."""
    zero, minus = spread(a.dtype.type(0)), spread(a.dtype.type(-1))
    s0, s1, size = zero, zero, len(a)
    for k in range(0, size - 15, 16):
        d0 = muladd(load_as(b, k, a), minus, load(a, k))
        d1 = muladd(load_as(b, k + 8, a), minus, load(a, k + 8))
        s0, s1 = muladd(d0, d0, s0), muladd(d1, d1, s1)
    found = total(s0) + total(s1)
    for k in range(size // 16 * 16, size):
        difference = a[k] - b[k]
        found += difference * difference
    return found
