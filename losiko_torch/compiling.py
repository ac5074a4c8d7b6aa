"""A message when kernels for the processor begin to be compiled, which takes a while.

numba compiles a kernel where one of its kind is first called for numbers of a precision, and keeps
it on disk, so that most processes compile none and say nothing.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

#: Ends of the line: where kernels are kept, and where no folder can be written to.
KEPT = "once: they are kept in {folder}"
NOT_KEPT = "anew in each process, as no folder can be written to (NUMBA_CACHE_DIR may name one)"


def say(text: str) -> None:
    """Log a message, as a warning: without a handler Python prints those, and nothing below."""
    logging.getLogger(__name__).warning(text)


@lru_cache(maxsize=1)
def tell_of_compiling() -> None:
    """Say from now on, once in the process, that kernels are compiled and where they are kept."""
    from numba.core import event

    class Told(event.Listener):
        told = False

        def on_start(self, event: Any) -> None:
            module = getattr(event.data["dispatcher"].py_func, "__module__", "")
            if self.told or not module.startswith("losiko_kernels."):
                return
            self.told = True
            folder = event.data["dispatcher"].stats.cache_path
            end = NOT_KEPT if folder is None else KEPT.format(folder=folder)
            say(f"compiling kernels for this processor, {end}")

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Told())
