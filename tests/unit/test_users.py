import base64
import threading
from queue import SimpleQueue

import bcrypt
import pytest

from exporter.web.access import Access
from exporter.web.users import UserLimits, Users, credentials
from tests.doubles.passwords import Hashing, basic

BOUND_SECONDS = 30.0
GENEROUS = UserLimits(peer_burst=1000, burst=1000)
PEER, OTHER = b"\x7f\x00\x00\x01", b"\x7f\x00\x00\x02"


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def answer(users: Users, authorization: str, peer: bytes = PEER) -> Access:
    """The access, at once or later."""
    later: SimpleQueue[Access] = SimpleQueue()
    access = users.check(authorization, peer, later.put)
    return later.get(timeout=BOUND_SECONDS) if access is None else access


def never(access: Access) -> None:
    raise AssertionError(access)


def made(hashing: Hashing, limits: UserLimits = GENEROUS, clock: Clock | None = None) -> Users:
    return Users({"alice": "right", "bob": "other"}, limits, clock or Clock(), hashing.matches)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("alice", "right"), (b"alice", b"right")),
        (basic("alice", "with:colon"), (b"alice", b"with:colon")),
        (basic("", ""), (b"", b"")),
        (basic("zo\u00eb", "p\u00e4ss"), ("zo\u00eb".encode(), "p\u00e4ss".encode())),
        ("basic   YTpi", (b"a", b"b")),
        ("BASIC YTpi ", (b"a", b"b")),
        ("", None),
        ("Basic", None),
        ("Basic ", None),
        ("Bearer YTpi", None),
        ("Basic YTpi, Basic YTpi", None),
        ("Basic YTp", None),
        ("Basic \u00e4", None),
        (f"Basic {base64.b64encode(b'nocolon').decode()}", None),
    ],
)
def test_user_and_password_of_a_header(header: str, expected: tuple[bytes, bytes] | None) -> None:
    assert credentials(header) == expected


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
@pytest.mark.parametrize("password", ["right", "", "p\u00e4ss", "x" * 72, "y" * 100])
def test_a_password_is_compared_with_its_bcrypt_hash(prefix: str, password: str) -> None:
    users = Users({"alice": prefix + hashed(password)[4:]}, GENEROUS)
    assert answer(users, basic("alice", f"wrong{password}")) is Access.REFUSED
    assert answer(users, basic("alice", password)) is Access.ALLOWED
    assert answer(users, basic("Alice", password)) is Access.REFUSED


def test_a_correct_password_costs_a_hash_once() -> None:
    hashing = Hashing()
    users = made(hashing)
    assert [answer(users, basic("alice", "right")) for _ in range(5)] == [Access.ALLOWED] * 5
    assert len(hashing.compared) == 1
    assert users.check(basic("alice", "right"), OTHER, never) is Access.ALLOWED


def test_a_password_that_was_correct_for_one_user_is_not_for_another() -> None:
    users = made(Hashing())
    assert answer(users, basic("alice", "right")) is Access.ALLOWED
    assert answer(users, basic("bob", "right")) is Access.REFUSED
    assert answer(users, basic("alice", "wrong")) is Access.REFUSED


def test_an_unknown_user_costs_what_a_wrong_password_costs_and_never_gets_in() -> None:
    hashing = Hashing()
    users = made(hashing)
    for password in ("right", "other"):
        assert [answer(users, basic("mallory", password)) for _ in range(2)] == [Access.REFUSED] * 2
    compared = {hashed for _, hashed in hashing.compared}
    assert len(hashing.compared) == 4
    assert len(compared) == 1
    assert compared < {b"right", b"other"}


def test_requests_with_the_same_password_wait_for_one_hash() -> None:
    hashing = Hashing()
    users = made(hashing)
    hashing.released.clear()
    answers: SimpleQueue[Access] = SimpleQueue()
    assert [users.check(basic("alice", "right"), PEER, answers.put) for _ in range(20)] == [None] * 20
    hashing.released.set()
    assert [answers.get(timeout=BOUND_SECONDS) for _ in range(20)] == [Access.ALLOWED] * 20
    assert len(hashing.compared) == 1


def test_a_password_that_is_known_does_not_wait_for_the_hash_of_another() -> None:
    hashing = Hashing()
    users = made(hashing)
    assert answer(users, basic("alice", "right")) is Access.ALLOWED
    hashing.released.clear()
    answers: SimpleQueue[Access] = SimpleQueue()
    assert users.check(basic("alice", "wrong"), PEER, answers.put) is None
    assert users.check(basic("alice", "right"), PEER, never) is Access.ALLOWED
    hashing.released.set()
    assert answers.get(timeout=BOUND_SECONDS) is Access.REFUSED


def test_wrong_passwords_of_a_peer_are_limited() -> None:
    hashing, clock = Hashing(), Clock()
    users = made(hashing, UserLimits(peer_burst=2, peer_interval_seconds=5.0, burst=100), clock)
    wrong = [answer(users, basic("alice", f"wrong{number}")) for number in range(4)]
    assert wrong == [Access.REFUSED, Access.REFUSED, Access.LIMITED, Access.LIMITED]
    assert answer(users, basic("alice", "right"), OTHER) is Access.ALLOWED
    assert answer(users, basic("alice", "right")) is Access.ALLOWED  # known by now: no hash
    clock.now += 5.0
    assert answer(users, basic("alice", "wrong")) is Access.REFUSED
    assert len(hashing.compared) == 4


def test_wrong_passwords_of_all_peers_together_are_limited() -> None:
    hashing, clock = Hashing(), Clock()
    users = made(hashing, UserLimits(burst=3, interval_seconds=1.0), clock)
    peers = [number.to_bytes(4) for number in range(6)]
    answers = [answer(users, basic("alice", "wrong"), peer) for peer in peers]
    assert answers == [Access.REFUSED] * 3 + [Access.LIMITED] * 3
    clock.now += 1.0
    assert answer(users, basic("alice", "right"), peers[-1]) is Access.ALLOWED


def test_correct_passwords_do_not_count_as_wrong_ones() -> None:
    users = Users(
        {f"user{number}": "right" for number in range(10)},
        UserLimits(peer_burst=1, burst=1),
        Clock(),
        Hashing().matches,
    )
    assert {answer(users, basic(f"user{number}", "right")) for number in range(10)} == {Access.ALLOWED}


def test_the_number_of_remembered_peers_is_limited() -> None:
    users = made(Hashing(), UserLimits(peer_burst=1, burst=1000, peers=2))
    for number in range(5):
        answer(users, basic("alice", "wrong"), number.to_bytes(4))
    assert len(users._peers) == 2
    assert answer(users, basic("alice", "wrong"), (4).to_bytes(4)) is Access.LIMITED


def test_no_thread_is_left_when_no_password_waits() -> None:
    users = made(Hashing())
    answer(users, basic("alice", "wrong"))
    for thread in threading.enumerate():
        if thread.name == "passwords":
            thread.join(BOUND_SECONDS)
            assert not thread.is_alive()


def test_a_bug_in_the_comparison_refuses_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_password: bytes, _hashed: bytes) -> bool:
        raise ArithmeticError

    users = Users({"alice": "right"}, GENEROUS, Clock(), fail)
    assert [answer(users, basic("alice", "right")) for _ in range(2)] == [Access.REFUSED] * 2
    assert "this is a bug in the exporter" in caplog.text


def test_if_no_thread_can_be_started_the_client_is_told_to_try_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    users = made(Hashing())
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert users.check(basic("alice", "right"), PEER, never) is Access.LIMITED
    assert "raise the process limit" in caplog.text
    assert answer(users, basic("alice", "right")) is Access.ALLOWED
