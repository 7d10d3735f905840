"""What a device is called in texts for people: the driver's number of it, and the pods that have it."""

from collections.abc import Collection, Iterable

from collectors import catalog
from collectors.contract import Sample
from collectors.wording import first_of

_MOST_PODS = 8
_INDEX = [label.name for label in catalog.INFO.labels].index("index")


def index_of(uuid: str, samples: Iterable[Sample]) -> str:
    """The driver's number of a device, from its info; empty if unknown.

    Args:
        uuid: The device.
        samples: Those of any devices.
    """
    infos = (each for each in samples if each.metric is catalog.INFO and each.subject == (uuid, ""))
    return next((each.labels[_INDEX] for each in infos), "")


def some_pods(pods: Collection[str]) -> str:
    """The names of pods in their order, of many the first ones; empty without pods."""
    return first_of(sorted(pods), _MOST_PODS)
