"""The watcher of slices, against a real server over TLS."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from exporter.attribution.api_health import ApiHealth, ApiState
from exporter.attribution.kubernetes_api import KubernetesApi
from exporter.attribution.resource_api import ResourceApi
from exporter.attribution.slice_watcher import SliceWatcher
from tests.doubles.exporter_process import wait_until
from tests.doubles.kubernetes_api import ApiServerDouble, Refusal
from tests.doubles.kubernetes_objects import NODE, device, resource_slice


class Watched:
    """A running watcher, with pauses that are much shorter.

    Attributes:
        changes: How often a change was reported.
    """

    def __init__(self, double: ApiServerDouble, idle_seconds: float = 20.0) -> None:
        self.changes = 0
        self.health = ApiHealth("resource slices", "list and watch resourceslices", lambda _low, _high: 0.0005)
        self._api = KubernetesApi(double.server, idle_seconds=idle_seconds)
        self._watcher = SliceWatcher(
            self._api, ResourceApi(self._api), NODE, health=self.health, changed=self._count, uniform=_shortest
        )
        self._watcher.start()

    def _count(self) -> None:
        self.changes += 1

    @property
    def names(self) -> set[str]:
        """The names of the known devices."""
        return {name for _, _, name in self._watcher.devices}

    def stop(self) -> None:
        self._api.close()
        self._watcher.stop(5.0)


def _shortest(low: float, _high: float) -> float:
    return low if low > 10 else low / 1000


@pytest.fixture
def double(tmp_path: Path) -> Iterator[ApiServerDouble]:
    with ApiServerDouble(tmp_path) as server:
        server.put(resource_slice("a", device("gpu-0", uuid="GPU-0")))
        yield server


@pytest.fixture
def start(double: ApiServerDouble) -> Iterator[Callable[..., Watched]]:
    started: list[Watched] = []

    def begin(**options: float) -> Watched:
        started.append(Watched(double, **options))
        return started[-1]

    yield begin
    for each in started:
        each.stop()


Start = Callable[..., Watched]


def test_slices_of_the_node_are_listed_and_then_watched(double: ApiServerDouble, start: Start) -> None:
    double.put(resource_slice("other", device("gpu-9"), node="worker-2"))
    watched = start()
    wait_until(lambda: watched.names == {"gpu-0"})
    wait_until(lambda: double.watches == 1)
    double.put(resource_slice("b", device("x"), driver="other.example.com"))
    wait_until(lambda: watched.names == {"gpu-0", "x"})
    double.delete("a")
    wait_until(lambda: watched.names == {"x"})
    assert [call.kind for call in double.calls] == ["group", "list", "watch"]
    assert {call.query["fieldSelector"] for call in double.calls[1:]} == {f"spec.nodeName={NODE}"}
    assert double.of_kind("list")[0].query["resourceVersion"] == "0"
    assert double.of_kind("watch")[0].query["allowWatchBookmarks"] == "true"
    assert watched.changes == 3


@pytest.mark.parametrize(
    ("served", "used"),
    [
        (("v1beta1", "v1beta2", "v1"), "v1"),
        (("v1beta1", "v1beta2"), "v1beta2"),
        (("v1alpha3", "v1beta1"), "v1beta1"),
    ],
)
def test_the_best_served_version_is_used(
    double: ApiServerDouble, start: Start, served: tuple[str, ...], used: str
) -> None:
    double.versions = served
    watched = start()
    wait_until(lambda: watched.names == {"gpu-0"})
    double.put(resource_slice("b", device("x"), driver="other.example.com"))
    wait_until(lambda: watched.names == {"gpu-0", "x"})
    assert {call.path.split("/")[3] for call in double.calls[1:]} == {used}


def test_another_version_is_used_when_the_server_stops_to_serve_it(double: ApiServerDouble, start: Start) -> None:
    double.versions = ("v1beta1",)
    watched = start()
    wait_until(lambda: double.watches == 1)
    double.versions = ("v1",)
    double.cut()
    wait_until(lambda: double.of_kind("watch")[-1].path.split("/")[3] == "v1")
    assert watched.names == {"gpu-0"}


@pytest.mark.parametrize("served", [(), ("v2",)])
def test_a_cluster_without_a_known_version_is_asked_rarely(
    double: ApiServerDouble, start: Start, served: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    double.versions = served
    watched = start()
    wait_until(lambda: watched.health.state is ApiState.NOT_SERVED)
    wait_until(lambda: len(double.of_kind("group")) > 1)  # the pause of five minutes is short here
    assert len([line for line in caplog.messages if "none of the versions v1, v1beta2, v1beta1 is served" in line]) == 1


def test_a_list_of_many_pages_is_read_to_its_end(double: ApiServerDouble, start: Start) -> None:
    double.put(*(resource_slice(f"s{n:02}", device(f"x{n}"), driver=f"d{n}.example.com") for n in range(20)))
    double.compact()
    double.refuse("watch", Refusal(410))
    watched = start()
    wait_until(lambda: double.watches == 1)
    assert len(watched.names) == 21
    pages = double.of_kind("list")[1:]
    assert ["continue" in page.query for page in pages] == [False, *[True] * 5]
    assert {page.query["limit"] for page in pages} == {"4"}
    assert not any("resourceVersion" in page.query for page in pages)


def test_a_list_that_expires_between_two_pages_begins_again(double: ApiServerDouble, start: Start) -> None:
    double.put(*(resource_slice(f"s{n:02}", device(f"x{n}"), driver=f"d{n}.example.com") for n in range(10)))
    double.refuse("list", Refusal(410))
    double.refuse("watch", Refusal(410))
    watched = start()
    wait_until(lambda: len(watched.names) == 11)


def test_a_watch_continues_where_it_ended(double: ApiServerDouble, start: Start) -> None:
    watched = start()
    wait_until(lambda: double.watches == 1)
    double.bookmark()
    double.put(resource_slice("b", device("x"), driver="other.example.com"))
    wait_until(lambda: watched.names == {"gpu-0", "x"})
    double.bookmark()
    latest = double.version
    wait_until(lambda: watched._watcher._version == str(latest))
    double.cut()
    wait_until(lambda: double.watches == 2)
    assert double.of_kind("watch")[1].query["resourceVersion"] == str(latest)
    assert len(double.of_kind("list")) == 1


@pytest.mark.parametrize("as_event", [False, True], ids=["as a status", "as an event"])
def test_an_expired_watch_is_followed_by_a_list(double: ApiServerDouble, start: Start, as_event: bool) -> None:  # noqa: FBT001 - a case
    watched = start()
    wait_until(lambda: double.watches == 1)
    double.slices["b"] = resource_slice("b", device("x"), driver="other.example.com")  # its event was missed
    if as_event:
        double.send({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"}})
    else:
        double.compact()
        double.cut()
    wait_until(lambda: watched.names == {"gpu-0", "x"})
    assert "resourceVersion" not in double.of_kind("list")[-1].query
    assert watched.health.state is ApiState.UP


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "broken"}},
        {"type": "ADDED", "object": {"metadata": {}}},
        {},
    ],
)
def test_after_a_broken_event_the_slices_are_listed(
    double: ApiServerDouble, start: Start, event: dict[str, object]
) -> None:
    watched = start()
    wait_until(lambda: double.watches == 1)
    double.send({"object": {}, **event})
    wait_until(lambda: double.watches == 2)
    assert len(double.of_kind("list")) == 2
    assert watched.names == {"gpu-0"}


def test_a_watch_that_falls_silent_is_replaced(double: ApiServerDouble, start: Start) -> None:
    watched = start(idle_seconds=0.2)
    wait_until(lambda: double.watches == 1)
    double.silent = True
    double.put(resource_slice("b", device("x"), driver="other.example.com"))
    wait_until(lambda: double.watches == 2)
    double.silent = False
    wait_until(lambda: watched.names == {"gpu-0", "x"})


def test_forbidden_is_logged_once_and_forgets_the_slices(
    double: ApiServerDouble, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    watched = start()
    wait_until(lambda: double.watches == 1 and watched.names == {"gpu-0"})
    double.refused["watch"] = double.refused["list"] = Refusal(403)
    double.cut()
    wait_until(lambda: watched.health.state is ApiState.FORBIDDEN)
    assert watched.names == set()
    wait_until(lambda: len(double.of_kind("list")) > 3)  # the pause of five minutes is short here
    lines = [line for line in caplog.messages if "are not used without the right to" in line]
    assert [line.partition(":")[0] for line in lines] == [
        "resource slices are not used without the right to list and watch resourceslices"
    ]
    double.refused.clear()
    wait_until(lambda: watched.names == {"gpu-0"})


@pytest.mark.parametrize("status", [401, 429, 500])
def test_the_slices_stay_while_the_server_fails(
    double: ApiServerDouble, start: Start, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO)
    watched = start()
    wait_until(lambda: double.watches == 1 and watched.health.state is ApiState.UP)
    double.refused["watch"] = Refusal(status)
    double.cut()
    wait_until(lambda: len(double.of_kind("watch")) > 3)
    assert watched.names == {"gpu-0"}
    assert watched.health.state is ApiState.DOWN
    double.refused.clear()
    wait_until(lambda: watched.health.state is ApiState.UP)
    lines = [line for line in caplog.messages if line.startswith("resource slices")]
    assert [line.partition(": ")[0] for line in lines] == [
        "resource slices",
        "resource slices unavailable",
        "resource slices",
    ]


def test_an_endless_list_is_refused(double: ApiServerDouble, start: Start) -> None:
    body = b'{"metadata": {"resourceVersion": "1", "continue": "x"}, "items": []}'
    double.refused["list"] = Refusal(200, body=body)
    watched = start()
    wait_until(lambda: "more than 128 pages" in watched.health.text)


def test_a_list_that_is_too_large_is_read_in_pages(double: ApiServerDouble, start: Start) -> None:
    filling = device("filling", note="x" * 500_000)
    double.put(*(resource_slice(f"s{n}", filling, device(f"x{n}"), driver=f"d{n}.example.com") for n in range(9)))
    watched = start()
    wait_until(lambda: double.watches == 1)
    assert len(watched.names) == 1 + 1 + 9
    assert watched.health.state is ApiState.UP
    assert [call.query.get("resourceVersion") for call in double.of_kind("list")] == ["0", None, None, None]


def test_a_page_that_is_too_large_is_refused(double: ApiServerDouble, start: Start) -> None:
    double.refused["list"] = Refusal(200, body=b" " * 5_000_000)
    watched = start()
    wait_until(lambda: "larger than" in watched.health.text)


def test_the_devices_are_right_in_the_end_whatever_happens(double: ApiServerDouble, start: Start) -> None:
    watched = start(idle_seconds=0.5)
    random = Random(14)  # noqa: S311 - the same steps in every run
    for step in range(80):
        name = f"s{random.randrange(6)}"
        match random.choice(("put", "put", "delete", "cut", "bookmark", "compact", "refuse")):
            case "put":
                double.put(resource_slice(name, device(f"x{step}"), pool=name, generation=step))
            case "delete" if name in double.slices:
                double.delete(name)
            case "cut":
                double.cut()
            case "bookmark":
                double.bookmark()
            case "compact":
                double.compact()
            case "refuse":
                kind = random.choice(("list", "watch"))
                double.refuse(kind, Refusal(random.choice((401, 403, 410, 429, 500))))
        if step % 10 == 0:
            wait_until(lambda: watched.names == names_of(double))
    wait_until(lambda: watched.names == names_of(double))


def names_of(double: ApiServerDouble) -> set[str]:
    """The names of the devices that the server has."""
    return {each["name"] for item in list(double.slices.values()) for each in item["spec"]["devices"]}


def test_nothing_is_reported_after_the_stop(double: ApiServerDouble, start: Start) -> None:
    watched = start()
    wait_until(lambda: double.watches == 1)
    watched.stop()
    changes, state = watched.changes, watched.health.state
    double.put(resource_slice("b", device("x"), driver="other.example.com"))
    assert (watched.changes, watched.health.state) == (changes, state)
    assert not watched._watcher._thread.is_alive()
