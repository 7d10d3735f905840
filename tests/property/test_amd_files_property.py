import math
import struct
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import Reading
from collectors.metric import Unit
from tests.doubles.amd_cards import MI210, MI300X, RX_7900_XTX
from tests.doubles.amd_metrics import SIZES
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import AmdTree
from tests.doubles.options import EACH_LINK, USUAL
from tests.property.examples import examples

_KINDS = st.sampled_from((MI210, MI300X, RX_7900_XTX))
_SECOND = "0000:83:00.0"
# It contains short numbers and lists; otherwise nearly everything would be refused at its first byte.
_CONTENTS = st.one_of(
    st.binary(max_size=64),
    st.integers(-(2**70), 2**70).map(lambda number: f"{number}\n".encode()),
    st.text("0123456789abcdefxMhzuec: *\n\0RPF", max_size=64).map(str.encode),
    st.text("0123456789.GT/s PCIeUnkow", max_size=20).map(str.encode),
)
# Almost no other bytes are a valid table.
_TABLES = st.sampled_from(sorted(SIZES)).flatmap(
    lambda version: st.binary(min_size=SIZES[version] - 4, max_size=SIZES[version] - 4).map(
        lambda filling: struct.pack("<HBB", SIZES[version], *version) + filling
    )
)


@given(st.data())
@settings(max_examples=examples(150), deadline=None)
def test_no_file_content_raises_or_becomes_an_impossible_value(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = AmdTree(Path(folder) / "sys")
        gpu, other = tree.add(data.draw(_KINDS), "0000:63:00.0"), tree.add(MI210, _SECOND)
        if gpu.kind.modes:
            gpu.set_partition_mode(data.draw(st.sampled_from(sorted(gpu.kind.modes))))
        files = sorted(
            path
            for where in (gpu.folder, tree.kfd, tree.path / "module")
            for path in where.rglob("*")
            if path.is_file() and not path.is_symlink()
        )
        for path in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=12, unique=True)):
            path.write_bytes(data.draw(_CONTENTS))
        collector = collector_of(tree, data.draw(st.sampled_from([USUAL, EACH_LINK])), parse=parse)
        for _ in range(2):
            if data.draw(st.booleans()):
                gpu.write_bytes("gpu_metrics", data.draw(_TABLES))
            check(collector.read(ALL), other.uuid)


def check(reading: Reading, other: str) -> None:
    assert other in {device.uuid for device in reading.devices}
    assert len({device.uuid for device in reading.devices}) == 2
    subjects = [(sample.metric, sample.device_uuid, sample.partition_uuid, sample.labels) for sample in reading.samples]
    assert len(subjects) == len(set(subjects))
    for sample in reading.samples:
        assert math.isfinite(sample.value)
        if sample.metric.unit is Unit.RATIO:
            assert 0 <= sample.value <= 1
        if sample.metric.unit is not Unit.CELSIUS:
            assert sample.value >= 0
