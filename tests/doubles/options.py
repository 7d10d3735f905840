"""Options of collectors that tests use: those of the sets that change what is read."""

from collectors.contract import CollectOptions
from collectors.metric import DEFAULT_SETS, MetricSet

USUAL = CollectOptions()
DIAGNOSED = CollectOptions(DEFAULT_SETS | {MetricSet.DIAGNOSTICS})
EACH_LINK = CollectOptions(DEFAULT_SETS | {MetricSet.LINKS})
EVERY_SET = CollectOptions(frozenset(MetricSet))
SUMS_OF_LINKS = CollectOptions(frozenset(MetricSet) - {MetricSet.LINKS})
EVERY_PIPE = CollectOptions(DEFAULT_SETS | {MetricSet.PIPES})
HEALTH_ONLY = CollectOptions(frozenset({MetricSet.HEALTH}))
