"""A decoder that returns the message itself."""


class WholeMessage:
    """Decodes nothing."""

    def __init__(self) -> None:
        self._message = bytearray()

    def feed(self, data: bytes) -> None:
        self._message += data

    def finish(self) -> bytes:
        return bytes(self._message)
