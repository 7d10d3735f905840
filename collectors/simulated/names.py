"""What DRA drivers call simulated devices and partitions, and their device files, in the forms of the vendors."""

from typing import NamedTuple

from collectors.contract import Alias
from collectors.simulated.profile import Naming, Scheme

_FIRST_RENDER_NODE = 128
_FIRST_GROUP = 40  # of IOMMU
# The driver's number of a MIG profile, by the compute slices in its name.
_MIG_PROFILES = {"1g": 19, "2g": 14, "3g": 9, "4g": 5, "7g": 0}
# The driver numbers the device files of all MIG devices that could exist: each GPU, GPU instance, compute instance.
_FIRST_CAPABILITY, _CAPABILITIES_OF_GPU, _CAPABILITIES_OF_INSTANCE = 3, 135, 9


class Names(NamedTuple):
    """What a device or partition is called by those that hand it out.

    Attributes:
        driver: Its DRA driver.
        device: The driver's name of it.
        nodes: Its own device files.
    """

    driver: str
    device: str
    nodes: tuple[str, ...] = ()

    @property
    def aliases(self) -> frozenset[Alias]:
        """These names as aliases."""
        return frozenset({Alias(self.device, self.driver), *map(Alias, self.nodes)})


def driver_of(naming: Naming) -> str:
    """The DRA driver: `gpu.nvidia.com`, `gpu.amd.com`, and `npu.acme.com` for the resource `acme.com/npu`."""
    if naming.scheme is Scheme.MINOR:
        return "gpu.nvidia.com"
    if naming.scheme is Scheme.ADDRESS:
        return "gpu.amd.com"
    domain, _, name = naming.resource.partition("/")
    return f"{_label(name)}.{domain}"


def device_names(naming: Naming, index: int, card: int) -> Names:
    """The names of a device without partitions, or of a device whose partitions have names of their own.

    Args:
        naming: That of its profile.
        index: Its index in the scenario.
        card: The kernel's number of its card.
    """
    driver = driver_of(naming)
    if naming.scheme is Scheme.MINOR:
        return Names(driver, f"gpu-{index}", (f"/dev/nvidia{index}",))
    if naming.scheme is Scheme.ADDRESS:
        return _drm_names(driver, card)
    return Names(driver, f"{_label(naming.resource.partition('/')[2])}-{index}")


def group_of(index: int) -> str:
    """The number of the IOMMU group of a device that is passed to virtual machines: its id in the device plugins."""
    return str(_FIRST_GROUP + index)


def passthrough_names(naming: Naming, index: int) -> Names:
    """The names of a device that is passed to virtual machines."""
    return Names(driver_of(naming), f"gpu-vfio-{index}", (f"/dev/vfio/{group_of(index)}",))


def partition_names(naming: Naming, index: int, part: int, profile: str, card: int) -> Names:
    """The names of a partition.

    Args:
        naming: That of the profile of its device.
        index: The index of its device in the scenario.
        part: Its own index on the device.
        profile: The vendor's name of its profile.
        card: The kernel's number of its card, where a partition has one.
    """
    driver = driver_of(naming)
    if naming.scheme is Scheme.MINOR:
        capability = _FIRST_CAPABILITY + _CAPABILITIES_OF_GPU * index + _CAPABILITIES_OF_INSTANCE * gpu_instance(part)
        nodes = tuple(f"/dev/nvidia-caps/nvidia-cap{number}" for number in (capability, capability + 1))
        kind = _MIG_PROFILES.get(profile[:2], part)
        return Names(driver, f"gpu-{index}-mig-{_label(profile.replace('.', ''))}-{kind}-{part}", nodes)
    if naming.scheme is Scheme.ADDRESS:
        return _drm_names(driver, card)
    return Names(driver, f"{_label(naming.resource.partition('/')[2])}-{index}-{_label(profile)}-{part}")


def gpu_instance(part: int) -> int:
    """The id of the GPU instance of a partition: it starts at 1, because 0 is a whole device."""
    return part + 1


def _drm_names(driver: str, card: int) -> Names:
    render = _FIRST_RENDER_NODE + card
    return Names(driver, f"gpu-{card}-{render}", (f"/dev/dri/card{card}", f"/dev/dri/renderD{render}"))


def _label(name: str) -> str:
    """A name as a label of the Domain Name System has it, as in `1g10gb-me` of `1g10gb+me`."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
