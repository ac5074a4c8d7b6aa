"""Downloads that are whole, cut, resumed, refused, damaged or late, from a server beside them."""

import hashlib
import random
import socket
from pathlib import Path

import pytest
from file_server import FileServer

from losiko_torch import InputError
from losiko_torch.io.fetching.dataset import Source
from losiko_torch.io.fetching.download import download, size_of

CONTENT = random.Random(1).randbytes(700_000)
OTHER = random.Random(2).randbytes(700_000)
FURTHER = "the same command goes on"


@pytest.fixture
def server():
    with FileServer({"file": CONTENT}) as running:
        yield running


@pytest.fixture
def part(tmp_path):
    return tmp_path / "out.part"


def get(server, part, content=CONTENT, **how):
    """Download; return what the callback was told."""
    told = []
    how = {"timeout": 5.0, "pause": 0.0, **how}
    source = Source(server.address("file"), hashlib.md5(content).hexdigest(), **how)
    download(source, part, lambda *each: told.append(each), "getting", FURTHER)
    return told


def begin(server, part, count=300_000):
    """Leave the first bytes in the part, as a call does that was cut short."""
    server.cuts = [count, *[0] * 9]
    with pytest.raises(
        InputError, match=r"the connection broke after .*: the same command goes on"
    ):
        get(server, part)
    assert part.read_bytes() == CONTENT[:count]
    server.cuts, server.asked = [], []


def kept(part):
    return sorted(each.name for each in part.parent.iterdir())


def test_a_whole_download_tells_how_far_it_is(server, part):
    told = get(server, part)
    assert part.read_bytes() == CONTENT
    assert server.asked == [("file", None)]
    steps, done, total = zip(*told, strict=True)
    assert set(steps) == {"getting"}
    assert set(total) == {len(CONTENT)}
    assert (done[0], done[-1]) == (0, len(CONTENT))
    assert list(done) == sorted(done)


def test_a_cut_connection_is_taken_up_again(server, part):
    server.cuts = [300_000, 100_000]
    told = get(server, part)
    assert part.read_bytes() == CONTENT
    assert server.asked == [("file", each) for each in (None, "bytes=300000-", "bytes=400000-")]
    assert told[-1] == ("getting", len(CONTENT), len(CONTENT))


def test_tries_that_bring_something_new_do_not_count(server, part):
    server.cuts = [100_000] * 6
    get(server, part, tries=2)
    assert part.read_bytes() == CONTENT
    assert len(server.asked) == 7


def test_the_next_call_asks_for_the_rest_only(server, part):
    begin(server, part)
    get(server, part)
    assert part.read_bytes() == CONTENT
    assert server.asked == [("file", "bytes=300000-")]


@pytest.mark.parametrize("tags", [True, False])
def test_a_server_without_ranges_sends_all_again(server, part, tags):
    server.ranges, server.tags = False, tags
    server.cuts = [300_000]
    get(server, part)
    assert part.read_bytes() == CONTENT
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("behaviour", "requests", "first"),
    [
        ({}, 1, 0),  # it sees the tag and sends all
        ({"believes": True}, 2, 0),  # the tag of what it sends shows it, and nothing of it is read
        ({"tags": False}, 2, 300_000),  # the checksum shows it
    ],
)
def test_a_file_that_has_changed_is_fetched_anew(server, part, behaviour, requests, first):
    for name, value in behaviour.items():
        setattr(server, name, value)
    begin(server, part)
    server.files["file"] = OTHER
    told = get(server, part, OTHER)
    assert part.read_bytes() == OTHER
    assert len(server.asked) == requests
    assert told[0] == ("getting", first, len(OTHER))


@pytest.mark.parametrize("count", [1000, len(CONTENT), len(CONTENT) + 1])
def test_a_part_of_something_else_is_replaced(server, part, count):
    part.write_bytes(b"x" * count)
    get(server, part)
    assert part.read_bytes() == CONTENT


def test_a_whole_part_is_not_fetched_again(server, part):
    part.write_bytes(CONTENT)
    assert get(server, part) == []
    assert server.asked == []


def test_another_checksum_is_refused_and_nothing_is_kept(server, part):
    with pytest.raises(InputError, match=r"its checksum \(MD5\) is \w+ instead of \w+: it has"):
        get(server, part, OTHER)
    assert len(server.asked) == 1
    assert kept(part) == []


@pytest.mark.parametrize(
    ("status", "requests"), [(404, 1), (403, 1), (204, 1), (202, 3), (429, 3), (503, 3)]
)
def test_answers_that_are_no_file(server, part, status, requests):
    server.status = status
    with pytest.raises(InputError, match=rf"127\.0\.0\.1.*/file: it answers {status} \("):
        get(server, part, tries=3)
    assert len(server.asked) == requests
    assert kept(part) == []


def test_a_refusal_leaves_what_has_come(server, part):
    begin(server, part)
    server.status = 404
    with pytest.raises(InputError, match="it answers 404"):
        get(server, part)
    assert size_of(part) == 300_000


def test_a_server_that_is_silent(server, part):
    server.silent = 0.5
    with pytest.raises(InputError, match=r"/file: nothing came for 0\.05 s$"):
        get(server, part, timeout=0.05, tries=2)
    assert len(server.asked) == 2


def test_no_server(part):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(InputError, match=r"/file: no server answers there$"):
            download(Source(address, "", tries=2, pause=0.0), part, print, "getting")
    assert kept(part) == []


def test_no_network(part, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    # A try that waited would take a minute.
    source = Source("http://somewhere/file", "", pause=60.0)
    with pytest.raises(InputError, match=r"Name or service not known\): is there a network\?$"):
        download(source, part, print, "getting")


@pytest.mark.parametrize("address", ["not an address", "foo://bar/file", "http://[bad/file"])
def test_no_address(part, address):
    with pytest.raises(InputError, match="it cannot be reached"):
        download(Source(address, ""), part, print, "getting")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there")
def test_a_full_disk(server, part):
    part.symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"out\.part: cannot be written \(No space left"):
        get(server, part)
