"""The codes and states of simulated cards are those of the real collectors, which the simulation cannot import."""

from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd import status as amd_status
from collectors.condition import Condition
from collectors.contract import Reading
from collectors.metric import Cadence, Metric
from collectors.nvidia import status as nvidia_status
from collectors.nvidia import xid
from collectors.simulated.diagnostic_rows import rows_of_set
from collectors.simulated.profile import Profile
from collectors.simulated.profiles import PROFILES
from tests.doubles.amd_cards import MI210, MI250X, MI250X_SECOND_DIE, MI300X, MI355X, RX_7900_XTX, AmdCard
from tests.doubles.amd_node import collector_of
from tests.doubles.amd_tree import AmdTree
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvidia_collector import collector_bench
from tests.doubles.nvidia_device import mig_device
from tests.doubles.nvml import NvmlState, h100
from tests.doubles.nvml_cards import card as nvidia_card
from tests.doubles.options import DIAGNOSED, USUAL
from tests.doubles.simulated_node import SimulatedNode, samples, scenario

ALL = frozenset(Cadence)
NVIDIA = [profile for profile in PROFILES if profile.vendor == "nvidia"]
Left = set[tuple[Metric, tuple[str, ...], bool]]


@pytest.mark.parametrize("profile", NVIDIA, ids=lambda profile: profile.name)
def test_codes_of_nvidia_cards_are_classified_as_the_collector_classifies_them(profile: Profile) -> None:
    codes = profile.error_codes
    assert {code.code for code in codes if code.from_start} == {*xid.FROM_START, xid.GPU_UNAVAILABLE}
    for code in codes:
        assert code.error_class == xid.error_class(code.source, code.code)
        assert code.fatal == (xid.effect(code.source, code.code) is xid.Effect.FAILED)


def state(reading: Reading) -> str:
    (found,) = (sample.labels[0] for sample in samples(reading, catalog.STATUS_STATE) if sample.value)
    return found


def worst(reading: Reading) -> tuple[Condition, ...]:
    """The worst reason why the device is not ok."""
    return reading.conditions.get(reading.devices[0].uuid, ())[:1]


def simulated(profile: str, *faults: str) -> Reading:
    """The reading of a device at second 60."""
    listed = "".join(f"- {{{fault}}}\n" for fault in faults)
    return SimulatedNode(scenario(f"devices: [{{profile: {profile}, load: 0.5}}]\nfaults:\n{listed}")).read(60)


CORRECTED = "kind: memory_errors, at: 0, for: 90, devices: [0], corrected_per_second: 9"
UNCORRECTED = "kind: memory_errors, at: 0, for: 10, devices: [0], uncorrected_per_second: 0.1"
MANY = "kind: memory_errors, at: 0, for: 60, devices: [0], uncorrected_per_second: 100"
WORN = "kind: memory_errors, at: 0, for: 32, devices: [0], uncorrected_per_second: 4"
NEARLY = "kind: memory_errors, at: 0, for: 10, devices: [0], uncorrected_per_second: 12.7"
HOT = "kind: throttle, at: 0, for: 90, devices: [0], reason: thermal"
LOST = "kind: device_lost, at: 50, for: 30, devices: [0]"


@pytest.mark.parametrize(
    ("fault", "facts"),
    [
        (CORRECTED, nvidia_status.HealthFacts()),
        (HOT, nvidia_status.HealthFacts()),
        (UNCORRECTED, nvidia_status.HealthFacts(uncorrected_errors=1, repair_pending=True, recovery="drain_and_reset")),
        (MANY, nvidia_status.HealthFacts(repair_failed=True, repair_pending=True, recovery="drain_and_reset")),
        ("kind: critical_error, at: 5, devices: [0], code: '79'", nvidia_status.HealthFacts(recovery="reset")),
        ("kind: critical_error, at: 5, devices: [0], code: '13'", nvidia_status.HealthFacts(recovery="none")),
        (LOST, nvidia_status.HealthFacts(lost=True)),
    ],
)
def test_the_state_of_an_nvidia_card_follows_the_rules_of_the_collector(
    fault: str, facts: nvidia_status.HealthFacts
) -> None:
    reading = simulated("h100", fault)
    assert state(reading) == nvidia_status.state_of(facts)
    assert [each.state for each in worst(reading)] == [each.state for each in nvidia_status.conditions_of(facts)[:1]]
    if not facts.lost:
        (action,) = (s.labels[0] for s in samples(reading, catalog.RECOVERY_ACTION) if s.value)
        assert action == facts.recovery or (action, facts.recovery) == ("none", "")


@pytest.mark.parametrize(
    ("fault", "facts"),
    [
        (CORRECTED, amd_status.HealthFacts()),
        (HOT, amd_status.HealthFacts()),
        (UNCORRECTED, amd_status.HealthFacts(failing_blocks=("umc",), repair_pending=True)),
        ("kind: critical_error, at: 5, devices: [0], code: gfx", amd_status.HealthFacts(failing_blocks=("gfx",))),
        (WORN, amd_status.HealthFacts(bad_pages=128, bad_page_threshold=128)),
        (NEARLY, amd_status.HealthFacts(bad_pages=127, bad_page_threshold=128, repair_pending=True)),
        (LOST, amd_status.HealthFacts(lost=True)),
    ],
)
def test_the_state_of_an_amd_card_follows_the_rules_of_the_collector(fault: str, facts: amd_status.HealthFacts) -> None:
    reading = simulated("mi300x", fault)
    assert state(reading) == amd_status.state_of(facts)
    assert worst(reading) == amd_status.conditions_of(facts)[:1]


@pytest.mark.parametrize(
    ("profile", "card"),
    [
        ("mi210", MI210),
        ("mi250x", MI250X),
        ("mi250x_second_die", MI250X_SECOND_DIE),
        ("mi300x", MI300X),
        ("mi355x", MI355X),
        ("rx7900xtx", RX_7900_XTX),
    ],
)
def test_an_amd_card_shares_its_power_as_the_real_one(tmp_path: Path, profile: str, card: AmdCard) -> None:
    tree = AmdTree(tmp_path / "sys")
    tree.add(card, "0000:05:00.0")
    real, played = collector_of(tree).read(ALL), simulated(profile, HOT)
    assert [device.power_shared for device in played.devices] == [device.power_shared for device in real.devices]


# Profile, its partitions in a scenario, and the card of the double.
OF_DIAGNOSTICS = [
    ("a100", "", "a100"),
    ("a100", "{profile: 3g.40gb, count: 2, memory: 39GiB, compute: 3/7}", "a100-mig"),
    ("h100", "", "h100"),
    ("h100", "{profile: 1g.10gb, count: 7, memory: 9GiB, compute: 1/7}", "h100-mig"),
    ("l40s", "", "l40s"),
    ("rtx6000ada", "", "rtx6000ada"),
]


def diagnostics(reading: Reading) -> set[tuple[str, ...]]:
    """The series of the families that NVIDIA cards have only with the option, by stem and labels."""
    return {(s.metric.stem, *s.labels) for s in reading.samples if s.metric in rows_of_set("nvidia")}


@pytest.mark.parametrize(("profile", "partitions", "card"), OF_DIAGNOSTICS)
def test_an_nvidia_card_has_the_families_for_diagnosis_of_the_real_one(
    tmp_path: Path, nvml: NvmlState, profile: str, partitions: str, card: str
) -> None:
    options = DIAGNOSED
    nvml.devices = [nvidia_card(card).device()]
    with collector_bench(tmp_path, nvml, options) as bench:
        real = diagnostics(bench.read())
    cut = f", partitions: [{partitions}]" if partitions else ""
    node = SimulatedNode(scenario(f"devices: [{{profile: {profile}{cut}}}]"), options=options)
    assert diagnostics(node.read(5)) == real


@pytest.mark.parametrize("wanted", [False, True])
def test_an_nvidia_card_reports_its_time_in_throttling_as_the_real_one(
    tmp_path: Path, nvml: NvmlState, *, wanted: bool
) -> None:
    options = DIAGNOSED if wanted else USUAL
    nvml.devices = [h100(0)]
    nvml.devices[0].clocks_event_reasons = 0x20
    with collector_bench(tmp_path, nvml, options) as bench:
        bench.read()
        for _ in range(30):
            bench.pass_time(1)
            real = bench.read()
    node = SimulatedNode(
        scenario(f"devices: [{{profile: h100, load: 0.5}}]\nfaults: [{{{HOT}}}, {{kind: driver_reload, at: 20}}]"),
        options=options,
    )
    played = node.read(30)
    assert throttling(played) == throttling(real)
    assert bool(throttling(played)[0]) == wanted


def throttling(reading: Reading) -> tuple[dict[str, float], list[str]]:
    """The time in throttling by reason, and why it is missing."""
    times = {s.labels[0]: s.value for s in samples(reading, catalog.THROTTLE_SECONDS)}
    return times, [gap.detail for gap in reading.unsupported if gap.metric is catalog.THROTTLE_SECONDS]


@pytest.mark.parametrize(("fault", "used", "empty"), [(HOT, 0, 0), (UNCORRECTED, 1, 0), (MANY, 2559, 1)])
def test_banks_of_the_memory_lose_spare_rows_with_each_repair(fault: str, used: int, empty: int) -> None:
    node = SimulatedNode(
        scenario(f"devices: [{{profile: h100, load: 0.5}}]\nfaults: [{{{fault}}}]"),
        options=DIAGNOSED,
    )
    banks = {s.labels[0]: s.value for s in samples(node.read(60), catalog.MEMORY_BANKS)}
    assert banks == {"max": 2560 - used - empty, "high": used, "partial": 0, "low": 0, "none": empty}


def left_of_lost(reading: Reading) -> Left:
    """The series of the only device, which is lost, without the values of fixed properties."""
    assert [device.lost for device in reading.devices] == [True]
    return {(s.metric, () if s.metric is catalog.INFO else s.labels, bool(s.partition_uuid)) for s in reading.samples}


def test_a_lost_nvidia_card_leaves_what_a_real_one_leaves(tmp_path: Path, nvml: NvmlState) -> None:
    card = h100(0)
    card.partition([mig_device(7)])
    nvml.devices = [card]
    with collector_bench(tmp_path, nvml) as bench:
        bench.read()
        nvml.happen(0, 79)
        wait_until(lambda: any(s.metric is catalog.ERROR_LAST_TIMESTAMP for s in bench.read().samples))
        nvml.lose(0)
        real = left_of_lost(bench.read())
    cut = "[{profile: h100, partitions: [{profile: 1g.10gb, memory: 9GiB, compute: 1/7}]}]"
    node = SimulatedNode(
        scenario(
            f"devices: {cut}\nfaults:\n- {{kind: critical_error, at: 5, devices: [0], code: '79'}}\n"
            "- {kind: device_lost, at: 5, for: 9, devices: [0]}\n"
        )
    )
    assert left_of_lost(node.read(6)) == real


def test_a_lost_amd_card_leaves_what_a_real_one_leaves(tmp_path: Path) -> None:
    gpu = (tree := AmdTree(tmp_path / "sys")).add(MI300X, "0000:05:00.0")
    gpu.set_partition_mode("CPX", "NPS4")
    collector = collector_of(tree)
    collector.read(ALL)
    gpu.write("ras/umc_err_count", "ue: 1\nce: 0")
    collector.read(ALL)
    gpu.unbind()
    real = left_of_lost(collector.read(ALL))
    node = SimulatedNode(
        scenario(
            "devices: [{profile: mi300x, partitions: [{profile: cpx_nps4, count: 8, memory: 24GiB, compute: 1/8}]}]\n"
            "faults:\n- {kind: critical_error, at: 4, devices: [0], code: umc}\n"
            "- {kind: device_lost, at: 5, for: 9, devices: [0]}\n"
        )
    )
    assert left_of_lost(node.read(6)) == real
