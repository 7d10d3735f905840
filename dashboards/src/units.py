"""Grafana's names of the catalogue's units."""

from grafana_foundation_sdk.models import units

from collectors.metric import Unit

GRAFANA_UNITS: dict[Unit, str] = {
    Unit.NONE: units.NoUnit,
    Unit.RATIO: units.PercentUnit,
    Unit.SECONDS: units.Seconds,
    Unit.BYTES: units.BytesIEC,
    Unit.WATTS: units.Watt,
    Unit.JOULES: units.Joule,
    Unit.CELSIUS: units.Celsius,
    Unit.HERTZ: units.Hertz,
    Unit.BYTES_PER_SECOND: units.BytesPerSecondIEC,
}
