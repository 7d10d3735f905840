"""Each set has its series whatever other sets are chosen, from every vendor's double and from simulated devices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.nodes import cpx, sliced, whole
from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import CollectOptions, Reading
from collectors.metric import ALL_SETS, MetricSet, Subject
from collectors.simulated.parse import parse_scenario
from tests.doubles.amd_cards import MI210, MI300X, RX_7900_XTX
from tests.doubles.amd_node import collector_of
from tests.doubles.amd_tree import AmdTree
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvidia_collector import collector_bench
from tests.doubles.nvml import NvmlState, h100, h100_mig
from tests.doubles.nvml_loaded import loaded
from tests.doubles.simulated_node import ALL, SimulatedNode

Read = Callable[[CollectOptions], Reading]
# The sums of links are in two sets, unless the set of single links is chosen too.
_INDEPENDENT = ALL_SETS - {MetricSet.LINKS}
_POLLS = 3  # some readings are differences


def series_in(reading: Reading, wanted: MetricSet) -> set[tuple[str, ...]]:
    """The series of a reading that are in a set."""
    vendors = {device.uuid: device.vendor for device in reading.devices}
    found = set()
    for each in reading.samples:
        subject = Subject.PARTITION if each.partition_uuid else Subject.DEVICE
        own = dict(zip((label.name for label in each.metric.labels), each.labels, strict=True))
        if each.metric.set_of(subject, {"vendor": vendors[each.device_uuid], **own}) is wanted:
            found.add((each.metric.stem, each.device_uuid, each.partition_uuid, *each.labels))
    return found


def counted(reading: Reading) -> set[str]:
    """The devices whose errors are counted."""
    return {each.device_uuid for each in reading.samples if each.metric is catalog.ERRORS}


@contextmanager
def nvidia(path: Path, library: Path) -> Iterator[Read]:
    """A whole H100, and one with two MIG devices."""
    with NvmlState(path / "nvml-state", [h100(0), h100(1)]) as state, loaded(library, state):
        addresses = [state.devices[card].pci_address for card in (0, 1)]
        state.devices[1].partition([h100_mig(1, 0), h100_mig(1, 1)])

        def read(options: CollectOptions) -> Reading:
            with collector_bench(path / "-".join(sorted(options.sets)), state, options) as bench:
                for address in addresses:
                    bench.tree.add_pci(address)
                for _ in range(_POLLS):
                    bench.pass_time(10)
                    bench.read()
                # The library is asked for events in another thread.
                wait_until(lambda: len(counted(bench.read())) == len(addresses))
                return bench.read()

        yield read


def amd(path: Path) -> Read:
    """An MI300X with eight partitions, an MI210 and a Radeon."""
    tree = AmdTree(path / "sys")
    for bus, kind in enumerate((MI300X, MI210, RX_7900_XTX), start=1):
        tree.add(kind, f"0000:{bus:02x}:00.0")
    tree.gpus[0].set_partition_mode("CPX", "NPS4")

    def read(options: CollectOptions) -> Reading:
        collector = collector_of(tree, options, parse=parse)
        return [collector.read(ALL) for _ in range(_POLLS)][-1]

    return read


def simulated(text: str) -> Read:
    def read(options: CollectOptions) -> Reading:
        node = SimulatedNode(parse_scenario(text, "test", Path()), options=options)
        return [node.read(10 * number) for number in range(_POLLS)][-1]

    return read


@pytest.fixture(params=["nvidia", "amd", "simulated H100", "simulated MIG", "simulated MI300X"])
def read(request: pytest.FixtureRequest, tmp_path: Path, nvml_library: Path) -> Iterator[Read]:
    if request.param == "nvidia":
        with nvidia(tmp_path, nvml_library) as made:
            yield made
    elif request.param == "amd":
        yield amd(tmp_path)
    else:
        yield simulated({"H100": whole(1), "MIG": sliced(1), "MI300X": cpx(1)}[request.param.split()[1]])


def test_a_set_has_the_same_series_with_and_without_the_others(read: Read) -> None:
    everything = read(CollectOptions(_INDEPENDENT))
    assert all(series_in(everything, each) for each in (MetricSet.CORE, MetricSet.HEALTH, MetricSet.LIMITS))
    for wanted in sorted(_INDEPENDENT):
        alone = read(CollectOptions(frozenset({wanted})))
        assert series_in(alone, wanted) == series_in(everything, wanted), wanted
