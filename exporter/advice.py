"""What to do about a failed reading, by its reason: the same on the status page and in `check`."""

from collections.abc import Mapping

from collectors.contract import Reason

OF_REASONS: Mapping[Reason, str] = {
    Reason.UNAVAILABLE: "run check again; if it still fails, see dmesg on the node",
    Reason.PERMISSION_DENIED: "check that the runtime gives the container this device, and that it runs as uid 0",
    Reason.DEVICE_LOST: "see dmesg on the node; drain it, then reset the device or reboot",
    Reason.DEVICES_VANISHED: "see dmesg on the node, unless the device was removed on purpose",
    Reason.LIBRARY_MISSING: "let the container runtime mount the vendor's library, then restart the pod",
    Reason.DRIVER_NOT_LOADED: "see lsmod and dmesg on the node; the exporter retries by itself",
    Reason.VERSION_MISMATCH: "restart the exporter's pod: only a new container gets the new library",
    Reason.INVALID_VALUE: "nothing, if it is rare: the value is dropped; otherwise report it to the driver's vendor",
    Reason.LATE: "see dmesg on the node",
    Reason.BROKEN: "report it, with the output on standard error",
}
FOR_HANGING = "see dmesg on the node; if the vendor's tool hangs too, drain the node, then reset the device or reboot"
