"""Decodes the kubelet's answer, a ListPodResourcesResponse, pod by pod while its bytes arrive. No I/O.

Our own code instead of protobuf because of memory: protobuf needs the whole answer and makes an object of every message
in it, up to 1.3 GiB for an answer of 16 MiB. This decoder holds at most one incomplete pod, and counts what the answer
will take before it builds it. Fields and their numbers: `tests/doubles/proto/podresources.proto`.

As in protobuf, the last value of a field counts, the values of a repeated field may be anywhere, unknown fields are
skipped, and strings must be UTF-8. Three deliberate differences: fields that are not used (topology, CPUs, memory) are
skipped unread, and a used field of another wire type or a group is an error.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from exporter.attribution.holding import ClaimDevice, HoldingGroup, Holdings, PodResourcesList, packed
from exporter.attribution.rpc_error import DecodeError, TooLargeError
from exporter.attribution.wire_format import IncompleteError, check_length_type, field_at, values

# The memory of one of each in bytes, with its places in lists and sets. Where there is none, it stands for the time.
_MESSAGE, _ID, _TEXT, _POD, _GROUP, _CLAIM_DEVICE = 16, 64, 64, 96, 128, 256
_WIDEST_CHARACTER = 4  # bytes for each character of a text, if one of them needs as many

_PODS = 1
_POD_NAME, _POD_NAMESPACE, _CONTAINERS = 1, 2, 3
_CONTAINER_NAME, _DEVICES, _CLAIMS = 1, 2, 5
_RESOURCE_NAME, _DEVICE_IDS = 1, 2
_CLAIM_NAME, _CLAIM_NAMESPACE, _CLAIM_RESOURCES = 2, 3, 4
_CDI_DEVICES, _DRIVER, _POOL, _DEVICE, _SHARE = 1, 2, 3, 4, 5
_CDI_NAME = 1

_SOURCE = "device_plugin"


class PodResourcesDecoder:
    """Decodes one answer.

    Args:
        earlier: Groups of an earlier answer. Those that are equal are used again, so that two answers of which little
            differs take the memory of one.
        most_pod_bytes: Size of the largest pod accepted.
        most_object_bytes: How many bytes of memory all that is built may take, without the text: ids and names together
            are at most as large as the answer.
    """

    def __init__(self, earlier: Iterable[HoldingGroup], most_pod_bytes: int, most_object_bytes: int) -> None:
        self._earlier = {group: group for group in earlier}
        self._most_pod_bytes = most_pod_bytes
        self._most_object_bytes = most_object_bytes
        self._reserved_bytes = 0
        self._waiting = bytearray()  # the incomplete field, if there is one
        self._enough_bytes = 1  # it cannot be complete with fewer
        self._bytes_to_skip = 0
        self._texts: dict[bytes, str] = {}
        self._pods: list[tuple[str, str]] = []
        self._groups: list[HoldingGroup] = []
        self._claim_devices: list[ClaimDevice] = []

    def feed(self, data: bytes) -> None:
        """Decode the next bytes of the answer.

        Raises:
            DecodeError: The answer is not a ListPodResourcesResponse.
            TooLargeError: A pod is larger than accepted, or the whole answer would take more memory.
        """
        skipped = min(self._bytes_to_skip, len(data))
        self._bytes_to_skip -= skipped
        self._waiting += memoryview(data)[skipped:]
        if len(self._waiting) >= self._enough_bytes:
            self._enough_bytes = 1
            del self._waiting[: self._decode_waiting()]

    def finish(self) -> PodResourcesList:
        """Return the answer. Nothing can be fed afterwards.

        Raises:
            DecodeError: The answer ended within a field.
        """
        if self._waiting or self._bytes_to_skip:
            raise IncompleteError("the answer ends within a field")
        self._texts.clear()
        return PodResourcesList(frozenset(self._pods), Holdings(self._groups), tuple(_each_once(self._claim_devices)))

    def _decode_waiting(self) -> int:
        """Decode every complete field; return the size of them all in bytes."""
        data, position, end = self._waiting, 0, len(self._waiting)
        while position < end:
            try:
                number, wire_type, start, stop = field_at(data, position, end)
            except IncompleteError:
                break
            if number == _PODS:
                check_length_type(number, wire_type)
                if stop - start > self._most_pod_bytes:
                    raise TooLargeError(
                        f"the answer has a pod of {stop - start} bytes, more than the {self._most_pod_bytes} allowed"
                    )
                if stop > end:
                    self._enough_bytes = stop - position
                    break
                with memoryview(data) as view:
                    pod = bytes(view[start:stop])
                self._decode_pod(pod)
            self._bytes_to_skip = max(0, stop - end)
            position = min(stop, end)
        return position

    def _decode_pod(self, data: bytes) -> None:
        self._reserve(_MESSAGE + _POD)
        name = namespace = ""
        held: list[tuple[str, str, bytes]] = []
        claimed: set[ClaimDevice] = set()
        for number, start, stop in values(data, 0, len(data), (_POD_NAME, _POD_NAMESPACE, _CONTAINERS)):
            if number == _POD_NAME:
                name = self._text(data[start:stop])
            elif number == _POD_NAMESPACE:
                namespace = self._shared_text(data[start:stop])
            else:
                held += self._container(data, start, stop, claimed)
        self._pods.append((namespace, name))
        for container, resource, ids in held:
            group = HoldingGroup(namespace, name, container, resource, _SOURCE, "", ids)
            self._groups.append(self._earlier.get(group, group))
        self._claim_devices += [device._replace(namespace=namespace, pod=name) for device in claimed]

    def _container(
        self, data: bytes, position: int, end: int, claimed: set[ClaimDevice]
    ) -> Iterator[tuple[str, str, bytes]]:
        """Yield name, resource and ids; add the devices of claims, still without the pod."""
        self._reserve(_MESSAGE)
        name = ""
        ids_of: dict[str, list[bytes]] = {}
        devices: list[ClaimDevice] = []
        for number, start, stop in values(data, position, end, (_CONTAINER_NAME, _DEVICES, _CLAIMS)):
            if number == _CONTAINER_NAME:
                name = self._shared_text(data[start:stop])
            elif number == _DEVICES:
                self._devices(data, start, stop, ids_of)
            else:
                devices += self._claim(data, start, stop)
        claimed.update(device._replace(container=name) for device in devices)
        for resource, ids in ids_of.items():
            self._reserve(_GROUP)
            yield name, resource, packed(ids)

    def _devices(self, data: bytes, position: int, end: int, ids_of: dict[str, list[bytes]]) -> None:
        """Add the ids of one entry, which has the devices of one resource or only one of them."""
        self._reserve(_MESSAGE)
        resource = ""
        ids: list[bytes] = []
        for number, start, stop in values(data, position, end, (_RESOURCE_NAME, _DEVICE_IDS)):
            if number == _RESOURCE_NAME:
                resource = self._shared_text(data[start:stop])
            else:
                self._reserve(_ID)
                ids.append(_checked(data[start:stop]))
        if ids:
            ids_of.setdefault(resource, []).extend(ids)

    def _claim(self, data: bytes, position: int, end: int) -> list[ClaimDevice]:
        self._reserve(_MESSAGE)
        name = namespace = ""
        devices: list[ClaimDevice] = []
        for number, start, stop in values(data, position, end, (_CLAIM_NAME, _CLAIM_NAMESPACE, _CLAIM_RESOURCES)):
            if number == _CLAIM_NAME:
                name = self._shared_text(data[start:stop])
            elif number == _CLAIM_NAMESPACE:
                namespace = self._shared_text(data[start:stop])
            else:
                devices.append(self._claim_resource(data, start, stop))
        return [device._replace(claim_namespace=namespace, claim_name=name) for device in devices]

    def _claim_resource(self, data: bytes, position: int, end: int) -> ClaimDevice:
        self._reserve(_MESSAGE + _CLAIM_DEVICE)
        identity = dict.fromkeys((_DRIVER, _POOL, _DEVICE, _SHARE), "")
        cdi_devices: list[str] = []
        for number, start, stop in values(data, position, end, (_CDI_DEVICES, *identity)):
            if number == _CDI_DEVICES:
                cdi_devices.append(self._cdi_device(data, start, stop))
            else:
                identity[number] = self._shared_text(data[start:stop])
        driver, pool, device, share = identity.values()
        return ClaimDevice("", "", driver, pool, device, share, cdi_devices=tuple(cdi_devices))

    def _cdi_device(self, data: bytes, position: int, end: int) -> str:
        self._reserve(_MESSAGE + _TEXT)  # each is compared at each join
        name = ""
        for _, start, stop in values(data, position, end, (_CDI_NAME,)):
            name = self._shared_text(data[start:stop])
        return name

    def _shared_text(self, data: bytes) -> str:
        """Return the same object for the same text."""
        text = self._texts.get(data)
        if text is None:
            self._reserve(_TEXT)  # its place in the table
            text = self._texts[data] = self._text(data)
        return text

    def _text(self, data: bytes) -> str:
        self._reserve(_TEXT + (0 if data.isascii() else _WIDEST_CHARACTER * len(data)))
        return _checked(data).decode()

    def _reserve(self, size: int) -> None:
        self._reserved_bytes += size
        if self._reserved_bytes > self._most_object_bytes:
            raise TooLargeError(
                "the answer lists too many pods, containers and devices: they would take more than "
                f"{self._most_object_bytes} bytes of memory"
            )


def _checked(text: bytes) -> bytes:
    """Return a string of the answer if it is UTF-8."""
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise DecodeError("a string is not UTF-8") from error
    return text


def _each_once(devices: Iterable[ClaimDevice]) -> Iterator[ClaimDevice]:
    """Yield the devices in order, each once for each container, with the shortest of its lists of CDI devices.

    The kubelet repeats them if pods that share a claim start at the same time, as seen with Kubernetes 1.36.
    """
    in_order = sorted(devices, key=lambda each: (*each.identity, each.cdi_devices))
    for _, same in groupby(in_order, key=lambda each: each.identity):
        yield next(same)
