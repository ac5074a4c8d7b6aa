"""A server of files on this machine that behaves well or badly, and remembers what it was asked."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What the server has, how it behaves, and what it was asked.

    Attributes:
        files: Contents by name.
        ranges: Whether it sends parts of files.
        tags: Whether files have tags, which tell their versions apart.
        believes: Whether it sends a part of another version than was asked for.
        cuts: Numbers of bytes after which it breaks its next answers; None sends all.
        status: Answer to everything, in place of a file.
        silent: Seconds that it waits with its answers.
        asked: Name of the file and ``Range`` of each request.
    """

    files: dict
    ranges: bool = True
    tags: bool = True
    believes: bool = False
    cuts: list = field(default_factory=list)
    status: int | None = None
    silent: float = 0.0
    asked: list = field(default_factory=list)

    def __enter__(self):
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def address(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/{name}"

    def answer(self, request):
        name, wanted = request.path.strip("/"), request.headers.get("Range")
        self.asked.append((name, wanted))
        time.sleep(self.silent)
        if self.status is not None or name not in self.files:
            with suppress(ConnectionError):
                request.send_error(self.status or 404)
            return
        whole = self.files[name]
        tag = f'"{hash(whole)}"'
        start = 0
        if wanted and self.ranges:
            expected = request.headers.get("If-Range")
            if self.believes or expected in (None, tag):
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(whole):
            request.send_error(416)
            return
        body = whole[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        if self.tags:
            request.send_header("ETag", tag)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        with suppress(ConnectionError):  # of a client that gave up
            request.wfile.write(body[:cut])
