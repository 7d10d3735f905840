"""How many examples the property tests have."""

from hypothesis import settings

_DEFAULT = 100  # of the usual profile


def examples(usual: int) -> int:
    """The number of examples of a test that is slow or fast, in proportion to that of the profile in use.

    Args:
        usual: Their number in the usual run of all tests.
    """
    return usual * settings().max_examples // _DEFAULT
