"""Reading ahead of the work and writing behind it, each in a thread of its own.

A few items wait between the threads, so that memory stays flat. An error of the other thread is
raised in the thread that waits for its work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Seconds after which a waiting thread wakes. Python runs the handlers of signals in the main
#: thread alone, which does not wake by itself if the system delivered a signal to another one.
PATIENCE = 0.2
#: Stands behind the last item.
END: Any = object()


def ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """Yield the same items, up to ``depth`` of them read by another thread before they are needed.

    The other thread ends with the iterator, whether that is exhausted, closed or fails.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="reading ahead")
    waiting: deque[Future] = deque()
    try:
        while True:
            while len(waiting) <= depth:
                waiting.append(pool.submit(next, iterator, END))
            item = _result(waiting.popleft())
            if item is END:
                return
            yield item
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        _settle(waiting)


def in_blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield items ``size`` at a time: to hand a list over costs as much as to hand over one item.

    What was read before an error comes before it.
    """
    block: list[T] = []
    try:
        for item in items:
            block.append(item)
            if len(block) == size:
                yield block
                block = []
    except Exception:
        yield block
        raise
    yield block


class Behind(Generic[T]):
    """Calls a function in another thread for one item after the other, in order.

    A context. If its body succeeds, it ends once every item is done. If its body fails, the items
    that wait are dropped.

    Args:
        opening: Context that yields the function. It is entered and left in the other thread, and
            left by an exception if the body or the function fails.
        depth: Largest number of items that wait.
    """

    def __init__(self, opening: AbstractContextManager[Callable[[T], Any]], depth: int):
        self._work = _in_turn(opening)
        self._depth = depth
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writing behind")
        self._waiting: deque[Future] = deque()

    def put(self, item: T) -> None:
        """Add an item; raise the error of an earlier one."""
        self._finish(self._depth)
        self._waiting.append(self._pool.submit(self._work.send, item))

    def __enter__(self) -> Behind[T]:
        self._waiting.append(self._pool.submit(next, self._work))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.put(END)
                self._finish(0)
        finally:
            for future in self._waiting:
                future.cancel()
            self._waiting.append(self._pool.submit(self._work.close))
            self._pool.shutdown(wait=False)
            _settle(self._waiting)

    def _finish(self, most: int) -> None:
        """Wait until at most ``most`` items are left."""
        waiting = self._waiting
        while waiting and (len(waiting) > most or waiting[0].done()):
            _result(waiting[0])
            waiting.popleft()


def _in_turn(opening: AbstractContextManager[Callable[[T], Any]]) -> Generator[None, T, None]:
    """Call the function of a context for each item that is sent, and leave the context at ``END``.

    Closing the generator earlier leaves the context by an exception.
    """
    with opening as function:
        while (item := (yield)) is not END:
            function(item)
    yield


def _result(future: Future) -> Any:
    """Return the result of a future, or raise its error."""
    if not future.done():
        _settle([future])
    return future.result()


def _settle(futures: Iterable[Future]) -> None:
    """Wait until all futures are done or cancelled.

    Not by the pool's own ``shutdown(wait=True)``: it joins the thread, and where a signal ends the
    joining Python takes the thread for dead, and the process may end while it still writes.
    """
    pending = [future for future in futures if not future.done()]
    while pending:
        pending = list(wait(pending, PATIENCE).not_done)
