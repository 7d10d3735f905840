"""Passwords in requests, and a hash that tests can hold up."""

import base64
import threading

# The password is "right"; the cost is the lowest.
USERS = "basic_auth_users: {alice: $2b$04$eOOOSLDd6DzJzXNPTPfaf.SR20ri.tmi0w52ikYmOVEsUL6tqgCvS}\n"
_BOUND_SECONDS = 30.0


def basic(user: str, password: str) -> str:
    """The `Authorization` header of a user."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Hashing:
    """Compares passwords with "hashes" that are the passwords themselves, and counts; waits while it is held."""

    def __init__(self) -> None:
        self.compared: list[tuple[bytes, bytes]] = []
        self.begun = threading.Event()
        self.released = threading.Event()
        self.released.set()

    def matches(self, password: bytes, hashed: bytes) -> bool:
        """Whether they are the same."""
        self.begun.set()
        assert self.released.wait(_BOUND_SECONDS)
        self.compared.append((password, hashed))
        return password == hashed
