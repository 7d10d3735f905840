"""The limits of the decoder, and the edges of the wire format where it must be as strict as protobuf."""

import pytest
from google.protobuf.message import DecodeError as ProtobufError

from exporter.attribution.holding import Holding, Holdings
from exporter.attribution.podresources_wire import PodResourcesDecoder
from exporter.attribution.rpc_error import DecodeError, TooLargeError
from tests.doubles.proto.podresources_pb2 import ListPodResourcesResponse
from tests.doubles.wire import FIXED32, FIXED64, LENGTH, VARINT, container, device, field, pod, tag, varint

LATER = 31  # a field that no version has yet
TINY = b"\x0a\x00"


def decoder(most_pod_bytes: int = 1000, most_object_bytes: int = 10_000) -> PodResourcesDecoder:
    return PodResourcesDecoder((), most_pod_bytes, most_object_bytes)


def decodes(data: bytes) -> bool:
    fed = decoder()
    try:
        fed.feed(data)
        fed.finish()
    except DecodeError:
        return False
    return True


def protobuf_decodes(data: bytes) -> bool:
    try:
        ListPodResourcesResponse.FromString(data)
    except ProtobufError:
        return False
    return True


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        pytest.param(tag(LATER, VARINT) + varint(2**64 - 1), True, id="the largest number"),
        pytest.param(tag(LATER, VARINT) + varint(1, 10), True, id="a number in ten bytes"),
        pytest.param(tag(LATER, VARINT) + b"\xff" * 9 + b"\x7f", True, id="a number of more than 64 bits in ten bytes"),
        pytest.param(tag(LATER, VARINT) + varint(1, 11), False, id="a number in eleven bytes"),
        pytest.param(tag(LATER, VARINT) + b"\xff", False, id="half a number"),
        pytest.param(varint(1 << 3 | LENGTH, 5) + b"\0", True, id="a tag in five bytes"),
        pytest.param(varint(1 << 3 | LENGTH, 6) + b"\0", False, id="a tag in six bytes"),
        pytest.param(varint(2**35 | 1 << 3 | LENGTH) + b"\0", False, id="a tag of more than 32 bits"),
        pytest.param(varint(2**32 | 1 << 3 | LENGTH) + b"\0", False, id="a tag of more than 32 bits in five bytes"),
        pytest.param(tag(1, LENGTH) + varint(0, 5), True, id="a length in five bytes"),
        pytest.param(tag(1, LENGTH) + varint(0, 6), False, id="a length in six bytes"),
        pytest.param(tag(LATER, LENGTH) + varint(2**31), False, id="a length of more than 31 bits"),
        pytest.param(tag(LATER, LENGTH) + varint(1), False, id="a field cut off"),
        pytest.param(tag(1, LENGTH) + varint(1), False, id="a pod cut off"),
        pytest.param(field(1, tag(1, LENGTH) + varint(5) + b"pod"), False, id="a name longer than its pod"),
        pytest.param(field(1, tag(LATER, FIXED64) + bytes(7)), False, id="a number longer than its pod"),
        pytest.param(field(1, tag(LATER, FIXED32) + bytes(4)), True, id="a later number in a pod"),
        pytest.param(field(1, tag(1, LENGTH)), False, id="a name without its length"),
        pytest.param(tag(0, LENGTH) + b"\0", False, id="field 0"),
        pytest.param(field(1, tag(0, LENGTH) + b"\0"), False, id="field 0 in a pod"),
        pytest.param(tag(LATER, 6), False, id="wire type 6"),
        pytest.param(tag(LATER, 4), False, id="the end of a group"),
        pytest.param(field(1, field(1, b"\xed\xa0\x80")), False, id="a surrogate"),
        pytest.param(field(1, field(1, b"\xff"), field(1, b"a")), False, id="bytes that are no text, replaced by text"),
        pytest.param(pod("a", container(field(2, field(2, b"\xc0\x80")))), False, id="an id that is no text"),
        pytest.param(field(1, field(1, "é\U0001f600\0".encode())), True, id="any text"),
    ],
)
def test_it_is_as_strict_as_protobuf(data: bytes, *, valid: bool) -> None:
    assert (decodes(data), protobuf_decodes(data)) == (valid, valid)


@pytest.mark.parametrize(
    ("data", "ours", "protobufs"),
    [
        pytest.param(tag(1, VARINT) + b"\0", False, True, id="a number for a pod"),
        pytest.param(field(1, tag(1, VARINT) + b"\0"), False, True, id="a number for a name"),
        pytest.param(tag(LATER, 3) + tag(LATER, 4), False, True, id="a group"),
        pytest.param(pod("a", container(field(2, field(3, b"\xff")))), True, False, id="a topology that is none"),
    ],
)
def test_its_deliberate_differences_from_protobuf(data: bytes, *, ours: bool, protobufs: bool) -> None:
    assert (decodes(data), protobuf_decodes(data)) == (ours, protobufs)


def test_a_pod_of_the_largest_size_is_accepted_and_one_byte_more_refused_before_it_arrives() -> None:
    data = pod("a" * 993)
    assert len(data) == 1003
    fed = decoder(1000)
    fed.feed(data)
    assert fed.finish().pods == {("ml", "a" * 993)}
    with pytest.raises(TooLargeError, match="a pod of 1001 bytes, more than the 1000 allowed"):
        decoder(1000).feed(pod("a" * 994)[:3])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(TINY * 200, id="pods"),
        pytest.param(pod("a", *[b""] * 800), id="containers"),
        pytest.param(pod("a", container(b"\x12\x00" * 800)), id="devices"),
        pytest.param(pod("a", container(field(2, b"\x12\x00" * 400))), id="ids"),
        pytest.param(pod("a", container(*(device("x", f"r{k}") for k in range(60)))), id="resources"),
        pytest.param(pod("a", container(b"\x2a\x00" * 800)), id="claims"),
        pytest.param(pod("a", container(field(5, b"\x22\x00" * 50))), id="devices of a claim"),
        pytest.param(pod("a", container(field(5, field(4, b"\x0a\x00" * 160)))), id="CDI devices"),
        pytest.param(b"".join(field(1, field(1, b"n" * k)) for k in range(60)), id="names"),
        pytest.param(field(1, field(1, ("\U0001f600" + "x" * 2500).encode())), id="a name that needs wide characters"),
    ],
)
def test_what_would_take_too_much_memory_is_refused(data: bytes) -> None:
    with pytest.raises(TooLargeError, match="devices: they would take more than 10000 bytes"):
        decoder(4000).feed(data)
    decoder(4_000_000, 48_000_000).feed(data)


def test_an_unknown_field_of_any_size_is_not_kept() -> None:
    fed = decoder()
    fed.feed(tag(LATER, LENGTH) + varint(5000) + bytes(10))
    for _ in range(499):
        assert len(fed._waiting) == 0
        fed.feed(bytes(10))
    fed.feed(pod("a"))
    assert fed.finish().pods == {("ml", "a")}


def test_equal_texts_are_one_object() -> None:
    fed = decoder(1000)
    for name in ("a", "b"):
        fed.feed(pod(name, container(device("GPU-1"), device("GPU-2"))))
    first, *others = fed.finish().holdings
    assert len(others) == 3
    for other in others:
        assert other.namespace is first.namespace
        assert other.container is first.container
        assert other.resource is first.resource


def test_a_group_that_an_earlier_answer_had_is_the_same_object() -> None:
    first = decoder(1000)
    first.feed(pod("a", container(device("GPU-1"))) + pod("b", container(device("GPU-2"))))
    earlier = Holdings.of(first.finish().holdings).groups
    second = PodResourcesDecoder(earlier, 1000, 10_000)
    second.feed(pod("a", container(device("GPU-1"))) + pod("b", container(device("GPU-3"))))
    same, other = Holdings.of(second.finish().holdings).groups
    assert same is earlier[0]
    assert other not in earlier


def test_a_pod_that_is_listed_twice_holds_each_device_once() -> None:
    fed = decoder(1000)
    for ids in ("12", "23"):
        fed.feed(pod("a", container(*map(device, ids))))
    held = fed.finish().holdings
    assert len(held) == 3
    assert held == tuple(Holding("ml", "a", "main", "nvidia.com/gpu", each, "device_plugin") for each in "123")
