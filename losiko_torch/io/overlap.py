"""Doing two things at once: reading ahead of who takes, and writing behind who gives.

Both hand things over through a queue that holds a few, so that memory stays flat. What fails in the
other thread fails here.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Seconds after which a thread that waits looks whether it is still wanted.
PATIENCE = 0.2


def ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """The same items, of which up to ``depth`` are got in another thread before they are asked for.

    The other thread ends with the iterator, however that ends.
    """
    waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
    unwanted = threading.Event()

    def offer(is_item: bool, value: Any) -> bool:
        while not unwanted.is_set():
            try:
                waiting.put((is_item, value), timeout=PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def get() -> None:
        try:
            for item in items:
                if not offer(True, item):
                    return
            offer(False, None)
        except BaseException as error:  # for the other thread to raise
            offer(False, error)

    thread = threading.Thread(target=get, name="reading ahead", daemon=True)
    thread.start()
    try:
        while True:
            is_item, value = waiting.get()
            if is_item:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:
        unwanted.set()
        thread.join()


class Behind(Generic[T]):
    """Has another thread do something with one thing after the other, in order.

    A context: all is done when it ends well; what waits is dropped when it ends by an exception.

    Args:
        opening: A context that yields the function to be called. It is entered and left in the
            other thread, by an exception where this one's is.
        depth: Things that wait, at most.
    """

    def __init__(self, opening: AbstractContextManager[Callable[[T], Any]], depth: int):
        self._opening = opening
        self._waiting: queue.Queue[T | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._unwanted, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="writing behind", daemon=True)

    def put(self, item: T) -> None:
        """Hand over one thing; raises what went wrong with an earlier one."""
        self._raise()
        while not self._offer(item):
            self._raise()

    def __enter__(self) -> Behind[T]:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._unwanted.set()
        try:
            self._end()
        except BaseException:  # interrupted while it waited
            self._unwanted.set()
            self._end()
            raise
        if kind is None:
            self._raise()

    def _end(self) -> None:
        # Not by ``join``, which leaves a thread for dead when a signal ends the waiting. Now and
        # then this one has to wake, to be told of signals that the other one got.
        while not self._ended.is_set() and not self._offer(None):
            pass
        while not self._ended.wait(PATIENCE):
            pass

    def _offer(self, item: T | None) -> bool:
        try:
            self._waiting.put(item, timeout=PATIENCE)
        except queue.Full:
            return False
        return True

    def _work(self) -> None:
        try:
            with self._opening as function:
                while (item := self._waiting.get()) is not None and not self._unwanted.is_set():
                    function(item)
                if self._unwanted.is_set():
                    raise _Unwanted
        except _Unwanted:
            pass
        except BaseException as error:  # for the other thread to raise
            self._error = error
        finally:
            self._ended.set()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


class _Unwanted(Exception):
    """The other thread failed."""
