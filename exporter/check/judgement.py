"""Facts to verdict: every finding, the gravest first. No I/O."""

from exporter.check.facts import Facts
from exporter.check.finding import Finding, ordered
from exporter.check.findings_environment import judge_surroundings
from exporter.check.findings_hardware import judge_hardware
from exporter.check.findings_kubelet import judge_kubelet


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Everything there is to say about the facts."""
    return ordered([*judge_hardware(facts), *judge_kubelet(facts), *judge_surroundings(facts)])
