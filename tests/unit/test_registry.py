import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from collectors import registry
from collectors.contract import Collector, CollectorSpec, Node
from collectors.registry import RegistryError


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


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ModuleNotFoundError("No module named 'acme'"), "ModuleNotFoundError: No module named 'acme'"),
        (AttributeError("module 'acme' has no attribute 'SPEC'"), "AttributeError: module 'acme' has no"),
        (ValueError("first line\nsecond line"), "ValueError: first line; repair"),
    ],
)
def test_a_broken_package_is_an_error_of_one_line(error: Exception, cause: str) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.load(lambda: [failing(error)])
    text = str(caught.value)
    assert text.startswith(f"collector 'acme' (acme:SPEC) cannot be loaded: {cause}")
    assert "\n" not in text


def test_an_interrupt_while_loading_is_raised() -> None:
    with pytest.raises(KeyboardInterrupt):
        registry.load(lambda: [failing(KeyboardInterrupt())])


def test_an_object_that_is_not_a_collector_is_an_error() -> None:
    with pytest.raises(RegistryError, match=r"collector 'acme' \(acme:SPEC\) is a str, expected a CollectorSpec"):
        registry.load(lambda: [entry("acme", spec="nonsense")])


def test_entry_point_and_collector_must_have_the_same_name() -> None:
    with pytest.raises(RegistryError, match="has the name 'other'"):
        registry.load(lambda: [entry("acme", spec=replace(SPEC, name="other"))])


def test_loading_the_nvidia_collector_does_not_load_its_binding() -> None:
    script = (
        "import sys; from collectors import registry; "
        "print('nvidia' in {spec.name for spec in registry.load()}, 'pynvml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True False\n"
