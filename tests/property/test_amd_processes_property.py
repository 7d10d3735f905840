import tempfile
from itertools import cycle
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.amd.fdinfo import parse
from collectors.contract import Reading
from collectors.query import InvalidValueError
from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_processes import AmdProcesses
from tests.doubles.amd_tree import AmdTree
from tests.property.examples import examples

ADDRESS = "0000:63:00.0"
_NUMBERS = st.integers(-(2**66), 2**66)
_UNITS = st.sampled_from(("", " ns", " KiB", " MiB", "\t", "x"))
_KEYS = st.sampled_from(
    ("drm-resident-vram", "drm-memory-vram", "drm-engine-gfx", "drm-engine-compute", "drm-client-id", "drm-pdev")
)
_LINES = st.one_of(
    st.binary(max_size=40),
    st.tuples(_KEYS, _NUMBERS, _UNITS).map(lambda line: f"{line[0]}:\t{line[1]}{line[2]}".encode()),
    st.tuples(_KEYS, st.integers(0, 2**40), _UNITS).map(lambda line: f"{line[0]}:\t{line[1]}{line[2]}".encode()),
)
_HEAD = f"drm-driver:\tamdgpu\ndrm-pdev:\t{ADDRESS}\ndrm-client-id:\t7".encode()
# Mostly with a header; otherwise nearly every file would belong to another driver.
_CONTENTS = st.tuples(st.sampled_from((_HEAD, _HEAD, b"")), st.lists(_LINES, max_size=8), st.booleans()).map(
    lambda parts: b"\n".join([parts[0], *parts[1]]) + (b"\n" if parts[2] else b"")
)


@given(_CONTENTS)
def test_file_is_parsed_or_refused(content: bytes) -> None:
    try:
        client = parse(content)
    except InvalidValueError:
        return
    if client is not None:
        assert client.memory_bytes is None or client.memory_bytes >= 0
        assert all(time >= 0 for time in client.engine_ns.values())


@given(st.data())
@settings(max_examples=examples(100), deadline=None)
def test_no_file_content_raises_or_becomes_an_impossible_process(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = AmdTree(Path(folder) / "sys")
        gpu = tree.add(MI300X, ADDRESS)
        gpu.set_partition_mode(data.draw(st.sampled_from(("SPX", "DPX"))))
        processes = AmdProcesses(tree, Path(folder) / "proc")
        times = cycle(data.draw(st.lists(st.floats(0, 1e9), min_size=64, max_size=64)))
        collector = collector_of(tree, procfs=processes.root, clock=lambda: next(times))
        for pid in (10, 11):
            processes.compute(pid, gpu, memory=5, queues=1)
        files = sorted(path for path in processes.kfd.rglob("*") if path.is_file())
        for _ in range(3):
            for fd in (5, 6, 7):
                processes.write(data.draw(st.sampled_from((10, 11, 12))), fd, data.draw(_CONTENTS))
            for path in data.draw(st.lists(st.sampled_from(files), max_size=3)):
                path.write_bytes(data.draw(st.one_of(st.binary(max_size=32), _NUMBERS.map(lambda n: b"%d\n" % n))))
            check(collector.read(ALL))


def check(reading: Reading) -> None:
    places = [(process.pid, process.device_uuid, process.partition_uuid) for process in reading.processes]
    assert len(places) == len(set(places))
    for process in reading.processes:
        assert process.pid in {10, 11, 12}
        assert process.memory_usage_bytes is None or 0 <= process.memory_usage_bytes <= 2**53
        assert process.utilization_ratio is None or 0 <= process.utilization_ratio <= 1
