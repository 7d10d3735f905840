"""The command on a terminal: exit codes, one line per mistake, no other output."""

import io
import json
import re
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from exporter.command import run
from exporter.configuration.settings import OPTIONS
from exporter.series import ROWS
from exporter.signals import Signals
from tests.doubles.exporter_process import exporter, run_once, wait_until

_DATA = Path(__file__).parent.parent / "data" / "config"
_EXPECTED: dict[str, str] = json.loads((_DATA / "expected.json").read_text())


def test_each_invalid_file_gives_one_line_and_exit_code_2() -> None:
    wrong = {}
    defaults = {option.key: option.default for option in OPTIONS}
    for name, line in _EXPECTED.items():
        output, errors = io.StringIO(), io.StringIO()
        arguments = ["--check-config", f"--config.file={_DATA / name}"]
        code = run(arguments, {}, output.write, errors.write, Signals(lambda _: None))
        found = (code, errors.getvalue(), output.getvalue())
        if found != (2, f"accelerator-exporter: {line.format(file=_DATA / name, default=defaults)}\n", ""):
            wrong[name] = found
    assert wrong == {}


def test_invalid_file_stops_the_real_command_with_one_line() -> None:
    file = _DATA / "unknown_key.yaml"
    result = run_once([f"--config.file={file}"], {})
    assert result.returncode == 2
    assert result.stderr == f"accelerator-exporter: {_EXPECTED[file.name].format(file=file)}\n"
    assert result.stdout == ""


def test_mistyped_flag_gives_one_line_with_a_suggestion() -> None:
    result = run_once(["--web.listen-adress=:1"], {})
    assert result.returncode == 2
    assert result.stderr == (
        "accelerator-exporter: --web.listen-adress: unknown flag, did you mean --web.listen-address?\n"
    )


def test_invalid_environment_variable_gives_one_line() -> None:
    result = run_once([], {"ACCELERATOR_EXPORTER_LOG_LEVEL": "loud"})
    assert result.returncode == 2
    assert result.stderr.startswith("accelerator-exporter: ACCELERATOR_EXPORTER_LOG_LEVEL: ")
    assert result.stderr.count("\n") == 1


def test_valid_file_is_accepted() -> None:
    # The web configuration file that it names is on no machine.
    arguments = ["--check-config", f"--config.file={_DATA / 'good' / 'everything.yaml'}", "--web.config.file="]
    result = run_once(arguments, {})
    assert (result.returncode, result.stdout, result.stderr) == (0, "configuration is valid\n", "")


def test_list_metrics_prints_every_family() -> None:
    result = run_once(["--list-metrics"], {})
    listed = [tuple(line.split(maxsplit=3)) for line in result.stdout.splitlines()]
    assert result.returncode == 0
    assert listed == [
        (row.name(subject), row.kind.value, ",".join(row.exported_with(subject)) or "always", row.help)
        for row in ROWS
        for subject in row.subjects
    ]


def test_help_is_printed_wherever_it_is_requested() -> None:
    texts = {run_once(words, {}).stdout for words in (["--help"], ["-h"], ["check", "--help"], ["--once", "-h"])}
    (text,) = texts
    assert text.startswith("usage: accelerator-exporter [check] [flags]")


def test_folder_that_does_not_exist_is_logged() -> None:
    result = run_once(["--once", "--path.sysfs=/nope", "--path.procfs=/proc"], {})
    lines = [line for line in result.stderr.splitlines() if "there is no such folder" in line]
    assert result.returncode == 0
    assert len(lines) == 1
    assert "path.sysfs: there is no such folder, so nothing below it can be read: /nope" in lines[0]


def test_version() -> None:
    result = run_once(["--version"], {})
    assert result.returncode == 0
    assert result.stdout.startswith("accelerator-exporter 0.1.0 (Python 3.")


def test_address_in_use_gives_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with exporter(tmp_path) as running:
        result = run_once([f"--web.listen-address={running.address}"], {})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "Address already in use" in result.stderr


def test_sigterm_ends_the_process_within_two_seconds_with_exit_code_0(tmp_path: Path) -> None:
    with exporter(tmp_path) as running:
        assert running.scrape().value("accelerator_exporter_collector_devices", collector="nvidia") == 0
        assert running.terminate(within_seconds=2) == 0


def test_mistyped_scenario_gives_one_line_with_a_suggestion() -> None:
    result = run_once(["--simulate=trainin"], {})
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "did you mean training" in result.stderr


def test_simulated_node_has_devices_pods_and_values_within_seconds(tmp_path: Path) -> None:
    with exporter(tmp_path, "--simulate", "--collectors=amd") as running:
        scrape = wait_until(
            lambda: s if (s := running.scrape()).find("accelerator_container_utilization_ratio") else None
        )
        page = running.get("/")[2].decode()
    assert {series.labels["simulated"] for series in scrape.find("accelerator_device_info")} == {"true"}
    assert "Simulated: devices, pods and values on this page come from a scenario" in page
    assert scrape.value("accelerator_exporter_collector_devices", collector="simulated") == 4
    assert scrape.value("accelerator_exporter_attribution_up", source="simulated") == 1
    assert scrape.find("accelerator_exporter_unmatched_devices") == []


def test_several_addresses_serve_the_same(tmp_path: Path) -> None:
    with exporter(tmp_path, "--simulate", "--web.listen-address=127.0.0.2:0") as running:
        (found,) = re.findall(r"address=(\S+)", running.log.read_text())
        addresses = [address.strip('"').partition(":") for address in found.split(",")]
        assert [host for host, _, _ in addresses] == ["127.0.0.1", "127.0.0.2"]
        for host, _, port in addresses:
            with closing(HTTPConnection(host, int(port), timeout=10)) as connection:
                connection.request("GET", "/-/healthy")
                assert connection.getresponse().status == 200
