import contextlib
import errno
import os
import socket
from pathlib import Path

import pytest

from exporter.web.listen import Address, ListenError, listen, open_socket, parse
from exporter.web.response import Response
from tests.doubles.http_client import port_of, request, serving

NO_IPV6 = "IPv6 is off on this machine"
HAS_IPV6 = Path("/proc/net/if_inet6").exists()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9410", Address("", 9410)),
        (":0", Address("", 0)),
        ("127.0.0.1:9410", Address("127.0.0.1", 9410)),
        ("localhost:65535", Address("localhost", 65535)),
        ("[::1]:9410", Address("::1", 9410)),
        ("[fe80::1%eth0]:9410", Address("fe80::1%eth0", 9410)),
    ],
)
def test_addresses_are_parsed_as_in_other_prometheus_exporters(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "9410", "localhost", "::1:9410", "[::1]", "host:", "host:http", "host:-1", "a b:1", "http://x:1", ":65536"],
)
def test_an_invalid_address_is_rejected_with_the_expected_form(text: str) -> None:
    with pytest.raises(ListenError, match=r"^listen address '.*' is invalid: expected .*$"):
        parse(text)


def test_an_address_in_use_is_one_line_with_the_address_the_reason_and_what_to_do() -> None:
    with listen("127.0.0.1:0") as first:
        text = f"127.0.0.1:{first.getsockname()[1]}"

        with pytest.raises(ListenError) as caught:
            listen(text)

    assert str(caught.value) == (
        f"cannot listen on '{text}': Address already in use; stop the process that uses it or choose another address"
    )


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ListenError, match="choose an address of a network interface on this machine"):
        listen("192.0.2.1:0")


def test_a_name_that_does_not_resolve_is_refused() -> None:
    with pytest.raises(ListenError, match="choose a name that this machine can resolve"):
        listen("no-such-host.invalid:0")


@pytest.mark.skipif(not HAS_IPV6, reason=NO_IPV6)
@pytest.mark.parametrize("text", [":0", "[::]:0"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_interface_means_ipv6_and_ipv4(text: str, host: str) -> None:
    with contextlib.closing(serving({"/": lambda _: Response(200, "text/plain", b"")}, address=text)) as server:
        server.start()

        assert server.addresses == (f"[::]:{port_of(server)}",)
        assert request(server, "/", host=host).status == 200


@pytest.mark.skipif(not HAS_IPV6, reason=NO_IPV6)
def test_an_ipv6_address_does_not_answer_on_ipv4() -> None:
    with contextlib.closing(serving({"/": lambda _: Response(200, "text/plain", b"")}, address="[::1]:0")) as server:
        server.start()

        assert server.addresses == (f"[::1]:{port_of(server)}",)
        assert request(server, "/", host="::1").status == 200
        with pytest.raises(ConnectionRefusedError):
            request(server, "/", host="127.0.0.1")


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6_listens_on_ipv4(number: int) -> None:
    def without_ipv6(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
        if family is socket.AF_INET6:
            raise OSError(number, os.strerror(number))
        return open_socket(family, host, port)

    with listen(":0", without_ipv6) as listening:
        assert listening.family is socket.AF_INET
        assert listening.getsockname()[0] == "0.0.0.0"


def test_a_name_with_both_families_listens_on_ipv4() -> None:
    with listen("localhost:0") as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_permission_denied_says_what_to_do() -> None:
    def refused(_family: socket.AddressFamily, _host: str, _port: int) -> socket.socket:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.raises(ListenError, match="Permission denied; choose a port above 1023"):
        listen(":80", refused)
