from pathlib import Path

import pytest

from collectors.simulated.error import ScenarioError
from collectors.simulated.load import Constant, Load, Sine, Square, Trace
from collectors.simulated.parse_load import read_trace


def test_a_constant_is_the_same_at_all_times() -> None:
    assert [Constant(0.4).at(seconds) for seconds in (-5, 0, 1e6)] == [0.4, 0.4, 0.4]


def test_a_sine_rises_from_the_middle_and_repeats_after_a_period() -> None:
    sine = Sine(0.2, 0.8, 100)
    assert [sine.at(seconds) for seconds in (0, 25, 50, 75, 100, -25)] == pytest.approx([0.5, 0.8, 0.5, 0.2, 0.5, 0.2])


def test_a_square_is_high_for_the_first_part_of_each_period() -> None:
    square = Square(0.1, 0.9, 60, 0.25)
    assert [square.at(seconds) for seconds in (0, 14.9, 15, 59, 60, -1, -50)] == [0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.9]


def test_a_trace_is_linear_between_points_and_constant_outside() -> None:
    trace = Trace((10, 20, 40), (0.0, 1.0, 0.5))
    assert [trace.at(seconds) for seconds in (0, 10, 15, 20, 30, 40, 999)] == pytest.approx(
        [0, 0, 0.5, 1, 0.75, 0.5, 0.5]
    )


def test_each_further_subject_is_delayed() -> None:
    load = Load(Square(0, 1, 100, 0.5), stagger_seconds=30)
    assert [load.at(10, position) for position in (0, 1, 2)] == [1, 0, 0]
    assert [load.at(70, position) for position in (0, 1, 2)] == [0, 1, 1]


def test_a_trace_file_may_have_titles_blank_lines_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_bytes(b"seconds,load\r\n0,0.5\r\n\r\n 10.5 , 1\r\n")
    assert read_trace(file) == Trace((0.0, 10.5), (0.5, 1.0))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", ": found 0 points, expected 1 to 10000 lines SECONDS,LOAD"),
        ("seconds,load\n", ": found 0 points, expected 1 to 10000 lines SECONDS,LOAD"),
        ("0,0.5\n5;0.5\n", ':2: found "5;0.5", expected SECONDS,LOAD with a load from 0 to 1'),
        ("0,1.5\n", ':1: found "0,1.5", expected SECONDS,LOAD with a load from 0 to 1'),
        ("0,nan\n", ':1: found "0,nan", expected SECONDS,LOAD with a load from 0 to 1'),
        ("0,0.5\n\n10,1\n10,0\n", ":4: found second 10, expected more than 10"),
        ("\n".join(f"{second},1" for second in range(10_001)), ": found 10001 points, expected 1 to 10000"),
    ],
)
def test_an_invalid_trace_is_refused_with_one_line(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "day.csv"
    file.write_text(content)
    with pytest.raises(ScenarioError) as caught:
        read_trace(file)
    assert str(caught.value).startswith(f"{file}{complaint}")


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot read a trace: No such file or directory"):
        read_trace(tmp_path / "day.csv")
