import pytest

from collectors import catalog
from collectors.simulated import inventory
from collectors.simulated.activity import ActivitySchedule
from collectors.simulated.machine import Machine
from tests.doubles.simulated_node import scenario


def machine(text: str) -> Machine:
    played = scenario(text)
    (device,) = inventory(played, "node-1")
    return Machine(device, played, ActivitySchedule(played))


def energy(one: Machine) -> float:
    ((_, total),) = one.totals(catalog.ENERGY)
    return total


def test_energy_is_the_integral_of_power() -> None:
    load = "{shape: sine, low: 0.1, high: 0.9, period: 37}"
    one = machine(f"seed: 3\nnoise: 0.3\ndevices: [{{profile: h100, load: {load}}}]")
    joules = 0.0
    for quarter in range(4 * 120):
        one.advance(quarter / 4)
        assert energy(one) == pytest.approx(joules)
        joules += one.now.watts / 4
    assert joules > 70 * 120


def test_counters_do_not_depend_on_when_they_are_read() -> None:
    text = "noise: 0.5\ndevices: [{profile: h100, load: 0.9}]"
    often, once = machine(text), machine(text)
    for step in range(1, 1000):
        often.advance(step / 10)
    once.advance(99.9)
    assert energy(often) == energy(once)
    assert often.core_celsius == once.core_celsius


def test_a_clock_that_steps_back_changes_nothing() -> None:
    one = machine("devices: [{profile: h100, load: 0.9}]")
    one.advance(10.75)
    before = energy(one)
    one.advance(3)
    assert energy(one) == before
    one.advance(10.5)
    assert energy(one) == before


def test_temperature_follows_power_with_delay_and_settles() -> None:
    one = machine("devices: [{profile: h100, load: {shape: square, low: 0, high: 1, period: 2000}}]")
    start = one.core_celsius
    one.advance(10)
    soon = one.core_celsius
    one.advance(900)
    settled = one.core_celsius
    one.advance(1900)
    assert start < soon < settled == pytest.approx(68, abs=0.1)
    assert one.core_celsius == pytest.approx(start, abs=0.1)


def test_a_lost_device_uses_nothing_and_counts_nothing() -> None:
    one = machine("devices: [{profile: h100, load: 1}]\nfaults: [{kind: device_lost, at: 10, for: 10, devices: [0]}]")
    one.advance(10)
    before = energy(one)
    one.advance(19.5)
    assert energy(one) == before
    one.advance(21)
    assert energy(one) == pytest.approx(before + 700)
