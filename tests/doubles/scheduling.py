"""Decides on which nodes Kubernetes runs the pods of a DaemonSet, from the labels of the nodes.

Sources: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`; the DaemonSet controller, which removes a pod from
a node as soon as its affinity no longer fits.
"""

from collections.abc import Mapping
from typing import Any

Labels = Mapping[str, str]


def runs_on(daemon_set: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a DaemonSet has a pod on a node with these labels. Taints are not considered."""
    pod = daemon_set["spec"]["template"]["spec"]
    if not pod.get("nodeSelector", {}).items() <= labels.items():
        return False
    affinity = pod.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_fits(term, labels) for term in required["nodeSelectorTerms"])


def _fits(term: Mapping[str, Any], labels: Labels) -> bool:
    """All expressions fit; a term without expressions fits no node."""
    expressions = term.get("matchExpressions", [])
    return bool(expressions) and all(_is_true(each, labels) for each in expressions)


def _is_true(expression: Mapping[str, Any], labels: Labels) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case other:
            raise AssertionError(f"not supported here: {other}")
