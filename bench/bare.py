"""A server that only copies bytes, to compare with: `python -m bench.bare PORT FILE` answers every request with a file.

It does what no server can do without: wait, receive, send. It serves one connection after the other.
"""

import socket
import sys
from pathlib import Path

_RECEIVED_BYTES = 16 * 1024


def main() -> None:
    """Serve until the process is ended."""
    port, file = sys.argv[1:]
    body = Path(file).read_bytes()
    response = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body]
    with socket.create_server(("127.0.0.1", int(port))) as listening:
        while True:
            client, _ = listening.accept()
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while client.recv(_RECEIVED_BYTES):
                    _send(client, response)


def _send(client: socket.socket, response: list[bytes]) -> None:
    sent = client.sendmsg(response)
    whole = b"".join(response)
    if sent < len(whole):
        client.sendall(memoryview(whole)[sent:])


if __name__ == "__main__":
    main()
