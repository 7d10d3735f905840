"""Options from the environment, apart from the variables that Kubernetes sets for a Service of the same name."""

import re
from collections.abc import Mapping

from exporter.configuration.errors import ConfigError, unknown
from exporter.configuration.options import ENVIRONMENT_PREFIX, RawOption
from exporter.configuration.settings import OPTIONS

# For a Service named accelerator-exporter or accelerator-exporter-*, Kubernetes sets variables with the same prefix in
# every container of its namespace: _SERVICE_HOST, _SERVICE_PORT, _SERVICE_PORT_METRICS, _PORT, _PORT_9410_TCP ...
_SERVICE_VARIABLE = re.compile(
    rf"{ENVIRONMENT_PREFIX}([A-Z0-9_]+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://.*")


def read_environment(environ: Mapping[str, str]) -> dict[str, RawOption]:
    """The values of the exporter's own environment variables, by key.

    Raises:
        ConfigError: A variable has our prefix, but is neither an option nor one that Kubernetes made.
    """
    options = {option.variable: option for option in OPTIONS}
    values = {}
    for name, text in environ.items():
        if name in options:
            values[options[name].key] = RawOption(text, name)
        elif name.startswith(ENVIRONMENT_PREFIX) and not _is_of_a_service(name, text):
            raise ConfigError(unknown(name, "environment variable", options, ENVIRONMENT_PREFIX))
    return values


def read_defaults(environ: Mapping[str, str]) -> dict[str, RawOption]:
    """The defaults from other environment variables, such as the node's name, by key. Empty variables are ignored."""
    return {
        option.key: RawOption(environ[option.default_variable], option.default_variable)
        for option in OPTIONS
        if option.default_variable and environ.get(option.default_variable)
    }


def _is_of_a_service(name: str, text: str) -> bool:
    if _SERVICE_VARIABLE.fullmatch(name):
        return True
    return name.endswith("_PORT") and _SERVICE_URL.fullmatch(text) is not None
