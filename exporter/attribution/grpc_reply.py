"""Assembles the answer to one unary gRPC call from HTTP/2 events. No I/O."""

from collections.abc import Iterable
from urllib.parse import unquote

from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from exporter.attribution.rpc_error import RpcError, StatusError, TooLargeError

_PREFIX_BYTES = 5  # one byte of flags, four of length, big endian
_OK = 0
_STATUS_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

_Headers = Iterable[tuple[bytes | str, bytes | str]]


class Reply:
    """The part of one answer that has arrived so far.

    Args:
        max_message_bytes: Size of the largest message accepted.

    Attributes:
        begun: True once any part of the answer has arrived.
        ended: True once all of it has arrived.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self.begun = False
        self.ended = False
        self._max_message_bytes = max_message_bytes
        self._body = bytearray()
        self._http_status = ""
        self._grpc_status: str | None = None
        self._grpc_message = ""

    def receive(self, event: Event) -> None:
        """Process one event of the call's stream; events that are not part of an answer are ignored.

        Raises:
            TooLargeError: The message's announced size is larger than allowed.
            RpcError: The peer reset the call, or the answer is not one uncompressed message.
        """
        if isinstance(event, ResponseReceived | TrailersReceived):
            self.begun = True
            self._record_headers(event.headers)
        elif isinstance(event, DataReceived):
            self._body += event.data
            self._check_body()
        elif isinstance(event, StreamEnded):
            self.ended = True
        elif isinstance(event, StreamReset):
            raise RpcError(f"the call was reset (HTTP/2 error {int(event.error_code)})")

    def message(self) -> bytes:
        """Return the message of an answer that has ended.

        Raises:
            StatusError: The peer reports that the call failed.
            RpcError: The answer is not a complete message with a status.
        """
        if self._grpc_status is None:
            raise RpcError(f"the answer has no gRPC status (HTTP status {self._http_status or 'missing'})")
        status = _status_number(self._grpc_status)
        if status != _OK:
            name = _STATUS_NAMES[status] if status < len(_STATUS_NAMES) else f"status {status}"
            raise StatusError(f"{name}: {self._grpc_message}", status)
        if len(self._body) < _PREFIX_BYTES or len(self._body) < self._total_bytes():
            raise RpcError("the answer ended before its message was complete")
        return bytes(memoryview(self._body)[_PREFIX_BYTES:])

    def _record_headers(self, headers: _Headers) -> None:
        for raw_name, raw_value in headers:
            name, value = _text(raw_name), _text(raw_value)
            if name == ":status":
                self._http_status = value
            elif name == "grpc-status":
                self._grpc_status = value
            elif name == "grpc-message":
                self._grpc_message = unquote(value, errors="replace")

    def _total_bytes(self) -> int:
        return _PREFIX_BYTES + int.from_bytes(self._body[1:_PREFIX_BYTES])

    def _check_body(self) -> None:
        """Raise as soon as the body cannot become one uncompressed message of allowed size."""
        if len(self._body) < _PREFIX_BYTES:
            return
        if self._body[0]:
            raise RpcError("the answer is compressed, which was not requested")
        size = self._total_bytes() - _PREFIX_BYTES
        if size > self._max_message_bytes:
            raise TooLargeError(f"the answer has {size} bytes, more than the {self._max_message_bytes} allowed")
        if len(self._body) > self._total_bytes():
            raise RpcError("the answer has more than one message")


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")


def _status_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len("4294967295")):
        raise RpcError(f"the gRPC status is not a number: {text!r}")
    return int(text)
