"""The calls for field values: one for all readings of a poll, with a buffer that is used again."""

import struct
from collections.abc import Sequence
from ctypes import Array, c_uint64

import pytest

from collectors.contract import CollectorError, DeviceLostError, UnavailableError, UnsupportedError
from collectors.metric import Cadence
from collectors.nvidia.field_calls import Field, FieldCalls, fields_of_links

MEDIUM = frozenset({Cadence.FAST, Cadence.MEDIUM})
SLOW = frozenset(Cadence)
POWER, HEAT, LINKS, BYTES = Field(1), Field(2), Field(3), Field(4, scope=7)
NOT_SUPPORTED, UNSIGNED_LONG_LONG = 3, 3
ENTRY = struct.Struct("=II16xIIQ")  # nvmlFieldValue_t


class Driver:
    """Answers by number and scope; a field that it does not know is not supported.

    Attributes:
        values: The values.
        skipped: The fields whose structure it leaves as it is.
        refused: A call with one of these fields fails as a whole.
        error: That failure.
        requests: What was asked for, by call.
    """

    def __init__(self) -> None:
        self.values: dict[Field, int] = {POWER: 10, HEAT: 20, LINKS: 30, BYTES: 40}
        self.skipped: set[Field] = set()
        self.refused: set[Field] = set()
        self.error: CollectorError = UnavailableError("no")
        self.requests: list[list[Field]] = []
        self.buffers: list[Array[c_uint64]] = []

    def fill(self, _: object, count: int, values: Array[c_uint64]) -> None:
        fields = [Field(*ENTRY.unpack_from(values, place * ENTRY.size)[:2]) for place in range(count)]
        self.requests.append(fields)
        self.buffers.append(values)
        if self.refused & set(fields):
            raise self.error
        for place, field in enumerate(fields):
            if field not in self.skipped:
                code = 0 if field in self.values else NOT_SUPPORTED
                answer = (UNSIGNED_LONG_LONG, code, self.values.get(field, 0))
                ENTRY.pack_into(values, place * ENTRY.size, field.id, field.scope, *answer)


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def calls(driver: Driver) -> FieldCalls:
    return FieldCalls(driver.fill)


def poll(calls: FieldCalls, *readings: Sequence[Field], due: frozenset[Cadence] = MEDIUM) -> list[list[object]]:
    """One poll in which these readings are made; a reading that fails has its error."""
    calls.begin(due)
    found: list[list[object]] = []
    for fields in readings:
        try:
            found.append(list(calls.read(None, fields)))
        except (UnavailableError, UnsupportedError) as error:
            found.append([error])
    calls.end()
    return found


def test_all_readings_of_a_poll_share_one_call(driver: Driver, calls: FieldCalls) -> None:
    for _ in range(3):
        assert poll(calls, [POWER], [HEAT, BYTES], [BYTES, LINKS]) == [[10], [20, 40], [40, 30]]
    together = [POWER, HEAT, BYTES, LINKS]
    assert driver.requests == [[POWER], [HEAT, BYTES], [LINKS], together, together]


def test_each_poll_has_new_answers(driver: Driver, calls: FieldCalls) -> None:
    for value in range(5):
        driver.values |= {POWER: value, HEAT: value + 1}
        assert poll(calls, [POWER], [HEAT]) == [[value], [value + 1]]


def test_cadences_have_their_own_calls(driver: Driver, calls: FieldCalls) -> None:
    for due, readings in ((MEDIUM, ([POWER],)), (SLOW, ([POWER], [HEAT]))) * 2:
        poll(calls, *readings, due=due)
    assert driver.requests == [[POWER], [POWER], [HEAT], [POWER], [POWER, HEAT]]


def test_a_new_field_is_read_in_the_same_poll_and_later_with_the_others(driver: Driver, calls: FieldCalls) -> None:
    poll(calls, [POWER], [HEAT])
    assert poll(calls, [POWER], [HEAT], [LINKS]) == [[10], [20], [30]]
    poll(calls, [POWER], [HEAT], [LINKS])
    assert driver.requests[2:] == [[POWER, HEAT], [LINKS], [POWER, HEAT, LINKS]]


def test_a_field_that_is_no_longer_read_is_left_out(driver: Driver, calls: FieldCalls) -> None:
    poll(calls, [POWER], [HEAT])
    for _ in range(2):
        poll(calls, [HEAT])
    assert driver.requests[2:] == [[POWER, HEAT], [HEAT]]


def test_a_field_has_its_own_error(driver: Driver, calls: FieldCalls) -> None:
    del driver.values[HEAT]
    for _ in range(2):
        [[power, heat]] = poll(calls, [POWER, HEAT])
        assert power == 10
        assert isinstance(heat, UnsupportedError)


def test_no_answer_is_that_of_an_earlier_call(driver: Driver, calls: FieldCalls) -> None:
    for _ in range(2):
        poll(calls, [POWER], [HEAT])
    driver.skipped = {HEAT}
    assert poll(calls, [POWER], [HEAT]) == [[10], [0]]


def test_a_poll_that_is_given_up_leaves_nothing(driver: Driver, calls: FieldCalls) -> None:
    poll(calls, [POWER], [HEAT])
    driver.refused, driver.error = {POWER}, DeviceLostError("lost")
    with pytest.raises(DeviceLostError):
        poll(calls, [POWER], [HEAT])
    driver.refused = set()
    driver.values |= {POWER: 11, HEAT: 21}
    assert poll(calls, [POWER], [HEAT]) == [[11], [21]]
    assert driver.requests[2:] == [[POWER, HEAT]] * 2


@pytest.mark.parametrize("error", [UnavailableError("busy"), UnsupportedError("no")])
def test_a_reading_that_makes_the_call_fail_fails_alone(
    driver: Driver, calls: FieldCalls, error: CollectorError
) -> None:
    poll(calls, [POWER], [HEAT], [LINKS])
    driver.refused, driver.error = {HEAT}, error
    for _ in range(2):
        assert poll(calls, [POWER], [HEAT], [LINKS]) == [[10], [error], [30]]
    assert driver.requests[3:] == [
        *([POWER, HEAT, LINKS], [POWER], [HEAT], [LINKS]),  # whose field it is, is not known
        *([POWER, LINKS], [HEAT]),
    ]


def test_a_call_for_one_reading_is_not_made_again_when_it_fails(driver: Driver, calls: FieldCalls) -> None:
    poll(calls, [POWER, HEAT])
    driver.refused = {POWER}
    assert poll(calls, [POWER, HEAT]) == [[driver.error]]
    assert len(driver.requests) == 2


def test_a_call_is_not_longer_than_those_that_are_usual(driver: Driver, calls: FieldCalls) -> None:
    states, counts = fields_of_links((1,), range(200)), fields_of_links((2,), range(200))
    driver.values = dict.fromkeys((*states, *counts), 5)
    for _ in range(2):
        assert poll(calls, states, counts) == [[5] * 200] * 2
    assert [len(fields) for fields in driver.requests] == [200, 200, 256, 144]


def test_between_polls_each_reading_has_a_buffer_of_its_own(driver: Driver, calls: FieldCalls) -> None:
    assert [calls.read(None, [POWER]) for _ in range(2)] == [[10], [10]]
    assert driver.buffers[0] is not driver.buffers[1]


def test_a_call_that_hangs_shares_no_buffer_with_its_successor(driver: Driver, calls: FieldCalls) -> None:
    successor = FieldCalls(driver.fill)
    for each in (calls, successor) * 3:
        poll(each, [POWER], [HEAT])
    *_, late, new = driver.buffers
    late[:] = [99] * len(late)
    assert late is not new
    assert poll(successor, [POWER], [HEAT]) == [[10], [20]]
