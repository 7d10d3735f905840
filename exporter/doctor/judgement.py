"""Facts to verdict: every finding, the gravest first. No I/O."""

from exporter.doctor.facts import Facts
from exporter.doctor.finding import Finding, ordered
from exporter.doctor.judge_hardware import judge_hardware
from exporter.doctor.judge_kubelet import judge_kubelet
from exporter.doctor.judge_surroundings import judge_surroundings


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Everything there is to say about the facts."""
    return ordered([*judge_hardware(facts), *judge_kubelet(facts), *judge_surroundings(facts)])
