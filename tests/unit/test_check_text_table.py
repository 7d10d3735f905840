from hypothesis import given
from hypothesis import strategies as st

from exporter.check.text_table import WIDTH, paragraph, printable, table

CELLS = st.text(max_size=120)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=4))
def test_no_table_is_wider_than_the_terminal(rows: list[tuple[str, ...]]) -> None:
    lines = table(("ONE", "TWO", "THREE", "FOUR"), rows)
    assert max(map(len, lines)) <= WIDTH
    assert all(printable(line) == line for line in lines)


@given(st.lists(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=40), min_size=3, max_size=3))
def test_a_table_contains_the_whole_text_of_its_cells(cells: list[str]) -> None:
    squeezed = "".join("".join(table(("A", "B", "C"), [cells])[1:]).split())
    assert sorted(squeezed) == sorted("".join(cells))


def test_columns_are_aligned() -> None:
    assert table(("A", "B"), [("long one", "x"), ("y", "z")]) == ["  A         B", "  long one  x", "  y         z"]


def test_a_long_text_continues_in_the_next_line() -> None:
    lines = paragraph("word " * 40, "* ", "  ")
    assert len(lines) > 1
    assert [line[:2] for line in lines] == ["* ", *["  "] * (len(lines) - 1)]
