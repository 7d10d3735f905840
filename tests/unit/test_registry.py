import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from collectors import registry
from collectors.contract import Collector, CollectorSpec, Node, Reason, UnavailableError
from collectors.metric import Cadence
from collectors.registry import RegistryError
from collectors.sysfs import Root


def never(_: Node) -> Collector:
    raise AssertionError("the registry creates no collector")


SPEC = CollectorSpec(name="acme", metrics=(), resource_prefixes=("acme.com/",), create=never)


@dataclass(frozen=True)
class FakeEntryPoint:
    name: str
    value: str
    bring: Callable[[], object]

    def load(self) -> object:
        return self.bring()


def entry(name: str, value: str = "acme:SPEC", spec: object = None) -> FakeEntryPoint:
    brought = replace(SPEC, name=name) if spec is None else spec
    return FakeEntryPoint(name, value, lambda: brought)


def failing(error: BaseException) -> FakeEntryPoint:
    def bring() -> object:
        raise error

    return FakeEntryPoint("acme", "acme:SPEC", bring)


def test_collectors_are_ordered_by_name() -> None:
    specs = registry.load(lambda: [entry("zeta"), entry("acme"), entry("mu")])
    assert [spec.name for spec in specs] == ["acme", "mu", "zeta"]


def test_only_the_named_collectors_are_loaded_in_the_order_of_their_names() -> None:
    entries = [failing(ModuleNotFoundError("No module named 'acme'")), entry("mu"), entry("zeta")]
    assert [spec.name for spec in registry.load(lambda: entries, ("zeta", "mu"))] == ["zeta", "mu"]


def test_names_that_are_not_installed_are_ignored() -> None:
    assert registry.load(lambda: [entry("mu")], ("zeta",)) == ()


def test_without_entry_points_there_are_no_collectors() -> None:
    assert registry.load(list) == ()


def test_a_duplicate_name_is_an_error_that_names_both_packages() -> None:
    with pytest.raises(RegistryError, match=r"named 'acme' \(one:SPEC and two:SPEC\); remove one of them"):
        registry.load(lambda: [entry("acme", "one:SPEC"), entry("acme", "two:SPEC")])


NODE = Node(Root(Path("/nowhere")), Root(Path("/nowhere")), "test")


def failure(collector: Collector) -> str:
    """Why a collector that cannot be used fails: a counted error of one line."""
    with pytest.raises(UnavailableError) as caught:
        collector.read(frozenset(Cadence))
    collector.close()
    assert caught.value.reason is Reason.BROKEN
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ModuleNotFoundError("No module named 'acme'"), "ModuleNotFoundError: No module named 'acme'"),
        (AttributeError("module 'acme' has no attribute 'SPEC'"), "AttributeError: module 'acme' has no"),
        (ValueError("first line\nsecond line"), "ValueError: first line; repair"),
        (SystemExit(3), "SystemExit: 3; repair or remove its package"),
        (RecursionError(), "RecursionError: ; repair"),
    ],
)
def test_a_broken_package_costs_only_its_own_collector(error: BaseException, cause: str) -> None:
    acme, mu = registry.load(lambda: [failing(error), entry("mu")])
    assert failure(registry.create(acme, NODE)).startswith(f"acme:SPEC cannot be loaded: {cause}")
    assert (acme.name, mu) == ("acme", replace(SPEC, name="mu"))


@pytest.mark.parametrize("error", [ValueError("first\nsecond"), SystemExit("bye")], ids=repr)
def test_a_collector_that_cannot_be_created_fails(error: BaseException) -> None:
    def create(_: Node) -> Collector:
        raise error

    text = failure(registry.create(replace(SPEC, create=create), NODE))
    assert text.startswith(f"cannot be created: {type(error).__name__}: ")


def test_an_interrupt_while_loading_is_raised() -> None:
    with pytest.raises(KeyboardInterrupt):
        registry.load(lambda: [failing(KeyboardInterrupt())])


ANYTHING: Any = "nonsense"


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ("nonsense", "acme:SPEC is a str, expected a CollectorSpec"),
        (replace(SPEC, name="other"), "acme:SPEC has the name 'other'"),
        (replace(SPEC, metrics=ANYTHING), "acme:SPEC has metrics of another type, expected a tuple of Metric"),
        (replace(SPEC, metrics=(ANYTHING,)), "acme:SPEC has metrics of another type"),
        (replace(SPEC, partition_metrics=ANYTHING), "acme:SPEC has partition_metrics of another type"),
        (replace(SPEC, resource_prefixes=ANYTHING), "acme:SPEC has resource_prefixes of another type"),
        (replace(SPEC, dra_drivers=cast("Any", (7,))), "acme:SPEC has dra_drivers of another type"),
    ],
)
def test_an_object_that_is_not_a_collector_fails(spec: object, cause: str) -> None:
    (acme,) = registry.load(lambda: [entry("acme", spec=spec)])
    assert failure(registry.create(acme, NODE)).startswith(cause)


def test_loading_the_nvidia_collector_does_not_load_its_binding() -> None:
    script = (
        "import sys; from collectors import registry; "
        "print('nvidia' in {spec.name for spec in registry.load()}, 'pynvml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True False\n"
