"""Whatever procfs and sysfs say about the process and the machine, `check` has facts about them."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.check.environment import read_environment, read_mounts, read_only_root, socket_mount
from exporter.configuration.load import load_settings
from tests.property.examples import examples

FILES = ("proc/self/status", "proc/self/uid_map", "proc/self/mountinfo", "sys/class/dmi/id/product_uuid")
# Pieces of these files, which get further than random bytes.
PIECES = st.one_of(
    st.sampled_from((b"Uid:\t", b"CapEff:\t", b"0", b"1", b"ffffffffffffffff", b"4294967295", b"-1", b"\xb2")),
    st.sampled_from(
        (b" ", b"\t", b"\n", b" / ", b" /var/lib/kubelet/pod-resources ", b"ro,", b"\\040", b"\\777", b"\0")
    ),
    st.binary(max_size=8),
)
CONTENTS = st.lists(PIECES, max_size=40).map(b"".join)


@given(st.fixed_dictionaries(dict.fromkeys(FILES, CONTENTS)))
@settings(deadline=None, max_examples=examples(30))
def test_any_files_of_the_kernel_give_facts(contents: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in contents.items():
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).write_bytes(content)
        paths = {"path.procfs": f"{folder}/proc", "path.sysfs": f"{folder}/sys"}
        chosen = load_settings(paths, {}, None)
        mounts = read_mounts(chosen.path.procfs)
        found = read_environment(chosen, "pod-x", {}, mounts, ("amd", "nvidia"))
        assert found.uid is None or found.uid >= 0
        assert found.read_only_root is read_only_root(mounts)
        assert socket_mount(mounts, chosen.kubelet.socket).point in {"", *(str(mount.point) for mount in mounts)}
