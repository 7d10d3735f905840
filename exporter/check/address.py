"""Whether the listen address can be had. In the container of a running exporter it is in use, and that is well."""

import errno
import http.client
from contextlib import closing

from collectors.metric import Subject
from exporter import families, listen
from exporter.check.facts import AddressFacts, AddressState
from exporter.configuration.settings import WebSettings
from exporter.listen import ListenError

_TIMEOUT_SECONDS = 2.0
_LIMIT_BYTES = 16 << 20
_SIGN = families.BUILD_INFO.name(Subject.EXPORTER).encode()


def look_at_address(web: WebSettings) -> AddressFacts:
    """Listen for a moment; where the address is in use, ask there for an exporter's metrics."""
    address = web.listen_address
    try:
        listen.listen(address).close()
    except ListenError as error:
        if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE:
            return AddressFacts(address, AddressState.REFUSED, str(error))
        if _exporter_serves(web):
            return AddressFacts(address, AddressState.SERVED)
        return AddressFacts(address, AddressState.TAKEN, str(error))
    return AddressFacts(address, AddressState.FREE)


def _exporter_serves(web: WebSettings) -> bool:
    parsed = listen.parse(web.listen_address)
    connection = http.client.HTTPConnection(parsed.host or "localhost", parsed.port, timeout=_TIMEOUT_SECONDS)
    with closing(connection):
        try:
            connection.request("GET", web.telemetry_path)
            return _SIGN in connection.getresponse().read(_LIMIT_BYTES)
        except (OSError, http.client.HTTPException):
            return False
