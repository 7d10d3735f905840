"""A small real HTTP server that sends what a test wants, also what no server should send."""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE_SECONDS = 20.0
_NO_HEADERS: Mapping[str, str] = {}

GOOD = """\
# TYPE accelerator_utilization_ratio gauge
accelerator_utilization_ratio{uuid="a"} 0.5
accelerator_utilization_ratio{uuid="b"} 0
# TYPE accelerator_memory_used_bytes gauge
accelerator_memory_used_bytes{uuid="a"} 1024
accelerator_memory_used_bytes{uuid="b"} 0
# TYPE accelerator_temperature_celsius gauge
accelerator_temperature_celsius{uuid="a"} 40
# TYPE accelerator_power_watts gauge
accelerator_power_watts{uuid="a"} 100
# TYPE accelerator_link_bandwidth gauge
accelerator_link_bandwidth{uuid="a"} 5
"""


def response(
    body: str | bytes, content_type: str = TEXT, status: str = "200 OK", headers: Mapping[str, str] = _NO_HEADERS
) -> bytes:
    """A whole HTTP response.

    Args:
        body: The body.
        content_type: Empty for no such header.
        status: The status and its reason.
        headers: More headers; one of these replaces the length of the body.
    """
    content = body.encode() if isinstance(body, str) else body
    fields = {
        "Content-Length": str(len(content)),
        **({"Content-Type": content_type} if content_type else {}),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


class MetricsEndpoint:
    """The server; one thread, one connection after the other.

    Args:
        answer: What to send to a request, whose head it gets; None to send nothing until the server stops.
    """

    def __init__(self, answer: bytes | Callable[[str], bytes | None]) -> None:
        self._answer = answer if callable(answer) else lambda _request: answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/metrics"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(_PATIENCE_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):  # the client may end it
                connection.settimeout(_PATIENCE_SECONDS)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        answer = self._answer(request.decode())
        if answer is None:
            self._stopped.wait(_PATIENCE_SECONDS)
        else:
            connection.sendall(answer)
