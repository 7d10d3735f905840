"""Scrapes ten times per second, and compares the counters of each scrape with those of the one before."""

import gzip
import http.client
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Self

from bench.process import PROMETHEUS
from soak.figures import Fall, counters, falls, is_of_container

_INTERVAL_SECONDS = 0.1
_ANSWER_SECONDS = 10.0
_OK = 200
_RECONNECT_EVERY = 50
_PAGE_EVERY = 10
_KEPT = 20
# As Prometheus asks, and as a person does.
_REQUESTED: tuple[Mapping[str, str], ...] = (PROMETHEUS, {})


class Scraper:
    """A thread that scrapes a port of this machine, while the context lasts.

    Args:
        port: The port.
        lasting: A text in the labels of containers that never end. Their counters must continue also where they were
            absent from a few scrapes; those of others may begin again.

    Attributes:
        pause: While another thread holds it, there is no scrape.
        scrapes: Number of scrapes so far.
        failures: What failed, the last ones.
        failed: Number of failed scrapes.
        fallen: The counters that fell, the last ones.
        container_falls: Number of falls of container counters.
        other_falls: Number of falls of other counters.
    """

    def __init__(self, port: int, lasting: str) -> None:
        self._port = port
        self._lasting = lasting
        self._seen: Mapping[str, float] = {}
        self._text = ""
        self._connection = self._connect()
        self.pause = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper")
        self.scrapes = self.failed = self.container_falls = self.other_falls = 0
        self.failures: deque[str] = deque(maxlen=_KEPT)
        self.fallen: deque[Fall] = deque(maxlen=_KEPT)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._connection.close()

    def series(self) -> frozenset[str]:
        """The names and labels of all series of the last scrape."""
        lines = (line for line in self._text.splitlines() if not line.startswith("#"))
        return frozenset(line.rpartition(" ")[0] for line in lines)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._end.wait(max(0.0, due - time.monotonic())):
            due = max(due + _INTERVAL_SECONDS, time.monotonic())
            with self.pause:
                self._visit()

    def _visit(self) -> None:
        self._try(self._scrape)
        if self.scrapes % _PAGE_EVERY == 0:
            self._try(lambda: self._get("/", {}))
        if self.scrapes % _RECONNECT_EVERY == 0:
            self._reconnect()
            self._try(self._connection.connect)  # now: the exporter's descriptors and threads are counted in a pause

    def _try(self, request: Callable[[], object]) -> None:
        try:
            request()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.failed += 1
            self.failures.append(f"{type(error).__name__}: {error}")
            self._seen = self._lasting_of(self._seen)  # a name that came back meanwhile begins again
            self._reconnect()

    def _scrape(self) -> None:
        self.scrapes += 1
        self._text = self._get("/metrics", _REQUESTED[self.scrapes % len(_REQUESTED)])
        now = counters(self._text)
        fallen = falls(self._seen, now)
        of_containers = sum(fall.of_container for fall in fallen)
        self.container_falls += of_containers
        self.other_falls += len(fallen) - of_containers
        self.fallen += [fall for fall in fallen if fall.of_container]
        self._seen = {**self._lasting_of(self._seen), **now}

    def _lasting_of(self, values: Mapping[str, float]) -> dict[str, float]:
        return {
            series: value for series, value in values.items() if is_of_container(series) and self._lasting in series
        }

    def _get(self, path: str, headers: Mapping[str, str]) -> str:
        self._connection.request("GET", path, headers=dict(headers))
        response = self._connection.getresponse()
        body = response.read()
        if response.status != _OK:
            raise http.client.HTTPException(f"{path} answered {response.status}")
        return (gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body).decode()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)

    def _reconnect(self) -> None:
        self._connection.close()
        self._connection = self._connect()
