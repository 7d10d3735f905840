"""The decoder of the kubelet's answers understands what protobuf understands, in whatever pieces it arrives."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

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
from tests.doubles.wire import FIXED32, FIXED64, LENGTH, VARINT, field, tag, varint

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

words = st.text("ab-é\U0001f600\0", max_size=3) | st.text(max_size=2)
texts = words.map(str.encode)
numbers = st.integers(0, 2**64 - 1)


@st.composite
def unknown(draw: st.DrawFn) -> bytes:
    """A field of a later kubelet."""
    number, wire_type = draw(st.integers(31, 2**29 - 1)), draw(st.sampled_from((VARINT, FIXED64, LENGTH, FIXED32)))
    value = {
        VARINT: numbers.map(varint),
        FIXED64: st.binary(min_size=8, max_size=8),
        LENGTH: st.binary(max_size=200).map(lambda data: varint(len(data), 2) + data),
        FIXED32: st.binary(min_size=4, max_size=4),
    }
    return tag(number, wire_type) + draw(value[wire_type])


def message(*fields: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Fields of a message in any order, none of them or several of each."""
    return st.lists(st.one_of(*fields, unknown()), max_size=6).map(b"".join)


def of(number: int, value: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return value.map(lambda data: field(number, data))


topology = message(of(1, numbers.map(lambda number: tag(1, VARINT) + varint(number))))
memory = message(of(1, texts), numbers.map(lambda size: tag(2, VARINT) + varint(size)), of(3, topology))
cpus = numbers.map(lambda cpu: field(3, varint(cpu))) | numbers.map(lambda cpu: tag(3, VARINT) + varint(cpu))
devices = message(of(1, texts), of(2, texts), of(2, texts), of(3, topology))
claim_resource = message(of(1, message(of(1, texts))), *(of(number, texts) for number in (2, 3, 4, 5)))
claim = message(of(2, texts), of(3, texts), of(4, claim_resource), of(4, claim_resource))
container = message(of(1, texts), of(2, devices), of(2, devices), cpus, of(4, memory), of(5, claim))
pod = message(of(1, texts), of(2, texts), of(3, container), of(3, container), of(5, memory))
answers = message(of(1, pod), of(1, pod))


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
        tuple(replace(device, cdi_devices=names) for device, names in sorted(cdi_devices.items())),
    )


def claim_devices(answer: Any) -> Iterator[tuple[ClaimDevice, tuple[str, ...]]]:  # noqa: ANN401 - of either class
    """Each listed device without its CDI devices, and those."""
    for pod in answer.pod_resources:
        for each in pod.containers:
            for claim in each.dynamic_resources:
                for listed in claim.claim_resources:
                    identity = listed.driver_name, listed.pool_name, listed.device_name, listed.share_id
                    device = ClaimDevice(pod.namespace, pod.name, *identity, claim.claim_namespace, claim.claim_name)
                    yield device, tuple(cdi.name for cdi in listed.cdi_devices)


def decoded(data: bytes, sizes: Sequence[int] = ()) -> PodResourcesList:
    """Decode data that arrives in pieces of these sizes, and the rest at once."""
    decoder = PodResourcesDecoder()
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
@given(answers, st.lists(st.integers(0, 40)))
def test_it_decodes_what_protobuf_decodes(data: bytes, sizes: list[int]) -> None:
    assert decoded(data, sizes) == expected(pb.ListPodResourcesResponse.FromString(data))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An answer in which some bytes are others, missing or too many."""
    data = draw(answers)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(start + 2, len(data))))
        data = data[:start] + draw(st.binary(max_size=3)) + data[stop:]
    return data


@settings(UNHURRIED, max_examples=400)
@given(damaged() | st.binary(), st.lists(st.integers(0, 40)))
def test_it_refuses_what_protobuf_refuses(data: bytes, sizes: list[int]) -> None:
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
