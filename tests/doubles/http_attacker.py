"""A process that opens connections at a steady rate, pipelines requests on each and never reads.

Run as `python -m tests.doubles.http_attacker PORT SOURCE PER_SECOND SECONDS`; writes the number of connections opened.
"""

import contextlib
import socket
import sys
import time
from collections import deque

_REQUESTS = b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n" * 50
_KEPT = 400  # open at a time, below the usual limit of file descriptors


def attack(port: int, source: str, per_second: int, seconds: float) -> int:
    """Attack a port of this machine.

    Args:
        port: The port.
        source: The address of this machine to connect from.
        per_second: Connections to open in a second.
        seconds: For how long.

    Returns:
        Number of connections opened.
    """
    began = time.monotonic()
    held: deque[socket.socket] = deque()
    opened = 0
    while (elapsed := time.monotonic() - began) < seconds:
        if elapsed * per_second < opened:
            time.sleep(opened / per_second - elapsed)
            continue
        opened += 1
        client = socket.socket()
        client.bind((source, 0))
        client.settimeout(0.5)
        with contextlib.suppress(OSError):  # the server's queue is full, or it has closed the connection
            client.connect(("127.0.0.1", port))
            client.sendall(_REQUESTS)
        held.append(client)
        if len(held) > _KEPT:
            held.popleft().close()
    return opened


if __name__ == "__main__":
    sys.stdout.write(f"{attack(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))}\n")
