"""Asks a Prometheus as KEDA's Prometheus scaler does.

Source: `pkg/scalers/prometheus_scaler.go` of kedacore/keda. It asks for whole seconds, refuses a result of several
elements and, with `ignoreNullValues: "false"`, an empty or infinite one and NaN.
"""

import math
import time
from typing import Any

import yaml

from tests.doubles.prometheus import Prometheus


class ScalerError(Exception):
    """No value, so that the autoscaler does nothing."""


def trigger_in(text: str) -> dict[str, str]:
    """The metadata of the only trigger of a ScaledObject."""
    (trigger,) = yaml.safe_load(text)["spec"]["triggers"]
    found: dict[str, str] = trigger["metadata"]
    return found


def scaler_value(server: Prometheus, trigger: dict[str, Any], at: float | None = None) -> float:
    """The value that the scaler gives to Kubernetes, now or at this Unix time.

    Raises:
        ScalerError: The scaler reports an error.
    """
    assert trigger["ignoreNullValues"] == "false", "without data KEDA would serve 0"
    answers = server.query(trigger["query"], math.floor(time.time() if at is None else at))
    if len(answers) != 1:
        raise ScalerError(f"{len(answers)} elements")
    (answer,) = answers
    if not math.isfinite(answer.value):
        raise ScalerError(f"the value is {answer.value}")
    return answer.value
