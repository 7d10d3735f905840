"""The command line of `conformance`, and the addresses that it reads."""

from pathlib import Path

import pytest

from exporter.command import run
from exporter.configuration.errors import ConfigError
from exporter.conformance.arguments import Arguments, parse_arguments
from exporter.conformance.autoscaling import Autoscaler
from exporter.conformance.metric_names import MetricNames
from exporter.conformance.scrape import ScrapeTarget, every_target, parse_target
from exporter.signals import Signals


def test_an_address_is_enough() -> None:
    endpoint = ScrapeTarget("http", "localhost", 9410, "/metrics")
    expected = Arguments(endpoint, MetricNames("", ""), 0.0, None, None, as_json=False)
    assert parse_arguments(["--url", "http://localhost:9410/metrics"]) == expected


def test_every_flag_is_read() -> None:
    parsed = parse_arguments(
        [
            "--url=https://[::1]/m?x=1",
            "--ca-file=ca.crt",
            "--utilization-metric=u",
            "--memory-metric=m",
            "--watch=5m",
            "--autoscaling=serving/inference",
            "--output-dir=out",
            "--json",
        ]
    )
    endpoint = ScrapeTarget("https", "::1", 443, "/m?x=1", Path("ca.crt"))
    autoscaler = Autoscaler("serving", "inference")
    assert parsed == Arguments(endpoint, MetricNames("u", "m"), 300.0, autoscaler, Path("out"), as_json=True)
    assert endpoint.url == "https://[::1]:443/m?x=1"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "--url: not given, expected the address of the metrics"),
        (["--url="], "--url: found nothing, expected URL"),
        (["--url"], "--url: expected one argument"),
        (["--url=a", "--url=b"], "--url: given 2 times, expected once"),
        (["--url=http://a", "x"], 'unexpected argument "x"; write --flag=value'),
        (["--ulr=http://a"], "--ulr: unknown flag, did you mean --url?"),
        (["--url=http://a", "--ca-file=x"], "--ca-file: given with an address that is not https"),
        (
            ["--url=http://a", "--watch=5"],
            '--watch: found "5", expected a duration from 10s to 1h',
        ),
        (
            ["--url=http://a", "--autoscaling=inference"],
            '--autoscaling: found "inference", expected NAMESPACE/NAME of a HorizontalPodAutoscaler',
        ),
        (
            ["--url=http://a", "--autoscaling=../.."],
            '--autoscaling: found "../..", expected NAMESPACE/NAME of a HorizontalPodAutoscaler',
        ),
        (
            ["--url=http://a", "--memory-metric=a$(id)"],
            '--memory-metric: found "a$(id)", expected the name of a metric',
        ),
        (
            ["--url=http://a", "--utilization-metric=\udcff"],
            '--utilization-metric: found "\\udcff", expected the name of a metric',
        ),
    ],
)
def test_a_wrong_command_line_gives_one_line(arguments: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_arguments(arguments)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    "url",
    [
        "localhost:9410",
        "ftp://a/",
        "http://",
        "http:///m",
        "http://a:99999/",
        "http://u:p@a/",
        "http://a/b c",
        "http://[a/",
        "http://a:0/",
        "http://../",
    ],
)
def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--url: found .* expected an address such as http://localhost:9410/metrics"
    ):
        parse_target(url, None)


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("exporter.monitoring.svc", ("exporter", "monitoring")),
        ("exporter.monitoring.svc.cluster.local", ("exporter", "monitoring")),
        ("exporter.monitoring", ("", "")),
        ("pod.exporter.monitoring.svc", ("", "")),
        ("a.b.svcx", ("", "")),
        ("localhost", ("", "")),
    ],
)
def test_a_host_can_name_a_service(host: str, service: tuple[str, str]) -> None:
    assert parse_target(f"http://{host}:9410/metrics", None).service == service


def test_every_address_of_a_name_is_a_target() -> None:
    plain = parse_target("http://localhost:9410/metrics", None)
    assert {"127.0.0.1", "::1"} >= {each.host for each in every_target(plain)} >= {"127.0.0.1"}
    assert {(each.port, each.path) for each in every_target(plain)} == {(9410, "/metrics")}
    encrypted = parse_target("https://localhost/metrics", None)
    assert every_target(encrypted) == (encrypted,)
    nowhere = parse_target("http://no-such-host.invalid/metrics", None)
    assert every_target(nowhere) == (nowhere,)


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["-h"], 0), (["--hlp"], 2)])
def test_the_command_belongs_to_the_exporter(arguments: list[str], code: int) -> None:
    output: list[str] = []
    errors: list[str] = []
    signals = Signals(lambda _number: None)
    assert run(["conformance", *arguments], {}, output.append, errors.append, signals) == code
    assert "".join(output).startswith("usage: accelerator-exporter conformance --url=URL") == (code == 0)
    assert "".join(errors) == ("" if code == 0 else "accelerator-exporter: --hlp: unknown flag, did you mean --help?\n")
