import json
import os
from pathlib import Path

import pytest

from collectors.contract import AmdBackend, AmdOptions, CollectOptions
from collectors.metric import Label, Metric
from exporter import series
from exporter.configuration.errors import ConfigError
from exporter.configuration.load import load_settings
from exporter.configuration.settings import (
    OPTIONS,
    AttributionSettings,
    KubeletSettings,
    LabelSettings,
    LogSettings,
    NodeSettings,
    PathSettings,
    PodSource,
    PollSettings,
    ReleaseSettings,
    Settings,
    SimulateSettings,
    WebSettings,
)
from exporter.families import HOLDER_LABELS, SUBJECT_LABELS
from exporter.logs import LogFormat, LogLevel
from tools.gen_configuration import example

DATA = Path(__file__).parent.parent / "data" / "config"
EXPECTED: dict[str, str] = json.loads((DATA / "expected.json").read_text())
DEFAULTS = Settings()
DEFAULT_TEXTS = {option.key: option.default for option in OPTIONS}
LEVEL_VARIABLE = "ACCELERATOR_EXPORTER_LOG_LEVEL"


def error_of(flags: dict[str, str], environ: dict[str, str], file: Path | None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags, environ, file)
    return str(caught.value)


def written(folder: Path, content: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(content)
    return file


def test_without_configuration_every_option_has_its_default() -> None:
    assert load_settings({}, {}, None) == DEFAULTS


def test_a_file_can_set_everything() -> None:
    assert load_settings({}, {}, DATA / "good" / "everything.yaml") == Settings(
        web=WebSettings(
            ("[::1]:9411",), "/accelerators/metrics", ("[::1]:9412",), Path("/etc/web.yml"), ready_requires_devices=True
        ),
        log=LogSettings(LogLevel.DEBUG, LogFormat.JSON),
        path=PathSettings(Path("/host/sys"), Path("/host/proc")),
        node=NodeSettings("worker-7.example"),
        kubelet=KubeletSettings(Path("/run/kubelet/pod-resources.sock"), 10.0, 2.5, 90.0, 8 << 20),
        attribution=AttributionSettings((Path("/host/cdi"), Path("/etc/cdi")), "monitors", ("nic.example.com", "x")),
        poll=PollSettings(0.5, 5.0, 120.0, 3.0, 15.0, 90.0),
        release=ReleaseSettings(Path("/run/exporter/release")),
        simulate=SimulateSettings(PodSource.KUBELET),
        labels=LabelSettings("k8s_namespace_name", "k8s_pod_name", "k8s_container_name"),
        amd=AmdOptions(AmdBackend.ROCM_SMI),
        collect=CollectOptions(
            each_link=True,
            pcie_throughput=True,
            wake_sleeping=True,
            processes=True,
            allocation_energy=True,
            diagnostics=True,
        ),
        collectors=("nvidia", "amd"),
    )


def test_the_example_of_the_documentation_is_the_defaults_and_the_examples_of_options_without_one(
    tmp_path: Path,
) -> None:
    without = {option.key: "" for option in OPTIONS if not option.default}
    assert load_settings(without, {}, written(tmp_path, example())) == DEFAULTS
    assert load_settings({}, {}, written(tmp_path, example())).node.name == "worker-1"


def test_every_bad_file_is_in_the_table() -> None:
    assert {file.name for file in DATA.glob("*.yaml")} == set(EXPECTED)


@pytest.mark.parametrize(("name", "line"), EXPECTED.items(), ids=EXPECTED)
def test_a_bad_file_gives_its_one_line(name: str, line: str) -> None:
    file = DATA / name
    assert error_of({}, {}, file) == line.format(file=file, default=DEFAULT_TEXTS)


@pytest.mark.parametrize(
    "content", ["", "\n\n", "# nothing\n", "---\n", "--- ~\n...\n", "web:\nlog:\n", "{}", "\ufeff"]
)
def test_a_file_that_sets_nothing_is_fine(tmp_path: Path, content: str) -> None:
    assert load_settings({}, {}, written(tmp_path, content)) == DEFAULTS


def test_a_flag_overrides_the_environment_which_overrides_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "log:\n  level: debug\n  format: json\nnode:\n  name: from-file\n")
    environ = {LEVEL_VARIABLE: "warning", "ACCELERATOR_EXPORTER_LOG_FORMAT": "text", "NODE_NAME": "from-pod"}
    assert load_settings({}, {"NODE_NAME": "from-pod"}, None).node.name == "from-pod"
    assert load_settings({}, environ, file).node.name == "from-file"
    assert load_settings({}, {}, file).log == LogSettings(LogLevel.DEBUG, LogFormat.JSON)
    assert load_settings({}, environ, file).log == LogSettings(LogLevel.WARNING, LogFormat.TEXT)
    assert load_settings({"log.level": "error"}, environ, file).log == LogSettings(LogLevel.ERROR, LogFormat.TEXT)


def test_an_overruled_value_is_checked_all_the_same(tmp_path: Path) -> None:
    file = written(tmp_path, "log:\n  level: loud\n")
    wrong = "expected one of debug, info, warning, error"
    assert error_of({"log.level": "info"}, {}, file) == f'{file}:2: log.level: found "loud", {wrong}'
    assert error_of({"log.level": "info"}, {LEVEL_VARIABLE: "hush"}, None) == f'{LEVEL_VARIABLE}: found "hush", {wrong}'


def test_order_is_checked_over_all_sources_and_blames_what_was_given(tmp_path: Path) -> None:
    file = written(tmp_path, "poll:\n  medium_interval: 5s\n")
    assert error_of({"poll.fast_interval": "6s"}, {}, file) == (
        '--poll.fast-interval: found "6s", expected at most poll.medium_interval, which is 5s'
    )
    assert error_of({}, {"ACCELERATOR_EXPORTER_KUBELET_HOLD": "3s"}, None) == (
        'ACCELERATOR_EXPORTER_KUBELET_HOLD: found "3s", expected at least kubelet.interval, which is '
        + DEFAULT_TEXTS["kubelet.interval"]
    )
    assert load_settings({"poll.fast_interval": "5s"}, {}, file).poll.fast_interval == 5.0


@pytest.mark.parametrize("text", ["true", '"true"', "'true'", "!!bool true"])
def test_a_switch_is_written_with_or_without_quotes(tmp_path: Path, text: str) -> None:
    assert load_settings({}, {}, written(tmp_path, f"collect:\n  each_link: {text}\n")).collect.each_link is True
    assert load_settings({}, {}, written(tmp_path, "collect:\n  each_link: false\n")).collect.each_link is False


@pytest.mark.parametrize("text", ["True", "yes", "ON", "1", "enabled"])
def test_another_word_for_true_is_refused_with_a_proposal(text: str) -> None:
    assert error_of({"collect.processes": text}, {}, None) == (
        f'--collect.processes: found "{text}", expected true or false, did you mean true?'
    )


@pytest.mark.parametrize("name", ["", "worker-1", "a.b-c.D9", "x" * 253])
def test_a_node_name_is_a_host_name_or_none(name: str) -> None:
    assert load_settings({"node.name": name}, {"NODE_NAME": "other"}, None).node.name == (name or None)


def test_an_empty_node_name_of_the_pod_counts_as_none() -> None:
    assert load_settings({}, {"NODE_NAME": ""}, None).node.name is None


def test_a_bad_node_name_of_the_pod_is_named_by_its_variable() -> None:
    assert error_of({}, {"NODE_NAME": "$(NODE)"}, None) == (
        'NODE_NAME: found "$(NODE)", expected a host name: letters, digits, dots and dashes, at most 253'
    )


def test_the_namespace_of_the_pod_is_the_own_namespace() -> None:
    assert load_settings({}, {"POD_NAMESPACE": "monitors"}, None).attribution.own_namespace == "monitors"
    assert (
        load_settings({"attribution.own_namespace": ""}, {"POD_NAMESPACE": "x"}, None).attribution.own_namespace == ""
    )
    expected = "the name of a namespace: small letters, digits and dashes, at most 63"
    assert error_of({}, {"POD_NAMESPACE": "Ours"}, None) == f'POD_NAMESPACE: found "Ours", expected {expected}'


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("cdi_dirs", "etc/cdi", "expected absolute paths with commas between them"),
        ("cdi_dirs", "/etc/cdi,", "expected absolute paths with commas between them"),
        ("cdi_dirs", "/a,/b, /a", "expected absolute paths with commas between them, each of them once"),
        ("ignored_drivers", "nic.example.com,", "expected names of DRA drivers with commas between them"),
        ("ignored_drivers", "NIC.example.com", "expected names of DRA drivers with commas between them"),
        ("ignored_drivers", "x" * 64, "expected names of DRA drivers with commas between them"),
    ],
)
def test_directories_and_drivers_that_cannot_be(key: str, text: str, problem: str) -> None:
    flag = f"--attribution.{key.replace('_', '-')}"
    assert error_of({f"attribution.{key}": text}, {}, None) == f'{flag}: found "{text}", {problem}'


def test_lists_of_directories_and_drivers_may_be_empty() -> None:
    flags = {"attribution.cdi_dirs": "", "attribution.ignored_drivers": ""}
    assert load_settings(flags, {}, None).attribution == AttributionSettings(())


@pytest.mark.parametrize(
    "address", [":9410", ":0", "localhost:9410", "192.0.2.1:1", "[::1]:65535", "[2001:db8::1]:9410"]
)
def test_addresses_that_can_be_listened_on(address: str) -> None:
    assert load_settings({"web.listen_address": address}, {}, None).web.listen_address == (address,)


@pytest.mark.parametrize("text", [":9410,[::1]:9411", ":9410, [::1]:9411"])
def test_several_addresses(text: str) -> None:
    assert load_settings({"web.listen_address": text}, {}, None).web.listen_address == (":9410", "[::1]:9411")


def test_addresses_as_a_list_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text('web:\n  listen_address: [":9410", "[::1]:9411"]\n')

    assert load_settings({}, {}, file).web.listen_address == (":9410", "[::1]:9411")


def test_an_address_is_not_repeated() -> None:
    text = error_of({"web.listen_address": ":9410,:9410"}, {}, None)
    assert text.endswith("with commas between them, each of them once: :9410 is repeated")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "9410",
        ":",
        "::1:9410",
        ":65536",
        ":-1",
        "[::1]",
        "a b:1",
        "http://x:1",
        ":9410\n",
        ":9410,",
        ",",
        ":9410,9411",
    ],
)
def test_addresses_that_cannot(address: str) -> None:
    assert error_of({"web.listen_address": address}, {}, None).startswith("--web.listen-address: found ")


@pytest.mark.parametrize("path", ["/metrics", "/a/b.c", "/metrics/", "/-/metrics"])
def test_telemetry_paths(path: str) -> None:
    assert load_settings({"web.telemetry_path": path}, {}, None).web.telemetry_path == path


@pytest.mark.parametrize("path", ["", "/", "//", "/-/ready", "/a//b", "/./a", "/a/..", "/a b", "/%61", "/metr\u00efcs"])
def test_paths_under_which_metrics_cannot_be(path: str) -> None:
    assert error_of({"web.telemetry_path": path}, {}, None).startswith("--web.telemetry-path: found ")


def test_variables_that_kubernetes_makes_for_our_service_are_left_alone() -> None:
    environ = {
        "ACCELERATOR_EXPORTER_SERVICE_HOST": "10.0.0.11",
        "ACCELERATOR_EXPORTER_SERVICE_PORT": "9410",
        "ACCELERATOR_EXPORTER_SERVICE_PORT_METRICS": "9410",
        "ACCELERATOR_EXPORTER_PORT": "tcp://10.0.0.11:9410",
        "ACCELERATOR_EXPORTER_PORT_9410_TCP": "tcp://10.0.0.11:9410",
        "ACCELERATOR_EXPORTER_PORT_9410_TCP_PROTO": "tcp",
        "ACCELERATOR_EXPORTER_PORT_9410_TCP_PORT": "9410",
        "ACCELERATOR_EXPORTER_PORT_9410_TCP_ADDR": "10.0.0.11",
        "ACCELERATOR_EXPORTER_WEB_SERVICE_HOST": "10.0.0.12",
        "ACCELERATOR_EXPORTER_WEB_PORT": "tcp://10.0.0.12:9410",
        "ACCELERATOR_EXPORTER_WEB_PORT_9410_TCP_ADDR": "10.0.0.12",
    }
    assert load_settings({}, environ, None) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("ACCELERATOR_EXPORTER_LOG_LEVL", "info", f"did you mean {LEVEL_VARIABLE}?"),
        ("ACCELERATOR_EXPORTER_WEB_PORT", "9410", "see --help"),
        ("ACCELERATOR_EXPORTER_", "", "see --help"),
    ],
)
def test_an_unknown_variable_of_ours_is_an_error(name: str, text: str, advice: str) -> None:
    assert error_of({}, {name: text}, None) == f"{name}: unknown environment variable, {advice}"


def test_variables_of_others_are_not_ours_to_judge() -> None:
    assert (
        load_settings({}, {"PATH": "/bin", "ACCELERATOR": "x", "accelerator_exporter_log_level": "y"}, None) == DEFAULTS
    )


def test_a_value_that_cannot_be_printed_is_escaped() -> None:
    assert error_of({}, {LEVEL_VARIABLE: "a\nb\x1b\udcff"}, None) == (
        f'{LEVEL_VARIABLE}: found "a\\nb\\x1b\\udcff", expected one of debug, info, warning, error'
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    assert error_of({}, {}, file) == f"{file}: cannot read the configuration file: No such file or directory"


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert error_of({}, {}, tmp_path) == f"{tmp_path}: cannot read the configuration file: Is a directory"


def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert error_of({}, {}, pipe) == f"{pipe}: not a regular file, expected a YAML file"


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (1 << 20))
    assert load_settings({}, {}, file) == DEFAULTS
    file.write_bytes(b"#" * ((1 << 20) + 1))
    assert error_of({}, {}, file) == f"{file}: larger than 1 MiB, expected a configuration file"


def test_nesting_without_end_is_refused_at_its_first_bracket(tmp_path: Path) -> None:
    file = written(tmp_path, "node:\n  name: " + "[" * 100_000)
    assert error_of({}, {}, file).startswith(f"{file}:2: node.name: found a list")


def test_a_long_value_is_cut_short(tmp_path: Path) -> None:
    file = written(tmp_path, f"log:\n  level: {'x' * 100_000}\n{'y' * 1000}: 1\n")
    assert len(error_of({}, {}, file)) < len(str(file)) + 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [("all", ()), ("amd", ("amd",)), ("nvidia,amd", ("nvidia", "amd")), (" amd , nvidia", ("amd", "nvidia"))],
)
def test_collectors_are_named_in_their_order(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    assert load_settings({"collectors": text}, {}, None).collectors == expected
    assert load_settings({}, {"ACCELERATOR_EXPORTER_COLLECTORS": text}, None).collectors == expected
    assert load_settings({}, {}, written(tmp_path, f"collectors: {text}\n")).collectors == expected
    assert load_settings({}, {}, written(tmp_path, f"collectors: [{text}]\n")).collectors == expected


@pytest.mark.parametrize("row", series.ROWS, ids=lambda row: row.stem)
def test_no_label_of_a_family_can_be_the_name_of_a_label_of_a_container(row: Metric) -> None:
    for label in (*row.labels, *(Label(name) for name in SUBJECT_LABELS[row.subjects[0]] if name not in HOLDER_LABELS)):
        assert "expected the name of a label" in error_of({"labels.pod": label.name}, {}, None)


def test_labels_of_a_container_must_differ_over_all_sources(tmp_path: Path) -> None:
    file = written(tmp_path, "labels:\n  pod: k8s_name\n")
    assert error_of({"labels.container": "k8s_name"}, {}, file) == (
        '--labels.container: found "k8s_name", expected another value than that of labels.pod'
    )
    swapped = load_settings({"labels.pod": "container", "labels.container": "pod"}, {}, None).labels
    assert swapped.ordered == ("namespace", "container", "pod")
