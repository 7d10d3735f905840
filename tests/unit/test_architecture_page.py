import re
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import pytest

from tools import gen_architecture as drawing
from tools.gen_architecture import ARROWS, BOXES, HEIGHT, LANES, WIDTH, Box

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PADDING = 10
# Large widths of a character, for fonts wider than the usual ones.
TITLE_CHARACTER, TEXT_CHARACTER = 8.6, 7.0


def apart(one: Box, other: Box) -> bool:
    return one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y


def test_every_module_on_the_page_exists() -> None:
    named = set(re.findall(r"`((?:collectors|exporter|tools|tests)/[\w/.]*)`", PAGE))
    assert {"collectors/contract.py", "exporter/daemon.py"} <= named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_page_shows_the_picture() -> None:
    (target,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    assert (ROOT / "docs" / target).read_text() == drawing.picture()


def test_picture_has_a_description_and_no_external_reference() -> None:
    text = drawing.picture()
    image = ET.fromstring(text)  # noqa: S314 - our own
    assert image.tag == "{http://www.w3.org/2000/svg}svg"
    assert image.get("role") == "img"
    assert [child.tag.partition("}")[2] for child in image][:2] == ["title", "desc"]
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|<script|<image", text)


def test_every_colour_exists_for_light_and_for_dark() -> None:
    light, dark = re.findall(r"svg \{([^}]*)\}", drawing.picture())
    names = [set(re.findall(r"--(\w+):", colours)) for colours in (light, dark)]
    assert names[0] == names[1] == set(re.findall(r"var\(--(\w+)\)", drawing.picture()))
    assert re.findall(r"#\w+", light) != re.findall(r"#\w+", dark)


def test_boxes_do_not_overlap_and_are_inside_a_lane() -> None:
    for boxes in (LANES, BOXES):
        assert all(apart(one, other) for one, other in combinations(boxes, 2))
    assert all(lane.x >= 0 and lane.right <= WIDTH and lane.y >= 0 and lane.bottom <= HEIGHT for lane in LANES)
    for box in BOXES:
        assert [
            lane
            for lane in LANES
            if lane.x < box.x and box.right < lane.right and lane.y < box.y and box.bottom < lane.bottom
        ]


def test_texts_fit_into_their_boxes() -> None:
    rooms = {box: box.width - PADDING for box in BOXES}
    assert [box.title for box in BOXES if len(box.title) * TITLE_CHARACTER > rooms[box] - PADDING] == []
    assert [line for box in BOXES for line in box.lines if len(line) * TEXT_CHARACTER > rooms[box]] == []
    assert [box.title for box in BOXES if 21 + 17 * len(box.lines) + 5 > box.height] == []


def test_arrows_connect_boxes() -> None:
    for arrow in ARROWS:
        assert [box for box in BOXES if box.right == arrow.x and box.y < arrow.y < box.bottom]
        assert [box for box in BOXES if box.x == arrow.end and box.y < arrow.y < box.bottom]
        assert 12 + len(arrow.text) * TEXT_CHARACTER <= arrow.end - arrow.x or not arrow.text


def test_check_passes_for_a_current_file_and_names_an_outdated_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "docs" / "images" / "architecture.svg"
    assert drawing.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "docs/images/architecture.svg is out of date: run `make docs`\n"
    assert drawing.main([], tmp_path) == 0
    assert drawing.main(["--check"], tmp_path) == 0
    picture.write_text(picture.read_text() + "\n")
    assert drawing.main(["--check"], tmp_path) == 1
