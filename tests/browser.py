"""A headless Chromium that tests drive over a pipe, by its own protocol: nothing else is needed.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

#: The script of the package axe-core, for example of `npm install axe-core` in the repository.
AXE = Path(
    os.environ.get("AXE_CORE")
    or Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
)
NO_AXE = "axe-core is not installed (npm install axe-core, or AXE_CORE=.../axe.min.js)"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--hide-scrollbars"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--disable-extensions"),
)
#: Seconds after which a page is taken to hang.
PATIENCE = 90


class Tab:
    """A tab of a browser.

    Attributes:
        complaints: Errors of scripts, and what the console has of errors.
        requests: Addresses that were asked for.
    """

    def __init__(self, write, read: Queue):
        self._write, self._read, self._number, self._session = write, read, 0, None
        self.complaints, self.requests = deque(), deque()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        """Call a method of the protocol and return what it returns."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write(json.dumps(message).encode() + b"\0")
        while True:
            try:
                answer = self._read.get(timeout=PATIENCE)
            except Empty:
                raise TimeoutError(f"{method}: no answer") from None
            if answer is None:
                raise ConnectionError(f"{method}: the browser has ended")
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict) -> None:
        told = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        if event.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"])
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def size(self, width: int, height: int, dark: bool = False) -> None:
        """Set the window's size, and whether the system is dark."""
        mobile = width < 600
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, page: Path, ready: str = "document.readyState === 'complete'") -> None:
        """Open a page and wait until it is ready, as an expression says."""
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait(ready)

    def run(self, script: str):
        """Return the value of an expression in the page; promises are awaited."""
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        details = done.get("exceptionDetails")
        assert details is None, details.get("exception", {}).get("description", details["text"])
        return done["result"].get("value")

    def wait(self, condition: str, seconds: float = 0.8 * PATIENCE) -> None:
        """Wait until an expression is true."""
        script = f"""new Promise((done, fail) => {{
            const end = performance.now() + {1000 * seconds};
            const look = () => {{
                let now = false;
                try {{ now = {condition}; }} catch {{ now = false; }}
                if (now) done(true);
                else if (performance.now() > end) fail(new Error({json.dumps(condition)}));
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        self.run(script)

    def place(self, selector: str) -> tuple[float, float, float, float]:
        """Return left, top, width and height of an element, which is scrolled into view."""
        script = f"""(() => {{
            const found = document.querySelector({json.dumps(selector)});
            found.scrollIntoView({{ block: "center" }});
            const box = found.getBoundingClientRect();
            return [box.left, box.top, box.width, box.height];
        }})()"""
        return tuple(self.run(script))

    def click(self, selector: str) -> None:
        """Click in the middle of an element, with the mouse."""
        left, top, width, height = self.place(selector)
        self.drag((left + width / 2, top + height / 2))

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point, move it to the others, and release it."""
        button = {"button": "left", "clickCount": 1}
        for k, (x, y) in enumerate(points):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left")
            if k == 0:
                self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **button)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, **button)

    def press(self, key: str) -> None:
        """Press and release a key, by its name: "ArrowDown"; " " is the space bar."""
        text = {"text": key} if len(key) == 1 else {}
        code = {"Tab": 9, "Enter": 13, "ArrowUp": 38, "ArrowDown": 40, "Home": 36, "End": 35}
        known = {"key": key, "windowsVirtualKeyCode": code.get(key, ord(key[0]))}
        self.call("Input.dispatchKeyEvent", type="keyDown", **known, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, whole: bool = False) -> None:
        """Write a picture of the window, or of the whole page, as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(downloads: Path | None = None):
    """Yield a tab of a new browser, which ends with the context.

    Args:
        downloads: Folder for files that pages have downloaded.
    """
    to_child, from_us = os.pipe()
    to_us, from_child = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser reads from descriptor 3 and writes to 4.
        command = f'exec "$0" "$@" 3<&{to_child} 4>&{from_child}'
        options = [*OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        process = subprocess.Popen(
            ["bash", "-c", command, CHROMIUM, *options],
            pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        answers: Queue = Queue()

        def listen() -> None:
            rest = b""
            while part := os.read(to_us, 1 << 16):
                *whole, rest = (rest + part).split(b"\0")
                for message in whole:
                    answers.put(json.loads(message))
            answers.put(None)

        reader = threading.Thread(target=listen, daemon=True)
        reader.start()
        try:
            tab = Tab(lambda data: _write_all(from_us, data), answers)
            if downloads is not None:
                tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
            yield tab
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join(10)
            os.close(from_us)
            os.close(to_us)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
