"""The names that OpenShift's dashboards and rules read, for devices of every vendor.

Recording rules for DCGM give the same names there, with utilization from 0 to 100. One series for each device, or for
each partition of a partitioned device, so that no sum counts one twice. It has the labels of the container that holds
it alone; what nobody holds, or several containers share, has none. Power, temperature and clocks are the device's.
"""

from deploy.prometheus.src.rule import Group, Record

# The containers that hold a whole device alone, 1 each.
_HOLDERS = """max without (resource, source, claim) (
      accelerator_allocation_info{partition_uuid=""}
    and on (instance, uuid)
      accelerator_device_allocations == 1
  )"""


def _of_parts(reading: str) -> str:
    """A reading that containers, devices and partitions have."""
    return f"""accelerator_container_{reading}
or on (instance, uuid, partition_uuid)
  accelerator_partition_{reading}
or on (instance, uuid, partition_uuid)
  (accelerator_device_{reading} unless on (instance, uuid) accelerator_device_partitions > 0)"""


def _of_devices(reading: str) -> str:
    """A reading that only devices have, one element for each device."""
    return f"""  {_HOLDERS}
  * on (instance, uuid) group_left ()
    max by (instance, uuid) ({reading})
or on (instance, uuid)
  ({reading})"""


# The core, or the hottest sensor where it has none.
_TEMPERATURE = """max without (sensor) (accelerator_device_temperature_celsius{sensor="core"})
    or
      max without (sensor) (accelerator_device_temperature_celsius)"""


def _clock(domain: str) -> str:
    return f'max without (domain) (accelerator_device_clock_hertz{{domain="{domain}"}})'


GROUPS = (
    Group(
        "accelerator-openshift-names",
        (
            Record("accelerator_gpu_utilization", f"100 * (\n{_of_parts('utilization_ratio')}\n)"),
            Record("accelerator_memory_used_bytes", _of_parts("memory_usage_bytes")),
            Record("accelerator_memory_total_bytes", _of_parts("memory_limit_bytes")),
            Record("accelerator_power_usage_watts", _of_devices("accelerator_device_power_watts")),
            Record("accelerator_temperature_celsius", _of_devices(_TEMPERATURE)),
            Record("accelerator_sm_clock_hertz", _of_devices(_clock("core"))),
            Record("accelerator_memory_clock_hertz", _of_devices(_clock("memory"))),
        ),
    ),
)
