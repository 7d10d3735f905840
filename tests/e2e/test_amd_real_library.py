"""The real `librocm_smi64` of Debian 12 (ROCm 5.2.3) reports the same as the kernel's files, for every reading."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from collectors import catalog
from collectors.amd import ras
from collectors.amd.gpu_metrics.parse import parse
from collectors.amd.rocm_smi.librocm_smi import BLOCKS, READINGS
from collectors.contract import CollectorError, Reading, UnsupportedError
from collectors.metric import Metric
from tests.doubles.amd_cards import MI210, MI250X, MI250X_SECOND_DIE, RX_7900_XTX
from tests.doubles.amd_metrics import table
from tests.doubles.amd_node import ALL, collector_of, value
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.mounted import mounted


class Same(NamedTuple):
    """The series with the same value as a reading of the library.

    Attributes:
        metric: The row of the catalogue.
        unit: The unit of the reading, in the row's base unit.
        labels: Values of the row's labels.
    """

    metric: Metric
    unit: float = 1
    labels: tuple[str, ...] = ()


SERIES: Mapping[str, Same] = {
    "utilization_percent": Same(catalog.UTILIZATION, 0.01),
    "memory_activity_percent": Same(catalog.MEMORY_CONTROLLER_ACTIVITY, 0.01),
    "vram_total_bytes": Same(catalog.MEMORY_LIMIT),
    "vram_used_bytes": Same(catalog.MEMORY_USAGE),
    "gtt_used_bytes": Same(catalog.HOST_MEMORY_USAGE),
    "power_average_microwatts": Same(catalog.POWER, 1e-6),
    "power_cap_microwatts": Same(catalog.POWER_LIMIT, 1e-6),
    "pcie_replays": Same(catalog.PCIE_REPLAYS),
    "energy_count": Same(catalog.ENERGY, 2**-16),
    "edge_millidegrees": Same(catalog.TEMPERATURE, 1e-3, ("core",)),
    "junction_millidegrees": Same(catalog.TEMPERATURE, 1e-3, ("hotspot",)),
    "memory_millidegrees": Same(catalog.TEMPERATURE, 1e-3, ("memory",)),
    **{f"hbm{n}_millidegrees": Same(catalog.TEMPERATURE, 1e-3, (f"hbm{n}",)) for n in range(4)},
}
# There is no series for each block; their sum is compared with `MEMORY_ERRORS` below.
KINDS = ("corrected", "uncorrected")
ERRORS = {f"{block}_{kind}": (block, kind) for block in BLOCKS for kind in KINDS}
# A defect of this release: it returns NOT_SUPPORTED for two blocks whose files exist.
UNKNOWN_BLOCKS = ("athub", "df")

CARDS = {
    "MI210": MI210,
    "MI250X": MI250X,
    "MI250X, second die": MI250X_SECOND_DIE,
    "RX 7900 XTX": RX_7900_XTX,
}
# Readings without a file on a card; the library must not have them either.
MISSING = {
    "MI250X, second die": {"power_average_microwatts", "power_cap_microwatts"},
    "RX 7900 XTX": {"energy_count", *(f"hbm{n}_millidegrees" for n in range(4)), *ERRORS},
}
NO_COUNTER = 0
UNSET = 0xFFFF


class CardNode:
    """A node with all cards, in which no two files have the same value."""

    def __init__(self, path: Path) -> None:
        self.tree = AmdTree(path)
        buses = ("63", "43", "53", "54")
        added = zip(CARDS.items(), buses, strict=True)
        self.gpus = {name: self.tree.add(card, f"0000:{bus}:00.0") for (name, card), bus in added}
        for number, (name, gpu) in enumerate(self.gpus.items(), 1):
            self._fill(number, gpu, MISSING.get(name, set()))

    def _fill(self, number: int, gpu: Gpu, missing: set[str]) -> None:
        files = {
            "gpu_busy_percent": 10 + number,
            "mem_busy_percent": 20 + number,
            "mem_info_vram_total": gpu.kind.vram_bytes + 4096 * number,
            "mem_info_vram_used": (5 << 30) + 4096 * number,
            "mem_info_gtt_used": (7 << 20) + 4096 * number,
            "pcie_replay_count": 300 + number,
            **{f"hwmon/temp{n}_input": 30_000 + 1000 * number + n for n in (1, 2, 3)},
        }
        if "power_average_microwatts" not in missing:
            files |= {"hwmon/power1_average": 90_000_000 + number, "hwmon/power1_cap": 400_000_000 + number}
        for name, now in files.items():
            gpu.write(name, str(now))
        for n, block in enumerate(gpu.kind.ras):
            gpu.write(f"ras/{block}_err_count", f"ue: {5000 * number + n}\nce: {5100 * number + n}")
        has_energy = "energy_count" not in missing
        energy = 1_000_000 * number + 1 if has_energy else NO_COUNTER
        stacks = tuple(50 + 10 * number + n for n in range(4))
        gpu.write_bytes("gpu_metrics", table((1, 3), {"energy": energy, "hbm": stacks if has_energy else (UNSET,) * 4}))


class BothReadings(NamedTuple):
    """The readings of one node.

    Attributes:
        node: The node.
        kernel: Readings of the collector that reads the kernel's files.
        library: Readings of the library, for each card.
    """

    node: CardNode
    kernel: Reading
    library: Mapping[str, Mapping[str, float | CollectorError]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> BothReadings:
    node = CardNode(tmp_path_factory.mktemp("node") / "sys")
    names = list(READINGS)
    with mounted(node.tree) as mount:
        library = {
            card: dict(zip(names, mount.backend.read(gpu.address, names), strict=True))
            for card, gpu in node.gpus.items()
        }
    return BothReadings(node, collector_of(node.tree, parse=parse).read(ALL), library)


def number(reading: float | CollectorError) -> float:
    """The value of a reading that must have one."""
    assert not isinstance(reading, CollectorError), reading
    return reading


def test_every_reading_is_compared() -> None:
    assert {*SERIES, *ERRORS, "power_current_microwatts"} == READINGS.keys()


def test_no_two_readings_are_equal(both: BothReadings) -> None:
    values = [
        value for card in both.library.values() for value in card.values() if not isinstance(value, CollectorError)
    ]
    assert len(values) == len(set(values)) > 80


def compared(both: BothReadings, card: str, name: str) -> tuple[float | None, float | CollectorError]:
    """A reading in the series' unit: by the kernel's files and by the library."""
    same = SERIES[name]
    library = both.library[card][name]
    kernel = value(both.kernel, same.metric, both.node.gpus[card].uuid, *same.labels)
    return kernel, library if isinstance(library, CollectorError) else library * same.unit


@pytest.mark.parametrize("card", CARDS)
def test_library_and_kernel_report_the_same(card: str, both: BothReadings) -> None:
    pairs = {name: compared(both, card, name) for name in SERIES}
    missing = {
        name for name, (kernel, library) in pairs.items() if kernel is None and isinstance(library, CollectorError)
    }
    assert missing == MISSING.get(card, set()) & SERIES.keys()
    readable = {name: pair for name, pair in pairs.items() if name not in missing}
    kernel = {name: by_kernel for name, (by_kernel, _) in readable.items()}
    assert kernel == {name: pytest.approx(number(library), rel=1e-12) for name, (_, library) in readable.items()}


@pytest.mark.parametrize("card", CARDS)
def test_library_and_kernel_count_the_same_errors(card: str, both: BothReadings) -> None:
    counts = {name: count for name, count in both.library[card].items() if name in ERRORS}
    missing = {name for name, count in counts.items() if isinstance(count, UnsupportedError)}
    unknown = {name for name, (block, _) in ERRORS.items() if block in UNKNOWN_BLOCKS}
    assert missing == unknown | (MISSING.get(card, set()) & ERRORS.keys())
    folder = both.node.gpus[card].folder
    assert {name: count for name, count in counts.items() if name not in missing} == {
        name: getattr(ras.read_count(folder, block), kind)
        for name, (block, kind) in ERRORS.items()
        if name not in missing
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("card", [card for card in CARDS if CARDS[card].ras])
def test_memory_errors_are_those_of_the_librarys_memory_block(card: str, kind: str, both: BothReadings) -> None:
    gpu = both.node.gpus[card]
    assert value(both.kernel, catalog.MEMORY_ERRORS, gpu.uuid, kind) == number(both.library[card][f"umc_{kind}"])


@pytest.mark.parametrize("card", CARDS)
def test_a_function_that_the_library_lacks_is_unsupported(card: str, both: BothReadings) -> None:
    error = both.library[card]["power_current_microwatts"]
    assert isinstance(error, UnsupportedError)
    assert str(error) == "rsmi_dev_current_socket_power_get: status 2"


def test_a_changed_file_is_visible_in_the_next_request(tmp_path: Path) -> None:
    gpu = AmdTree(tmp_path / "sys").add(MI210, "0000:63:00.0")
    with mounted(gpu.tree) as mount:
        assert mount.backend.read(gpu.address, ["utilization_percent"]) == [37]
        gpu.write("gpu_busy_percent", "99")
        assert mount.backend.read(gpu.address, ["utilization_percent"]) == [99]
        gpu.write("gpu_busy_percent", "0")
        assert mount.backend.read(gpu.address, ["utilization_percent"]) == [0]
