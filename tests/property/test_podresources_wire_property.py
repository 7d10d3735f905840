"""The decoder of the kubelet's answers understands what protobuf understands, in whatever pieces it arrives."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.attribution.holding import ClaimDevice, Holding, PodResourcesList
from exporter.attribution.podresources_wire import PodResourcesDecoder
from exporter.attribution.rpc_error import DecodeError, TooLargeError
from tests.doubles.proto import podresources_pb2 as pb
from tests.doubles.wire import FIXED32, FIXED64, LENGTH, MIB, VARINT, field, tag, varint

# A property must not fail on a slow machine.
UNHURRIED = settings(deadline=None)
USED = {
    "ListPodResourcesResponse": {"pod_resources"},
    "PodResources": {"name", "namespace", "containers"},
    "ContainerResources": {"name", "devices", "dynamic_resources"},
    "ContainerDevices": {"resource_name", "device_ids"},
    "DynamicResource": {"claim_name", "claim_namespace", "claim_resources"},
    "ClaimResource": {"cdi_devices", "driver_name", "pool_name", "device_name", "share_id"},
    "CDIDevice": {"name"},
}


def reduced() -> type[Message]:
    """The class of an answer that has only the fields that are used: the others are unknown to it, and skipped."""
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "reduced.proto", "reduced"
    file.ClearField("service")
    for message in file.message_type:
        used = [each for each in message.field if each.name in USED.get(message.name, ())]
        for each in used:
            if each.type_name:
                each.type_name = each.type_name.replace(".v1.", ".reduced.")
        del message.field[:]
        message.field.extend(used)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("reduced.ListPodResourcesResponse"))


REDUCED = reduced()


class Field(NamedTuple):
    """A field with a length: a text or a message of fields; or, with number 0, any fields as they are."""

    number: int
    value: "bytes | list[Field]"

    @property
    def content(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else encoded(self.value)


def encoded(fields: Sequence[Field]) -> bytes:
    return b"".join(field(each.number, each.content) if each.number else each.content for each in fields)


def raw(data: bytes) -> Field:
    return Field(0, data)


numbers = st.integers(0, 2**64 - 1)
# Few different ones, so that names, ids and devices of claims are also equal.
texts = st.sampled_from(("", "a", "b", "é", "\U0001f600\0", "a" * 130)).map(str.encode)


@st.composite
def unknown(draw: st.DrawFn) -> Field:
    """A field of a later kubelet."""
    number, wire_type = draw(st.integers(31, 2**29 - 1)), draw(st.sampled_from((VARINT, FIXED64, LENGTH, FIXED32)))
    value = {
        VARINT: numbers.map(varint),
        FIXED64: st.binary(min_size=8, max_size=8),
        LENGTH: st.binary(max_size=200).map(lambda data: varint(len(data), 2) + data),
        FIXED32: st.binary(min_size=4, max_size=4),
    }
    return raw(tag(number, wire_type) + draw(value[wire_type]))


def message(*fields: st.SearchStrategy[Field]) -> st.SearchStrategy[list[Field]]:
    """Fields of a message in any order, none of them or several of each."""
    return st.lists(st.one_of(*fields, unknown()), max_size=6)


def of(number: int, value: st.SearchStrategy[bytes] | st.SearchStrategy[list[Field]]) -> st.SearchStrategy[Field]:
    return st.builds(Field, st.just(number), value)


def scalar(number: int) -> st.SearchStrategy[Field]:
    return numbers.map(lambda value: raw(tag(number, VARINT) + varint(value)))


topology = message(of(1, message(scalar(1))))
memory = message(of(1, texts), scalar(2), of(3, topology))
devices = message(of(1, texts), of(2, texts), of(2, texts), of(3, topology))
claim_resource = message(of(1, message(of(1, texts))), *(of(number, texts) for number in (2, 3, 4, 5)))
claim = message(of(2, texts), of(3, texts), of(4, claim_resource), of(4, claim_resource))
cpus = scalar(3) | of(3, numbers.map(varint))
container = message(of(1, texts), of(2, devices), of(2, devices), cpus, of(4, memory), of(5, claim))
pod = message(of(1, texts), of(2, texts), of(3, container), of(3, container), scalar(4), of(5, memory))
answers = message(of(1, pod), of(1, pod))
chunks = st.lists(st.integers(0, 40))


def damaged(fields: Sequence[Field]) -> Iterator[bytes]:
    """Every message that results if one field, at any depth, is damaged; the lengths around it stay right."""
    for index, each in enumerate(fields):
        if each.number:
            before, behind = encoded(fields[:index]), encoded(fields[index + 1 :])
            inner = damaged(each.value) if isinstance(each.value, list) else ()
            for value in (*damages(each.number, each.content), *(field(each.number, part) for part in inner)):
                yield before + value + behind


def damages(number: int, content: bytes) -> Iterator[bytes]:
    """The field, damaged in each way. Some of the ways are valid."""
    length, start = varint(len(content)), tag(number, LENGTH)
    yield from (start + varint(lie) + content for lie in (len(content) + 1, max(len(content) - 1, 0), 2**33))
    yield from (tag(other, LENGTH) + length + content for other in range(6))
    yield from (tag(number, wire_type) + length + content for wire_type in range(8))
    yield from (start + varint(len(content), size) + content for size in (2, 5, 6))
    yield from (
        varint(number << 3 | LENGTH | high, size) + length + content for size in (2, 5, 6) for high in (0, 1 << 32)
    )
    yield from (
        field(number, content + more) for more in (b"\xff", b"\xed\xa0\x80", b"\0", tag(31, VARINT) + varint(1, 11))
    )
    yield from (field(number, content[:-1]), start, start[:-1], tag(31, 3) + content + tag(31, 4))


def expected(answer: Any) -> PodResourcesList:  # noqa: ANN401 - of either class
    """What the exporter keeps of an answer that protobuf has decoded."""
    cdi_devices: dict[ClaimDevice, tuple[str, ...]] = {}
    for device, names in claim_devices(answer):
        cdi_devices[device] = min(names, cdi_devices.get(device, names))
    return PodResourcesList(
        frozenset((pod.namespace, pod.name) for pod in answer.pod_resources),
        tuple(
            sorted(
                {
                    Holding(pod.namespace, pod.name, each.name, devices.resource_name, device_id, "device_plugin")
                    for pod in answer.pod_resources
                    for each in pod.containers
                    for devices in each.devices
                    for device_id in devices.device_ids
                }
            )
        ),
        tuple(device._replace(cdi_devices=names) for device, names in sorted(cdi_devices.items())),
    )


def claim_devices(answer: Any) -> Iterator[tuple[ClaimDevice, tuple[str, ...]]]:  # noqa: ANN401 - of either class
    """Each listed device without its CDI devices, and those."""
    for pod in answer.pod_resources:
        for each in pod.containers:
            for claim in each.dynamic_resources:
                for listed in claim.claim_resources:
                    identity = listed.driver_name, listed.pool_name, listed.device_name, listed.share_id
                    name = claim.claim_namespace, claim.claim_name
                    device = ClaimDevice(pod.namespace, pod.name, *identity, *name, container=each.name)
                    yield device, tuple(cdi.name for cdi in listed.cdi_devices)


def decoded(data: bytes, sizes: Sequence[int] = ()) -> PodResourcesList:
    """Decode data that arrives in pieces of these sizes, and the rest at once."""
    decoder = PodResourcesDecoder((), MIB, 10 * MIB)
    for size in sizes:
        decoder.feed(data[:size])
        data = data[size:]
    decoder.feed(data)
    return decoder.finish()


def is_deliberate(message: Message) -> bool:
    """Whether a message has a group, or a used field of another wire type: protobuf keeps both as unknown fields."""
    used = {each.number for each in message.DESCRIPTOR.fields}
    unknown_fields = UnknownFieldSet(message)
    return any(
        each.wire_type not in (VARINT, FIXED64, LENGTH, FIXED32) or each.field_number in used
        for each in map(unknown_fields.__getitem__, range(len(unknown_fields)))
    ) or any(
        is_deliberate(inner)
        for descriptor, value in message.ListFields()
        if descriptor.message_type is not None
        for inner in value
    )


@UNHURRIED
@given(answers, chunks)
def test_it_decodes_what_protobuf_decodes(answer: list[Field], sizes: list[int]) -> None:
    data = encoded(answer)
    assert decoded(data, sizes) == expected(pb.ListPodResourcesResponse.FromString(data))


@settings(UNHURRIED, max_examples=50)
@given(answers, chunks)
def test_it_refuses_what_protobuf_refuses(answer: list[Field], sizes: list[int]) -> None:
    for data in damaged(answer):
        check_strictness(data, sizes)


@UNHURRIED
@given(answers.map(encoded) | st.binary(), st.integers(0, 300), chunks)
def test_it_refuses_what_is_cut_off_as_protobuf_does(data: bytes, size: int, sizes: list[int]) -> None:
    check_strictness(data[:size], sizes)


def check_strictness(data: bytes, sizes: Sequence[int]) -> None:
    """It refuses more only where it does so deliberately. What is not used is not looked at, so it may be anything."""
    try:
        reference = REDUCED.FromString(data)
    except ProtobufError:
        reference = None
    try:
        answer = decoded(data, sizes)
    except TooLargeError:
        assert reference is None  # the size of a pod can be damaged too
    except DecodeError:
        assert reference is None or is_deliberate(reference)
    else:
        assert reference is not None
        assert answer == expected(reference)
