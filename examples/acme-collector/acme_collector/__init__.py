"""Acme accelerators. Importing this touches no hardware."""

from acme_collector.collector import METRICS, RESOURCE_PREFIX, AcmeCollector
from collectors.contract import CollectorSpec

SPEC = CollectorSpec(
    name="acme",
    metrics=METRICS,
    resource_prefixes=(RESOURCE_PREFIX,),
    create=AcmeCollector,
)
