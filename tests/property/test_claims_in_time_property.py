"""Claims that come and go in any order with the hardware, the CDI specs and the kubelet: who is said to hold what."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doubles.claims_node import BOTH_SHARES, PLACES, ClaimsNode, Held
from tests.property.examples import examples

_USUAL_EXAMPLES = 3
_USUAL_STEPS, _MOST_STEPS = 200, 1_000
_FEW = examples(_USUAL_EXAMPLES) <= _USUAL_EXAMPLES
STEPS = _USUAL_STEPS if _FEW else _MOST_STEPS
WHOLE = 1 + 1e-9  # the sum of shares as floating-point numbers


def batched(choices: bytes) -> Iterator[tuple[int, int]]:
    """The bytes in pairs."""
    return zip(choices[::2], choices[1::2], strict=True)


def allocate(node: ClaimsNode, choice: int) -> None:
    """One of the places, for one container, two containers of a pod, or two pods."""
    rest, place = divmod(choice, len(PLACES))
    rest, users = divmod(rest, 3)
    names = (f"p{rest % 3}", f"q{rest % 3}") if users == 2 else (f"p{rest % 3}",)
    node.allocate((place,), f"claim-{rest % 4}", names, ("left", "right") if users == 1 else ("main",))


def allocate_both_shares(node: ClaimsNode, choice: int) -> None:
    node.allocate(BOTH_SHARES, f"claim-{choice % 4}", (f"p{choice % 3}",), ("main",))


def with_held(act: Callable[[ClaimsNode, Held], None]) -> Callable[[ClaimsNode, int], None]:
    """Act on one of the claims, if there are any."""

    def step(node: ClaimsNode, choice: int) -> None:
        if node.held:
            act(node, node.held[choice % len(node.held)])

    return step


def read(node: ClaimsNode, _choice: int) -> None:
    node.begin_reading()
    node.end_reading()


def read_fast(node: ClaimsNode, _choice: int) -> None:
    node.begin_reading()
    node.end_reading(everything=False)


def answer(node: ClaimsNode, _choice: int) -> None:
    node.answer()


ACTIONS = (
    allocate,
    allocate,
    allocate,
    allocate_both_shares,
    with_held(ClaimsNode.free),
    with_held(ClaimsNode.free),
    with_held(ClaimsNode.make_again),
    with_held(ClaimsNode.tear),
    with_held(ClaimsNode.hide),
    with_held(ClaimsNode.describe),
    with_held(ClaimsNode.describe),
    lambda node, _: node.refresh(),
    answer,
    answer,
    answer,
    read,
    read,
    read_fast,
    lambda node, _: node.begin_reading(),
    lambda node, _: node.end_reading(),
    lambda node, _: node.fail(),
)


@settings(deadline=None, max_examples=examples(_USUAL_EXAMPLES))
@given(st.binary(min_size=2 * STEPS, max_size=2 * STEPS), st.sampled_from(("named", "unnamed")))
def test_no_edge_is_wrong_and_none_is_missing_after_two_intervals(choices: bytes, partitions: str) -> None:
    with TemporaryDirectory() as folder:
        node = ClaimsNode(Path(folder), named=partitions == "named")
        for kind, choice in batched(choices):
            ACTIONS[kind % len(ACTIONS)](node, choice)
            assert node.wrong() == []
            assert node.missing() == []
            assert node.falsely_free() == set()
            assert max(node.shares().values(), default=0) <= WHOLE
