"""A headless Chromium, driven over its own debugging pipe: no driver and no further package."""

import base64
import json
import os
import select
import subprocess
import tempfile
import time

from .agent import chromium


class Browser:
    """Opens pages and notes every request they make and every error they meet."""

    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(prefix="forebay-chromium-")
        from_browser, browser_out = os.pipe()
        browser_in, to_browser = os.pipe()
        # The browser expects its pipe at the descriptors 3 (in) and 4 (out).
        command = (
            f'exec "$0" "$@" 3<&{browser_in} 4>&{browser_out}'
        )
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
            "--disable-background-networking", "--disable-component-update", "--window-size=1280,1400", "--hide-scrollbars",
            f"--user-data-dir={self._profile.name}",
        ]
        self._child = subprocess.Popen(
            ["bash", "-c", command, chromium(), *flags, "about:blank"], pass_fds=(browser_in, browser_out),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(browser_in)
        os.close(browser_out)
        self._to, self._from = to_browser, from_browser
        self._buffer, self._count, self._session = b"", 0, None
        self.requests, self.errors = [], []

    def open(self, url):
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")
        self._call("Page.navigate", url=url)

    def evaluate(self, expression):
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]))

    def close(self):
        try:
            self._call("Browser.close", in_page=False)
        except (OSError, AssertionError):
            self._child.kill()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def _call(self, method, in_page=True, **params):
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session and in_page:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(event["params"]["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(event["params"]["exceptionDetails"])
            case "Log.entryAdded" if event["params"]["entry"]["level"] == "error":
                self.errors.append(event["params"]["entry"])

    def _read(self, deadline):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self._from, 1 << 16)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)
