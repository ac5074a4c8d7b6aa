"""Reading and writing in threads: nothing is lost, queues are bounded, and errors cross over."""

import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager, nullcontext

import pytest

from losiko_torch.io.overlap import Behind, ahead, in_blocks


def running(name):
    """Threads of this name that are still there in a moment."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith(name)]
    for thread in threads:
        thread.join(1)
    return [thread for thread in threads if thread.is_alive()]


def test_ahead_gives_the_same_items_in_order():
    assert list(ahead(range(1000), 3)) == list(range(1000))
    assert list(ahead([], 3)) == []


def test_ahead_reads_ahead_but_not_far():
    taken = []

    def items():
        for k in range(100):
            taken.append(k)
            yield k

    read = ahead(items(), 5)
    assert next(read) == 0
    deadline = time.monotonic() + 60
    while len(taken) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    # The first item was taken, and five wait.
    assert len(taken) == 6
    read.close()
    assert not running("reading ahead")


def test_ahead_raises_what_reading_raises_after_what_was_read():
    def items():
        yield 1
        raise ValueError("broken")

    read = ahead(items(), 5)
    assert next(read) == 1
    with pytest.raises(ValueError, match="broken"):
        next(read)
    assert not running("reading ahead")


def test_ahead_that_nobody_ends_lets_the_process_end_silently():
    code = """
    import itertools
    from losiko_torch.io.overlap import ahead
    read = ahead(itertools.count(), 5)
    print(next(read))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 9])
def test_blocks_hold_all_in_order(count):
    blocks = list(in_blocks(range(count), 4))
    assert [item for block in blocks for item in block] == list(range(count))
    assert max(map(len, blocks)) <= 4


def test_what_was_read_before_an_error_comes_in_a_block_before_it():
    def items():
        yield from range(6)
        raise ValueError("broken")

    read, blocks = in_blocks(items(), 4), []
    with pytest.raises(ValueError, match="broken"):
        blocks.extend(read)
    assert blocks == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_behind_lets_no_more_wait_than_it_should(depth):
    """Memory stays flat: ``put`` waits until there is a place in the queue."""
    go, put = threading.Event(), []

    def work(writer):
        for k in range(10):
            writer.put(k)
            put.append(k)

    with Behind(nullcontext(lambda _: go.wait(60)), depth) as writer:
        putting = threading.Thread(target=work, args=[writer])
        putting.start()
        deadline = time.monotonic() + 60
        while len(put) < depth + 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        # The first item is in work, and ``depth`` items wait.
        assert put == list(range(depth + 1))
        go.set()
        putting.join()


def test_behind_does_nothing_more_after_an_error():
    done = []

    def fails_once(item):
        done.append(item)
        if item == 1:
            raise ValueError("cannot write 1")

    with pytest.raises(ValueError, match="cannot write 1"), Behind(nullcontext(fails_once), 9) as w:  # noqa: PT012
        for k in range(5):
            w.put(k)
    assert done == [0, 1]


def test_behind_does_all_in_order_and_waits_for_the_end():
    done = []

    def slowly(item):
        time.sleep(0.001)
        done.append((item, threading.current_thread().name))

    with Behind(nullcontext(slowly), 2) as writer:
        for k in range(50):
            writer.put(k)
    (name,) = {name for _, name in done}
    assert name.startswith("writing behind")
    assert [k for k, _ in done] == list(range(50))


@pytest.mark.parametrize("count", [1, 50])
def test_behind_raises_what_the_function_raises(count):
    def fails(item):
        raise ValueError(f"cannot write {item}")

    with pytest.raises(ValueError, match="cannot write 0"), Behind(nullcontext(fails), 1) as writer:  # noqa: PT012
        for k in range(count):
            writer.put(k)
    assert not running("writing behind")


def test_behind_drops_what_waits_when_the_work_fails():
    done, go = [], threading.Event()

    def wait(item):
        go.wait(60)
        done.append(item)

    with pytest.raises(KeyboardInterrupt), Behind(nullcontext(wait), 5) as writer:  # noqa: PT012
        for k in range(4):
            writer.put(k)
        threading.Timer(0.1, go.set).start()
        raise KeyboardInterrupt
    assert len(done) <= 1
    assert not running("writing behind")


@pytest.mark.parametrize("fails", [False, True])
def test_behind_opens_and_closes_in_its_own_thread(fails):
    told = []

    @contextmanager
    def opening():
        told.append(threading.current_thread().name)
        try:
            yield told.append
        except BaseException:
            told.append("dropped")
            raise
        told.append("kept")

    try:
        with Behind(opening(), 2) as writer:
            writer.put("item")
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert told[0].startswith("writing behind")
    assert told[-1] == ("dropped" if fails else "kept")
