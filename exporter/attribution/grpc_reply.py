"""Passes on the answer to one unary gRPC call from HTTP/2 events. No I/O."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar
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


T_co = TypeVar("T_co", covariant=True)


class MessageDecoder(Protocol[T_co]):
    """Decodes one message while it arrives. It may raise RpcError, which ends the call."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the message."""
        ...

    def finish(self) -> T_co:
        """Return the message; all of it has been fed."""
        ...


class Reply(Generic[T_co]):
    """The part of one answer that has arrived so far.

    Args:
        decoder: Is fed with the message.
        max_message_bytes: Size of the largest message accepted.

    Attributes:
        begun: True once any part of the answer has arrived.
        ended: True once all of it has arrived.
    """

    def __init__(self, decoder: MessageDecoder[T_co], max_message_bytes: int) -> None:
        self.begun = False
        self.ended = False
        self._decoder = decoder
        self._max_message_bytes = max_message_bytes
        self._prefix = b""
        self._missing_bytes = 0  # of the message, once the prefix is complete
        self._http_status = ""
        self._grpc_status: str | None = None
        self._grpc_message = ""

    def receive(self, event: Event) -> None:
        """Process one event of the call's stream; events that are not part of an answer are ignored.

        Raises:
            TooLargeError: The message's announced size is larger than allowed, or the decoder refused its content.
            RpcError: The peer reset the call, or the answer is not one uncompressed message that can be decoded.
        """
        if isinstance(event, ResponseReceived | TrailersReceived):
            self.begun = True
            self._record_headers(event.headers)
        elif isinstance(event, DataReceived):
            self._receive_data(event.data)
        elif isinstance(event, StreamEnded):
            self.ended = True
        elif isinstance(event, StreamReset):
            raise RpcError(f"the call was reset (HTTP/2 error {int(event.error_code)})")

    def message(self) -> T_co:
        """Return the decoded message of an answer that has ended.

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
        if len(self._prefix) < _PREFIX_BYTES or self._missing_bytes:
            raise RpcError("the answer ended before its message was complete")
        return self._decoder.finish()

    def _record_headers(self, headers: _Headers) -> None:
        for raw_name, raw_value in headers:
            name, value = _text(raw_name), _text(raw_value)
            if name == ":status":
                self._http_status = value
            elif name == "grpc-status":
                self._grpc_status = value
            elif name == "grpc-message":
                self._grpc_message = unquote(value, errors="replace")

    def _receive_data(self, data: bytes) -> None:
        """Decode the next bytes; raise as soon as they cannot become one uncompressed message of allowed size."""
        if len(self._prefix) < _PREFIX_BYTES:
            missing = _PREFIX_BYTES - len(self._prefix)
            self._prefix, data = self._prefix + data[:missing], data[missing:]
            if len(self._prefix) < _PREFIX_BYTES:
                return
            self._missing_bytes = self._message_bytes()
        if len(data) > self._missing_bytes:
            raise RpcError("the answer has more than one message")
        self._missing_bytes -= len(data)
        self._decoder.feed(data)

    def _message_bytes(self) -> int:
        if self._prefix[0]:
            raise RpcError("the answer is compressed, which was not requested")
        size = int.from_bytes(self._prefix[1:])
        if size > self._max_message_bytes:
            raise TooLargeError(f"the answer has {size} bytes, more than the {self._max_message_bytes} allowed")
        return size


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")


def _status_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len("4294967295")):
        raise RpcError(f"the gRPC status is not a number: {text!r}")
    return int(text)
