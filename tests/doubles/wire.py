"""Writes protobuf's wire format, also what no library would write, and makes PodResources answers of a given size."""

from collections.abc import Callable, Iterable, Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MIB = 1024 * 1024


def varint(value: int, size: int = 1) -> bytes:
    """A number; with more bytes than it needs if `size` says so."""
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 7 * size), 7)]
    return bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def field(number: int, *parts: bytes) -> bytes:
    """A string, or a message of these fields."""
    value = b"".join(parts)
    return tag(number, LENGTH) + varint(len(value)) + value


def pod(name: str, *containers: bytes) -> bytes:
    """A field `pod_resources`."""
    return field(1, field(1, name.encode()), field(2, b"ml"), *(field(3, each) for each in containers))


def container(*fields: bytes) -> bytes:
    """The fields of a container with a name."""
    return field(1, b"main") + b"".join(fields)


def device(device_id: str, resource: str = "nvidia.com/gpu") -> bytes:
    """A field `devices` as current kubelets send it: one device, with its NUMA node."""
    return field(2, field(1, resource.encode()), field(2, device_id.encode()), field(3, field(1)))


def uuid(number: int) -> str:
    """An id of the usual length, 40 characters."""
    return f"GPU-{number:08x}-1234-5678-9abc-{number:012x}"


def fitting(pods: Iterable[bytes], size: int) -> bytes:
    """As many of the pods as are not more than `size` bytes."""

    def taken() -> Iterator[bytes]:
        left = size
        for each in pods:
            left -= len(each)
            if left < 0:
                return
            yield each

    return b"".join(taken())


def ordinary_pods(devices: int, each: Callable[[str], bytes] = device) -> Iterator[bytes]:
    """Pods without end that have a container with so many devices."""
    number = 0
    while True:
        ids = map(uuid, range(number, number + devices))
        yield pod(f"trainer-{number:08x}", container(*map(each, ids)))
        number += devices
