import pytest

from exporter.web.token_bucket import TokenBucket


def test_a_burst_is_allowed_and_then_one_each_interval() -> None:
    bucket = TokenBucket(3, 2.0, now=100.0)
    moments = (100.0, 100.0, 100.0, 100.0, 101.9, 102.0, 102.0, 104.0)
    assert [bucket.spend(now) for now in moments] == [True, True, True, False, False, True, False, True]


def test_a_long_pause_allows_no_more_than_the_burst() -> None:
    bucket = TokenBucket(2, 1.0, now=0.0)
    assert [bucket.spend(1000.0) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("times", [1, 5])
def test_what_is_given_back_can_be_taken_again_but_never_more_than_the_burst(times: int) -> None:
    bucket = TokenBucket(1, 1000.0, now=0.0)
    assert bucket.spend(0.0)
    for _ in range(times):
        bucket.refund()
    assert [bucket.spend(0.0), bucket.spend(0.0)] == [True, False]
