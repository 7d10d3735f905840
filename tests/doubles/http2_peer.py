"""A scripted HTTP/2 server on a unix socket, for behaviour that a correct gRPC server never shows."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, RequestReceived, StreamEnded

_PATIENCE_SECONDS = 20.0
OK = (("grpc-status", "0"),)
RESPONSE = ((":status", "200"), ("content-type", "application/grpc"))


def framed(message: bytes, flag: int = 0) -> bytes:
    """A message with the gRPC prefix: a flag and the length."""
    return bytes([flag]) + len(message).to_bytes(4) + message


class Conversation:
    """One accepted connection, driven by a script.

    Attributes:
        socket: For bytes that are not HTTP/2.
        http: For other frames; `flush` sends them.
        headers: The headers of the latest request.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(_PATIENCE_SECONDS)
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.headers: dict[str, str] = {}

    def request(self) -> int:
        """Wait for the next whole request and return its stream."""
        if not self.http.streams:
            self.http.initiate_connection()
        while True:
            for event in self._receive():
                if isinstance(event, RequestReceived):
                    self.headers = {str(name): str(value) for name, value in event.headers}
                if isinstance(event, StreamEnded):
                    return event.stream_id

    def answer(self, message: bytes, *, frame_bytes: int = 16_384) -> None:
        """Wait for the next request and answer it as a gRPC server does."""
        stream = self.request()
        self.respond(stream)
        self.data(stream, framed(message), frame_bytes=frame_bytes)
        self.trailers(stream, OK)

    def respond(self, stream: int, headers: Iterable[tuple[str, str]] = RESPONSE, *, end: bool = False) -> None:
        """Send the headers of an answer."""
        self.http.send_headers(stream, tuple(headers), end_stream=end)
        self.flush()

    def data(self, stream: int, body: bytes, *, frame_bytes: int = 16_384, padding: int | None = None) -> None:
        """Send a body in frames of the given size, as fast as flow control allows."""
        rest = memoryview(body)
        overhead = 0 if padding is None else padding + 1
        while rest:
            size = min(len(rest), frame_bytes, self.http.local_flow_control_window(stream) - overhead)
            if size <= 0:
                self._receive()
                continue
            self.http.send_data(stream, bytes(rest[:size]), pad_length=padding)
            rest = rest[size:]
            self.flush()

    def trailers(self, stream: int, headers: Iterable[tuple[str, str]]) -> None:
        """End an answer."""
        self.http.send_headers(stream, tuple(headers), end_stream=True)
        self.flush()

    def flush(self) -> None:
        """Send the pending bytes of the HTTP/2 state."""
        self.socket.sendall(self.http.data_to_send())

    def until_closed(self) -> None:
        """Read and discard until the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65_536):
                pass

    def _receive(self) -> list[Event]:
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionResetError("the client closed the connection")
        events = self.http.receive_data(data)
        self.flush()
        return events


Script = Callable[[Conversation], None]


def answering(*messages: bytes) -> Script:
    """Answer one call after the other, then wait until the client disconnects."""

    def script(peer: Conversation) -> None:
        for message in messages:
            peer.answer(message)
        peer.until_closed()

    return script


def replying(*headers: tuple[str, str], body: bytes = b"") -> Script:
    """Answer one call with this body and these trailers, then wait until the client disconnects."""

    def script(peer: Conversation) -> None:
        stream = peer.request()
        peer.respond(stream)
        peer.data(stream, body)
        peer.trailers(stream, headers)
        peer.until_closed()

    return script


class Peer:
    """Listens at once; passes each accepted connection to the next script, and closes it when the script has ended.

    At the end of the `with` block it raises the exception of a script, except that the client disconnected.

    Args:
        path: The socket's path.
        scripts: One for each connection, in order.
    """

    def __init__(self, path: Path, *scripts: Script) -> None:
        self._scripts = scripts
        self._error: Exception | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run, name="http2-peer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits in accept
        self._thread.join(_PATIENCE_SECONDS)
        self._listener.close()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        for script in self._scripts:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(ConnectionError):
                try:
                    script(Conversation(connection))
                except ConnectionError:
                    raise
                except Exception as error:  # noqa: BLE001 - handed to the test's own thread
                    self._error = error
                    return
