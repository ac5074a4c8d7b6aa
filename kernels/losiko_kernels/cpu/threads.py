"""Execution of a kernel on threads, as many as torch has if nothing else is said.

A kernel is a compiled function of ``(start, stop, *arguments)`` that computes the centers from
``start`` to ``stop`` and releases Python's global lock, so that plain threads serve. Each center is
computed by one thread in a fixed order: results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch

#: Number of centers for which a further thread usually pays.
WORTH_A_THREAD = 32


@lru_cache(maxsize=2)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def run(
    kernel: Callable[..., None],
    count: int,
    *arguments: Any,
    worth_a_thread: int = WORTH_A_THREAD,
    threads: int | None = None,
) -> None:
    """Call the kernel for all of ``count`` centers; torch tensors are passed as NumPy arrays.

    ``threads`` is the largest number of threads. None means as many as torch has.
    """
    given = [a.detach().numpy() if isinstance(a, torch.Tensor) else a for a in arguments]
    most = torch.get_num_threads() if threads is None else threads
    threads = min(most, count // worth_a_thread)
    if threads < 2:
        kernel(0, count, *given)
        return
    # Several parts a thread even out centers of different cost.
    edges = [count * part // (4 * threads) for part in range(4 * threads + 1)]
    pool = _pool(most)
    parts = [pool.submit(kernel, start, stop, *given) for start, stop in pairwise(edges)]
    for part in parts:
        part.result()
