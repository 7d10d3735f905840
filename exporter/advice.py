"""What to do about what fails in the exporter: the same on the status page, in the log and in `check`."""

from collections.abc import Mapping

from collectors.contract import Reason

FOR_HANGING = "see dmesg on the node; if the vendor's tool hangs too, drain the node, then reset the device or reboot"
FOR_KUBELET = (
    "check that the kubelet of this node runs; docs/troubleshooting.md, 'The kubelet does not answer', has a remedy "
    "for each message"
)
FOR_PAST_EVENT = (
    "its state is ok now: see whether its pods have restarted; if the error comes back, see docs/runbooks.md, "
    "AcceleratorHardwareError"
)
FOR_UNMATCHED = "run accelerator-exporter check in this container: it has the reason and what to do"
# By the reason of a failed reading.
OF_REASONS: Mapping[Reason, str] = {
    Reason.UNAVAILABLE: "run check again; if it still fails, see dmesg on the node",
    Reason.PERMISSION_DENIED: "check that the runtime gives the container this device, and that it runs as uid 0",
    Reason.DEVICE_LOST: "see dmesg on the node; drain it, then reset the device or reboot",
    Reason.DEVICES_VANISHED: "see dmesg on the node, unless the device was removed on purpose",
    Reason.LIBRARY_MISSING: "let the container runtime mount the vendor's library, then restart the pod",
    Reason.DRIVER_NOT_LOADED: "see lsmod and dmesg on the node; the exporter retries by itself",
    Reason.VERSION_MISMATCH: "restart the exporter's pod: only a new container gets the new library",
    Reason.INVALID_VALUE: "nothing, if it is rare: the value is dropped; otherwise report it to the driver's vendor",
    Reason.LATE: FOR_HANGING,
    Reason.BROKEN: "report it, with the output on standard error",
}
