from collectors.backoff import Backoff


def test_the_pause_doubles_up_to_the_longest() -> None:
    backoff = Backoff(0.2, 5.0)

    assert [backoff.failed() for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_success_starts_again_with_the_first_pause() -> None:
    backoff = Backoff(1.0, 30.0)
    backoff.failed()
    backoff.failed()

    backoff.succeeded()

    assert [backoff.failed(), backoff.failed()] == [1.0, 2.0]


def test_a_first_pause_above_the_longest_is_limited_to_it() -> None:
    assert Backoff(60.0, 10.0).failed() == 10.0


def test_any_number_of_failures_gives_the_longest_pause() -> None:
    backoff = Backoff()

    assert [backoff.failed() for _ in range(3_000)][-1] == 30.0
