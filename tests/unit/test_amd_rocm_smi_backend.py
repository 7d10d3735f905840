import json
from collections.abc import Mapping

import pytest

from collectors.amd.rocm_smi.backend import RocmSmiBackend
from collectors.amd.rocm_smi.binding import Meaning
from collectors.amd.rocm_smi.child import DiedError
from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError, NoDataError, PermanentlyUnsupportedError

ADDRESS = "0000:63:00.0"


class FakeChild:
    """Answers from a table; some readings end the process."""

    def __init__(self, values: Mapping[str, object], deadly: frozenset[str] = frozenset()) -> None:
        self.values = values
        self.deadly = deadly
        self.killed_once_at = ""
        self.answer: object = None
        self.asked: list[list[str]] = []
        self.backoff_resets = 0
        self.closed = 0

    def request(self, line: bytes) -> bytes:
        request = json.loads(line)
        names: list[str] = request["read"]
        self.asked.append(names)
        for name in names:
            if name == self.killed_once_at:
                self.killed_once_at = ""
                raise DiedError("killed", name)
            if name in self.deadly:
                raise DiedError("aborted", name)
        values = {name: self.values[name] for name in names}
        return json.dumps(self.answer or {"library": "librocm_smi64", "version": "5.2.3", "values": values}).encode()

    def reset_backoff(self) -> None:
        self.backoff_resets += 1

    def close(self) -> None:
        self.closed += 1


def nothing_against(_: str, __: str) -> None:
    pass


def read(child: FakeChild, *names: str) -> list[float | CollectorError]:
    return RocmSmiBackend(child, nothing_against).read(ADDRESS, names)


def test_values_come_in_the_order_of_the_names() -> None:
    assert read(FakeChild({"a": 1, "b": 2.5}), "b", "a") == [2.5, 1]


@pytest.mark.parametrize(
    ("meaning", "expected", "reason"),
    [
        (Meaning.UNSUPPORTED, UnsupportedError, None),
        (Meaning.DENIED, UnavailableError, Reason.PERMISSION_DENIED),
        (Meaning.UNAVAILABLE, UnavailableError, Reason.UNAVAILABLE),
        (Meaning.NOTHING, NoDataError, None),
        (Meaning.INVALID, InvalidValueError, Reason.INVALID_VALUE),
    ],
)
def test_a_status_is_an_error_of_the_contract(
    meaning: Meaning, expected: type[CollectorError], reason: Reason | None
) -> None:
    [error, fine] = read(FakeChild({"a": {"text": "rsmi_a: status 7", "meaning": meaning}, "b": 1}), "a", "b")
    assert type(error) is expected
    assert str(error) == "rsmi_a: status 7"
    assert reason is None or (isinstance(error, CollectorError) and error.reason is reason)
    assert fine == 1


@pytest.mark.parametrize("value", [None, "many", [1]])
def test_a_value_that_is_not_a_number_is_invalid(value: object) -> None:
    [error] = read(FakeChild({"a": value}), "a")
    assert isinstance(error, InvalidValueError)


def test_all_bits_set_means_no_value() -> None:
    [error] = read(FakeChild({"energy_count": 2**64 - 1}), "energy_count")
    assert isinstance(error, UnsupportedError)


def test_a_zero_is_used_only_if_the_kernel_file_can_be_read() -> None:
    def verify_zero(address: str, name: str) -> None:
        assert address == ADDRESS
        if name == "garbled":
            raise InvalidValueError("gpu_busy_percent: garbage")

    backend = RocmSmiBackend(FakeChild({"garbled": 0, "idle": 0}), verify_zero)
    [garbled, idle] = backend.read(ADDRESS, ["garbled", "idle"])
    assert isinstance(garbled, InvalidValueError)
    assert idle == 0


EVERY = ["a", "b", "c"]


def test_a_reading_at_which_the_process_dies_again_and_again_is_skipped_from_then_on() -> None:
    child = FakeChild({"a": 1, "b": 2, "c": 3}, frozenset({"b"}))
    backend = RocmSmiBackend(child, nothing_against)
    errors = []
    for _ in range(3):
        [first, deadly, last] = backend.read(ADDRESS, EVERY)
        assert (first, last) == (1, 3)
        errors.append(type(deadly))
    assert errors == [UnavailableError, PermanentlyUnsupportedError, PermanentlyUnsupportedError]
    assert child.asked == [EVERY, EVERY, ["a", "c"], EVERY, ["a", "c"], ["a", "c"]]
    assert child.backoff_resets == 3


def test_a_process_that_is_killed_for_another_reason_costs_no_reading() -> None:
    child = FakeChild({"a": 1, "b": 2, "c": 3})
    backend = RocmSmiBackend(child, nothing_against)
    for _ in range(8):
        child.killed_once_at = "b"
        assert backend.read(ADDRESS, EVERY) == [1, 2, 3]
    assert child.asked == [EVERY, EVERY] * 8


def test_a_reading_that_kills_at_one_device_is_still_read_from_another() -> None:
    child = FakeChild({"a": 1, "b": 2}, frozenset({"b"}))
    backend = RocmSmiBackend(child, nothing_against)
    for _ in range(2):
        backend.read(ADDRESS, ["b"])
    child.deadly = frozenset()
    assert isinstance(backend.read(ADDRESS, ["b"])[0], UnsupportedError)
    assert backend.read("0000:43:00.0", ["b"]) == [2]


def test_a_death_outside_of_a_reading_fails_the_whole_query() -> None:
    class Dies(FakeChild):
        def request(self, line: bytes) -> bytes:
            self.asked.append([line.decode()])
            raise DiedError("aborted", "rsmi_init")

    child = Dies({})
    with pytest.raises(DiedError):
        read(child, "a")
    assert len(child.asked) == 1


def test_a_device_the_library_does_not_list_is_unsupported() -> None:
    child = FakeChild({"a": 1})
    child.answer = {"library": "librocm_smi64", "version": "5.2.3"}
    with pytest.raises(UnsupportedError, match=r"librocm_smi64 5\.2\.3 does not list 0000:63:00\.0"):
        read(child, "a")


def test_a_library_that_cannot_be_opened_is_unavailable() -> None:
    child = FakeChild({"a": 1})
    child.answer = {"failed": "rsmi_init: status 8"}
    with pytest.raises(UnavailableError, match="rsmi_init: status 8"):
        read(child, "a")
