"""One call for all field values of a poll gives the same values and faults as a call for each reading."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.contract import CollectOptions, SubjectKey
from collectors.metric import Cadence
from collectors.nvidia.nvml import QueryRunner
from collectors.nvidia.readings import device_queries
from collectors.query_runner import QueryResult
from tests.doubles.nvlink_cards import ALL_LINKS, COUNT, NEWEST, OF_LINKS, OLDEST, STATE, UINT, WIDE, linked
from tests.doubles.nvml import NvmlState, ValueType
from tests.doubles.nvml_loaded import loaded, open_nvml
from tests.doubles.options import EACH_LINK, EVERY_SET, USUAL
from tests.property.examples import examples

SUBJECT = SubjectKey("GPU-0")
DUES = (frozenset({Cadence.FAST, Cadence.MEDIUM}), frozenset(Cadence), frozenset({Cadence.MEDIUM}))
SPEED, RECOVERY_ACTION = 164, 230
OF_DEVICE = [(number, 0) for number in (82, 197, 198, RECOVERY_ACTION, COUNT, *OLDEST.values())]
OF_ALL_LINKS = [(number, ALL_LINKS) for number in (138, 139, 202, 204, *NEWEST.values())]
OF_EACH_LINK = [(number, link) for number in (STATE, SPEED, 138, 202, *OF_LINKS) for link in range(2)]
FIELDS = [*OF_DEVICE, *OF_ALL_LINKS, *OF_EACH_LINK]


class Change(NamedTuple):
    """Another answer of the driver for one field."""

    number: int
    scope: int
    value: int
    value_type: ValueType
    code: int


change = st.builds(
    lambda field, *answer: Change(*field, *answer),
    st.sampled_from(FIELDS),
    st.sampled_from([0, 1, 2, 5, 300, 2**32 - 1]),
    st.sampled_from([UINT, WIDE]),
    st.sampled_from([0, 0, 0, 2, 3, 4, 10, 27]),
)
# What changes before a poll, its cadences, the seconds since the last one, and whether the gaps are forgotten.
poll = st.tuples(
    st.lists(change, max_size=12), st.sampled_from(DUES), st.sampled_from([1, 10, 60, 600]), st.sampled_from([0, 0, 1])
)


class Polled:
    """The card, in a session of its own.

    Args:
        options: The options of the queries.
        together: Whether the readings of a poll share a call.
    """

    def __init__(self, options: CollectOptions, *, together: bool) -> None:
        self._nvml = open_nvml().for_one_device()
        self._together = together
        self._queries = device_queries(options)
        self.now = 0.0
        self.runner = QueryRunner(self._nvml, lambda: self.now)

    def query(self, due: frozenset[Cadence]) -> QueryResult:
        if self._together:
            self._nvml.fields.begin(due)
        result = self.runner.run(SUBJECT, self._nvml.device(0), self._queries, due)
        self._nvml.fields.end()
        return result


@pytest.mark.parametrize("options", [USUAL, EACH_LINK, EVERY_SET], ids=["usual", "each link", "every set"])
def test_a_shared_call_changes_no_value_and_no_fault(
    tmp_path: Path, nvml_library: Path, options: CollectOptions
) -> None:
    with NvmlState(tmp_path / "state") as state, loaded(nvml_library, state):

        @settings(max_examples=examples(60))
        @given(st.lists(poll, min_size=1, max_size=6))
        def check(polls: Sequence[tuple[Sequence[Change], frozenset[Cadence], int, int]]) -> None:
            state.devices = [linked(2)]
            one, each = Polled(options, together=True), Polled(options, together=False)
            for changes, due, seconds, forgotten in polls:
                for number, scope, value, value_type, code in changes:
                    state.devices[0].set_field(number, value, value_type, scope=scope, code=code)
                for polled in (one, each):
                    polled.now += seconds
                    if forgotten:
                        polled.runner.forget(SUBJECT.device_uuid)
                assert one.query(due) == each.query(due)
                assert one.runner.unsupported() == each.runner.unsupported()
                assert one.runner.is_waiting(SUBJECT.device_uuid) == each.runner.is_waiting(SUBJECT.device_uuid)

        check()
