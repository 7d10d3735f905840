"""Labels of the device and partition families, with the closed lists of their values."""

from collectors.metric import Label

# The labels that name a subject. The exporter adds those of the container for allocations.
DEVICE_LABELS = ("uuid", "device", "vendor", "model")
PARTITION_LABELS = (*DEVICE_LABELS, "partition_uuid", "profile")

SENSOR = Label("sensor", ("core", "memory", "hotspot", "board", "hbm0", "hbm1", "hbm2", "hbm3"))
LIMIT = Label("limit", ("slowdown", "shutdown", "maximum"))
DOMAIN = Label("domain", ("core", "sm", "memory", "video", "soc", "fabric", "display"))
ENGINE = Label("engine", ("encoder", "decoder", "jpeg", "optical_flow", "copy", "video", "video_enhance", "render"))
PIPE = Label("pipe", ("sm", "tensor", "fp64", "fp32", "fp16", "integer"))
THROTTLE_REASON = Label("reason", ("power", "thermal", "reliability", "external", "hardware"))
DIRECTION = Label("direction", ("receive", "transmit"))
FABRIC = Label("fabric", ("nvlink", "xgmi", "ici", "ethernet", "c2c", "xe_link", "neuronlink"))
LINK_STATE = Label("state", ("up", "down"))
FABRIC_STATE = Label("state", ("not_supported", "not_started", "in_progress", "completed", "failed"))
FABRIC_CONDITION = Label(
    "condition",
    (
        "degraded_bandwidth",
        "route_recovery",
        "route_unhealthy",
        "access_timeout_recovery",
        "incorrect_configuration",
    ),
)
LINK_ERROR = Label(
    "kind",
    (
        "crc",
        "crc_flit",
        "crc_data",
        "replay",
        "recovery",
        "ecc",
        "receive",
        "receive_remote",
        "receive_general",
        "link_integrity",
        "transmit_discard",
        "symbol",
    ),
)
# Empty, and therefore omitted, for the sum over all links of a fabric.
LINK = Label("link", optional=True)
MEMORY_ERROR = Label("kind", ("corrected", "uncorrected"))
MEMORY_ERROR_OUTCOME = Label("kind", (*MEMORY_ERROR.values, "deferred"))
SPARE_ROWS = Label("spare_rows", ("max", "high", "partial", "low", "none"))
SPARE_BANKS = Label("spare_banks", ("max", "none"))
REMAPPING_STATE = Label("state", ("active", "inactive"))
REPAIR_PART = Label("part", ("channel", "tpc", "bank"))
ERROR_SOURCE = Label("source", ("xid", "ras", "driver"))
ERROR_CODE = Label("code")
ERROR_CLASS = Label("class", ("hardware", "application"))
STATUS = Label("state", ("ok", "degraded", "predicted_failure", "failed"))
RECOVERY = Label("action", ("none", "reset", "reboot", "drain", "drain_and_reset", "recover_fabric", "bus_reset"))
MODE = Label("mode", ("partitioning", "ecc", "persistence", "exclusive", "confidential"))
PENDING_MODE = Label("mode", ("partitioning", "ecc"))
FAN = Label("fan")

# The fixed properties in the info families. Unknown ones are empty.
PROPERTIES = (
    Label("index"),
    Label("pci_bus_id"),
    Label("serial"),
    Label("driver_version"),
    Label("firmware_version"),
    Label("architecture"),
    Label("numa_node"),
    Label("class", ("gpu", "tpu", "npu", "accelerator")),
    Label("gpu_instance_id"),
    Label("compute_instance_id"),
    Label("simulated", ("true",)),  # only of a device that does not exist
)
