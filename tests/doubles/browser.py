"""A real Chromium (Debian package `chromium`), driven over a pipe by its DevTools protocol."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_GENEROUS_SECONDS = 60.0
_END = b"\0"  # ends each message in both directions
_CHUNK = 1 << 16
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",  # descriptors 3 and 4: no port, no client library
)

Message = dict[str, Any]  # JSON of the protocol


class DevTools:
    """The client of the browser's pipe.

    Args:
        commands: Descriptor to write to.
        answers: Descriptor to read from.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._received = b""
        self._last_id = 0
        self.events: list[Message] = []

    def call(self, method: str, session: str = "", **parameters: object) -> Message:
        """Call a method; its error fails the test."""
        self._last_id += 1
        message: Message = {"id": self._last_id, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + _END)
        deadline = time.monotonic() + _GENEROUS_SECONDS
        while (answer := self._take(deadline)).get("id") != self._last_id:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        result: Message = answer["result"]
        return result

    def wait_for(self, wanted: Callable[[Message], bool]) -> Message:
        """Wait for the first matching event, past or future. `wait_for` then skips it and those before it."""
        deadline = time.monotonic() + _GENEROUS_SECONDS
        looked_at = 0
        while True:
            for event in self.events[looked_at:]:
                looked_at += 1
                if wanted(event):
                    return event
            self.events.append(self._take(deadline))

    def _take(self, deadline: float) -> Message:
        while _END not in self._received:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no message from the browser within {_GENEROUS_SECONDS} s"
            chunk = os.read(self._answers, _CHUNK)
            assert chunk, "the browser ended"
            self._received += chunk
        message, _, self._received = self._received.partition(_END)
        return dict(json.loads(message))


class Tab:
    """A page in the browser.

    Args:
        tools: The browser.
        width: The width of the window, in CSS pixels.
        scheme: `light` or `dark`.
    """

    def __init__(self, tools: DevTools, width: int, scheme: str) -> None:
        self._tools = tools
        target = tools.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = str(tools.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401  whatever the page's script gives
        """The value of a JavaScript expression in the page; an exception fails the test."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_for(self, method: str) -> None:
        """Wait for an event that `wait_for` has not returned yet."""
        event = self._tools.wait_for(lambda event: self._is(event, method) and not event.get("seen"))
        event["seen"] = True

    def events(self, *methods: str) -> list[Message]:
        """What the page has reported so far."""
        self._call("Runtime.evaluate", expression="0")  # its result arrives after all earlier events
        return [event["params"] for event in self._tools.events if any(self._is(event, m) for m in methods)]

    def accessibility_tree(self) -> list[tuple[str, str]]:
        """Role and name of every element that a screen reader receives."""
        self._call("Accessibility.enable")
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        return [
            (str(node["role"]["value"]), str(node.get("name", {}).get("value", "")))
            for node in nodes
            if not node["ignored"]
        ]

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        picture = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(picture["data"])

    def _call(self, method: str, **parameters: object) -> Message:
        return self._tools.call(method, self._session, **parameters)

    def _is(self, event: Message, method: str) -> bool:
        return event.get("sessionId") == self._session and event["method"] == method


class Browser:
    """A running browser; its tabs share only the process."""

    def __init__(self, tools: DevTools) -> None:
        self._tools = tools

    def tab(self, width: int = 1280, scheme: str = "light") -> Tab:
        """A new tab of this width."""
        return Tab(self._tools, width, scheme)


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start the browser with an empty profile; end it. A missing browser fails the test."""
    path = shutil.which("chromium")
    assert path is not None, "chromium not found: apt-get install chromium"
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    # A shell redirects the pipes to the descriptors that the browser uses: 3 and 4.
    placed = f'exec "$@" 3<&{command_read} 4>&{answer_write}'
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", placed, "bash", path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(command_read, answer_write),
            stdout=log,
            stderr=log,
        )
    os.close(command_read)
    os.close(answer_write)
    tools = DevTools(command_write, answer_read)
    try:
        yield Browser(tools)
        with contextlib.suppress(AssertionError, OSError):  # it may end before it answers
            tools.call("Browser.close")
        process.wait(_GENEROUS_SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(command_write)
        os.close(answer_read)
