"""Coverage as a map: one mark a cell, the worst of several in one column."""

from __future__ import annotations

import datetime as dt

import pytest

from quaestor.coverage import Cell, Place, Status, grid
from quaestor.coverage_map import MARKS, axis, draw, markdown

D = dt.date
AT = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)


def place(symbol: str, month: int, status: Status, year: int = 2012) -> Place:
    first = D(year, month, 1)
    return Place(symbol, first, (first, D(year, month, 28)), 20, status, None)


def test_every_cell_has_its_mark_in_the_order_of_time() -> None:
    shown: list[Status] = ["present", "partial", "missing", "quarantined", "failed", "empty"]
    drawn = draw([place("AAPL", n, status) for n, status in enumerate(shown, 1)])
    assert [line.marks for line in drawn.lines] == ["█▒·qx-"]
    assert drawn.title == "1 symbol, 2012-01-01 to 2012-06-01: 2 of 6 cells are complete."


@pytest.mark.parametrize(
    ("both", "mark"),
    [
        pytest.param(("present", "missing"), "·", id="a hole is not hidden by what stands beside it"),
        pytest.param(("failed", "missing"), "x", id="a failure is worse than a hole"),
        pytest.param(("empty", "present"), "█", id="before the listing there is nothing to see"),
    ],
)
def test_where_columns_are_few_the_worst_of_a_column_is_shown(both: tuple[Status, Status], mark: str) -> None:
    drawn = draw([place("AAPL", n, status) for n, status in enumerate(both, 1)], width=1)
    assert drawn.lines[0].marks == mark
    assert drawn.columns == [(D(2012, 1, 1), D(2012, 2, 1))]


def test_a_symbol_without_a_place_in_a_column_leaves_it_blank() -> None:
    drawn = draw([place("AAPL", 1, "present"), place("IBM", 2, "present")])
    assert [(line.symbol, line.marks) for line in drawn.lines] == [("AAPL", "█ "), ("IBM", " █")]


def test_the_axis_names_years_where_they_begin_and_as_far_apart_as_they_can_be_read() -> None:
    months = [(D(2010 + n // 12, n % 12 + 1, 1),) * 2 for n in range(36)]
    assert axis(months) == "2010        2011        2012"
    assert axis(months[:3]) == "2010-01-01"
    years = [(D(1990 + n, 1, 1),) * 2 for n in range(12)]
    assert axis(years) == "1990 1995 2000"


def test_a_page_shows_the_worst_symbols_first_where_not_all_fit() -> None:
    places = [place(f"S{n:03d}", 1, "failed" if n == 7 else "present") for n in range(20)]
    page = markdown(draw(places), limit=3).splitlines()
    assert [line.split() for line in page[2:5]] == [["S007", "x"], ["S000", "#"], ["S001", "#"]]
    assert page[5] == "… and 17 symbols that stand no worse"


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw([]).title == "No cells."
    assert markdown(draw([])).startswith("```\n")


def test_a_grid_of_known_cells_is_drawn_with_their_status() -> None:
    days = [D(2012, 1, 3), D(2012, 1, 31), D(2012, 2, 1)]
    known = Cell("AAPL", "1d", D(2012, 1, 1), (D(2012, 1, 3), D(2012, 1, 31)), 20, 0, "recorded", "", AT)
    drawn = draw(grid(["AAPL"], "1d", days, [known]))
    assert drawn.lines[0].marks == MARKS["present"] + MARKS["missing"]
