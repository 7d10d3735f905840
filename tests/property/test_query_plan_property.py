"""The plan of the queries to run is never out of date, whatever happens to them."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from collectors import catalog
from collectors.metric import Cadence, Metric
from collectors.query import Batch, BatchItem, Queries, Query, RawValue
from collectors.subject_queries import SubjectQueries


def item(name: str, metric: Metric, fallback_for: str = "", *, false_zero: bool = False) -> BatchItem:
    return BatchItem(name, (metric,), name, lambda raw: (RawValue(metric, raw),), fallback_for, false_zero)


def query(name: str, metric: Metric, fallback_for: str = "", *, once: bool = False) -> Query[None, None]:
    return Query(name, (metric,), lambda _, __: (), fallback_for, once)


QUERIES: Queries[None, None] = (
    query("power", catalog.POWER),
    query("old power", catalog.POWER, "power"),
    query("limit", catalog.POWER_LIMIT, once=True),
    Batch((item("energy", catalog.ENERGY), item("size", catalog.COMPUTE_RATIO)), lambda *_: ()),
    Batch((item("old energy", catalog.ENERGY, "energy", false_zero=True),), lambda *_: ()),
    query("oldest energy", catalog.ENERGY, "energy"),
)
EACH = [each for one in QUERIES for each in (one.items if isinstance(one, Batch) else (one,))]
DUES = [frozenset(due) for count in (1, 2, 3) for due in combinations(Cadence, count)]

answers = st.tuples(st.just("answer"), st.sampled_from(EACH), st.sampled_from([0.0, 7.0]))
failures = st.tuples(st.just("give up"), st.sampled_from(EACH), st.booleans())
others = st.tuples(st.sampled_from(["slow", "forget", "retry"]), st.none(), st.none())
times = st.tuples(st.just("wait"), st.none(), st.sampled_from([0.5, 1.0, 10.0, 600.0]))
happenings = st.lists(answers | failures | others | times, max_size=20)


def happen(known: SubjectQueries[None, None], now: float, what: tuple[str, object, object]) -> float:
    """Let something happen; returns the time after it."""
    kind, subject, how = what
    if kind == "wait":
        assert isinstance(how, float)
        return now + how
    if isinstance(subject, Query | BatchItem):
        if kind == "answer":
            assert isinstance(how, float)
            known.record_answer(subject, how)
        else:
            known.give_up(subject, "no", now, permanent=bool(how))
    elif kind == "slow":
        known.slow_readings_are_due()
    else:
        known.forget_gaps(answered_only=kind == "retry")
    return now


@given(happenings)
def test_a_plan_has_what_is_to_be_run_now(happened: list[tuple[str, object, object]]) -> None:
    known: SubjectQueries[None, None] = SubjectQueries()
    known.set_queries(QUERIES)
    now = 0.0
    for what in happened:
        now = happen(known, now, what)
        for due in DUES:
            assert known.plan(due, now).steps == tuple(known.steps_from(0, due, now))
        assert known.ever_answered() == known.answered
