import pytest

from collectors.amd.fdinfo import Client, ClientKey, parse
from collectors.query import InvalidValueError

KEY = ClientKey("0000:63:00.0", 30)
HEAD = "pos:\t0\nflags:\t02100002\ndrm-driver:\tamdgpu\ndrm-client-id:\t30\ndrm-pdev:\t0000:63:00.0\npasid:\t32785\n"


def client(text: str) -> Client | None:
    return parse((HEAD + text).encode())


def test_a_client_is_parsed() -> None:
    parsed = client("drm-memory-vram:\t544428 KiB\ndrm-engine-gfx:\t39456116802 ns\ndrm-engine-dec:\t7 ns\n")
    assert parsed == Client(KEY, 544428 * 1024, {"gfx": 39456116802})


@pytest.mark.parametrize(
    ("lines", "memory"),
    [
        ("", None),
        ("drm-memory-vram:\t3 KiB\n", 3072),
        ("drm-memory-vram: 3 KiB\n", 3072),
        ("drm-resident-vram:\t2 MiB\n", 2 << 20),
        ("drm-resident-vram:\t0\n", 0),
        ("drm-resident-vram:\t4096\n", 4096),
        ("drm-total-vram:\t9 MiB\ndrm-memory-vram:\t5 MiB\ndrm-resident-vram:\t4 MiB\n", 4 << 20),
        ("drm-total-vram:\t9 MiB\n", None),
        ("drm-memory-gtt:\t9 KiB\n", None),
        ("drm-memory-vram:\t3 KiB\ndrm-engine-gfx:\t39456", 3072),  # the end is missing
    ],
)
def test_memory_is_the_resident_device_memory(lines: str, memory: int | None) -> None:
    parsed = client(lines)
    assert parsed is not None
    assert parsed.memory_bytes == memory
    assert parsed.engine_ns == {}


@pytest.mark.parametrize(
    "line",
    [
        "drm-memory-vram:\t",
        "drm-memory-vram:\t-1 KiB",
        "drm-memory-vram:\t3 GB",
        "drm-memory-vram:\t1_000 KiB",
        f"drm-memory-vram:\t{(2**64 - 4096) // 1024} KiB",  # a negative count
        f"drm-memory-vram:\t{'9' * 5000}",
        "drm-engine-gfx:\t12",
        "drm-engine-gfx:\t-5 ns",
        f"drm-engine-compute:\t{2**64 - 1} ns",
        "drm-engine-compute:\t\N{ARABIC-INDIC DIGIT THREE} ns",
    ],
)
def test_a_file_with_an_impossible_value_is_refused(line: str) -> None:
    with pytest.raises(InvalidValueError, match="fdinfo"):
        client(f"{line}\n")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "pos:\t0\n",
        HEAD.replace("amdgpu", "i915"),
        HEAD.replace("drm-client-id:\t30", ""),
        HEAD.replace("drm-client-id:\t30", "drm-client-id:\t3x"),
        HEAD.replace("drm-pdev:\t0000:63:00.0", ""),
        HEAD.replace("drm-pdev:\t0000:63:00.0", "drm-pdev:"),
        HEAD.replace("\n", ""),
    ],
)
def test_a_file_without_a_client_has_no_result(content: str) -> None:
    assert parse(content.encode()) is None


@pytest.mark.parametrize(
    ("lines", "uses"),
    [
        ("", False),
        ("drm-memory-vram:\t0 KiB\n", False),
        ("drm-memory-vram:\t4 KiB\n", True),
        ("drm-memory-vram:\t0 KiB\ndrm-engine-compute:\t1 ns\n", True),
        ("drm-engine-gfx:\t0 ns\n", False),
    ],
)
def test_an_open_gpu_is_not_a_used_gpu(lines: str, uses: bool) -> None:  # noqa: FBT001, a row of the table
    parsed = client(lines)
    assert parsed is not None
    assert parsed.is_active is uses
