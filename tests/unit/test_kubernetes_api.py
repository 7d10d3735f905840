"""The client of the API server, against a real server over TLS."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.attribution.api_error import (
    ApiError,
    ApiExpiredError,
    ApiForbiddenError,
    ApiNotFoundError,
    ApiTooLargeError,
)
from exporter.attribution.json_fields import JsonObject
from exporter.attribution.kubernetes_api import ApiServer, KubernetesApi, server_of_pod
from tests.doubles.kubernetes_api import ApiServerDouble, Refusal
from tests.doubles.kubernetes_objects import claim, resource_slice, result

CLAIM = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims/one"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"


@pytest.fixture
def double(tmp_path: Path) -> Iterator[ApiServerDouble]:
    with ApiServerDouble(tmp_path) as server:
        server.claims["ml", "one"] = claim(result("gpu-0"))
        yield server


@pytest.fixture
def api(double: ApiServerDouble) -> Iterator[KubernetesApi]:
    client = KubernetesApi(double.server)
    yield client
    client.close()


def nothing() -> None:
    pass


def watching(api: KubernetesApi, opened: Callable[[], None] = nothing) -> Iterator[JsonObject]:
    query = {"fieldSelector": "spec.nodeName=worker-1", "resourceVersion": "100"}
    return api.watch(SLICES, query, 30, opened)


@pytest.mark.parametrize(
    ("environ", "server"),
    [
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}, ("10.0.0.1", 6443)),
        ({"KUBERNETES_SERVICE_HOST": "fd00::1"}, ("fd00::1", 443)),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "tcp://10.0.0.1:443"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "65536"}, None),
        ({}, None),
    ],
)
def test_the_server_comes_from_the_variables_of_the_pod(
    environ: dict[str, str], server: tuple[str, int] | None
) -> None:
    found = server_of_pod(environ)
    assert (found and (found.host, found.port)) == server


def test_an_object_is_got_with_the_token_of_the_service_account(double: ApiServerDouble, api: KubernetesApi) -> None:
    assert api.get(CLAIM) == double.claims["ml", "one"]
    assert [(call.path, call.token) for call in double.calls] == [(CLAIM, "token-1")]


def test_a_replaced_token_is_used_at_the_next_call(double: ApiServerDouble, api: KubernetesApi) -> None:
    api.get(CLAIM)
    double.token = "token-2"  # noqa: S105 - of a double
    double.write_token("token-2")
    api.get(CLAIM)
    assert [call.token for call in double.calls] == ["token-1", "token-2"]


def test_a_token_that_is_replaced_during_a_call_is_read_again(double: ApiServerDouble) -> None:
    class Replaced(KubernetesApi):
        def _token(self) -> str:
            token = super()._token()
            double.token = "token-2"  # noqa: S105 - of a double
            double.write_token("token-2")
            return token

    assert Replaced(double.server).get(CLAIM)
    assert [call.token for call in double.calls] == ["token-1", "token-2"]


def test_a_refused_token_is_not_sent_twice(double: ApiServerDouble, api: KubernetesApi) -> None:
    double.token = "other"  # noqa: S105 - of a double
    with pytest.raises(ApiError, match="401"):
        api.get(CLAIM)
    assert len(double.calls) == 1


@pytest.mark.parametrize("token", ["", "two words", "line\nend", "t\u00f6ken"])
def test_a_file_without_a_token_is_an_error_that_does_not_show_it(
    double: ApiServerDouble, api: KubernetesApi, token: str
) -> None:
    double.write_token(token)
    with pytest.raises(ApiError) as caught:
        api.get(CLAIM)
    assert str(caught.value) == f"{double.service_account / 'token'} holds no token"
    assert double.calls == []


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_a_missing_file_is_an_error(double: ApiServerDouble, api: KubernetesApi, name: str) -> None:
    (double.service_account / name).unlink()
    with pytest.raises(ApiError, match="No such file"):
        api.get(CLAIM)


def test_a_server_with_another_certificate_gets_no_token(
    double: ApiServerDouble, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with ApiServerDouble(tmp_path_factory.mktemp("other")) as other:
        wrong = ApiServer("127.0.0.1", double.server.port, other.service_account)
        with pytest.raises(ApiError, match="certificate verify failed"):
            KubernetesApi(wrong).get(CLAIM)
    assert double.calls == []


@pytest.mark.parametrize("host", ["", "a..b", "x" * 300])
def test_a_host_that_is_no_host_is_an_error(double: ApiServerDouble, host: str) -> None:
    with pytest.raises(ApiError):
        KubernetesApi(ApiServer(host, 1, double.service_account)).get(CLAIM)


def test_nobody_listens(double: ApiServerDouble) -> None:
    with pytest.raises(ApiError, match=r"127\.0\.0\.1:1: .*refused"):
        KubernetesApi(ApiServer("127.0.0.1", 1, double.service_account)).get(CLAIM)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, ApiForbiddenError),
        (404, ApiNotFoundError),
        (410, ApiExpiredError),
        (429, ApiError),
        (500, ApiError),
        (302, ApiError),
    ],
)
def test_each_status_has_its_error(
    double: ApiServerDouble, api: KubernetesApi, status: int, error: type[ApiError]
) -> None:
    double.refuse("claim", Refusal(status))
    with pytest.raises(ApiError, match=f"{status} refused with {status}") as caught:
        api.get(CLAIM)
    assert type(caught.value) is error


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("999999", 60.0), ("soon", 0.0), ("-1", 0.0)])
def test_the_server_says_for_how_long_to_wait(
    double: ApiServerDouble, api: KubernetesApi, header: str, seconds: float
) -> None:
    double.refuse("claim", Refusal(429, {"Retry-After": header}))
    with pytest.raises(ApiError) as caught:
        api.get(CLAIM)
    assert caught.value.retry_after_seconds == seconds


def test_a_refusal_of_a_proxy_is_one_short_line(double: ApiServerDouble, api: KubernetesApi) -> None:
    double.refuse("claim", Refusal(502, body=b"<html>\n" + b"x" * 100_000))
    with pytest.raises(ApiError) as caught:
        api.get(CLAIM)
    assert str(caught.value) == f"{CLAIM}: 502 Bad Gateway"


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"[" * 100_000, b'{"a": ' + b"9" * 5_000 + b"}", b"\xff"])
def test_what_is_no_json_object_is_an_error(double: ApiServerDouble, api: KubernetesApi, body: bytes) -> None:
    double.refuse("claim", Refusal(200, body=body or b" "))
    with pytest.raises(ApiError, match="the answer is no JSON object"):
        api.get(CLAIM)


def test_an_answer_that_is_too_large_is_not_read(double: ApiServerDouble, api: KubernetesApi) -> None:
    double.refuse("claim", Refusal(200, body=b" " * 5_000_000))
    with pytest.raises(ApiTooLargeError, match="larger than"):
        api.get(CLAIM)


@pytest.mark.parametrize("drip_seconds", [0.05, 60.0], ids=["byte by byte", "not at all"])
def test_a_slow_answer_ends_at_the_deadline(double: ApiServerDouble, drip_seconds: float) -> None:
    double.drip_seconds = drip_seconds
    with pytest.raises(ApiError, match="timed out"):
        KubernetesApi(double.server, deadline_seconds=0.4).get(CLAIM)


def test_a_watch_yields_events_as_they_come(double: ApiServerDouble, api: KubernetesApi) -> None:
    events = watching(api)
    for name in ("a", "b"):
        double.put(resource_slice(name))
        assert next(events) == {"type": "ADDED", "object": double.slices[name]}
    double.cut()
    assert list(events) == []


def test_a_watch_says_when_it_is_open(double: ApiServerDouble, api: KubernetesApi) -> None:
    opened = threading.Event()
    thread = threading.Thread(target=lambda: list(watching(api, opened.set)), daemon=True)
    thread.start()
    assert opened.wait(20)
    double.cut()
    thread.join(20)
    assert not thread.is_alive()


def test_a_watch_that_falls_silent_ends(double: ApiServerDouble) -> None:
    double.silent = True
    double.put(resource_slice("a"))
    assert list(watching(KubernetesApi(double.server, idle_seconds=0.2))) == []


def test_an_event_that_is_too_large_is_an_error(double: ApiServerDouble, api: KubernetesApi) -> None:
    events = watching(api)
    double.send({"type": "ADDED", "object": {"filling": "x" * 5_000_000}})
    with pytest.raises(ApiError, match="an event is larger than"):
        next(events)


def test_a_closed_client_ends_its_watch_and_refuses_calls(api: KubernetesApi) -> None:
    opened = threading.Event()
    thread = threading.Thread(target=lambda: list(watching(api, opened.set)), daemon=True)
    thread.start()
    assert opened.wait(20)
    api.close()
    thread.join(20)
    assert not thread.is_alive()
    with pytest.raises(ApiError, match="closed"):
        api.get(CLAIM)
    api.close()
