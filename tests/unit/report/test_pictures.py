from __future__ import annotations

import datetime as dt
import io
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest
from PIL import Image

from quaestor import pictures
from quaestor.devlog import Evidence, Story


def test_the_pictures_are_small_readable_pngs(evidence: Evidence) -> None:
    for name, png in pictures.draw(Story(evidence)).items():
        with Image.open(io.BytesIO(png)) as picture:
            picture.load()
            assert picture.format == "PNG", name
            assert picture.width == 1000
            assert picture.info.keys() <= {"transparency"}, "no date, no software"
        assert len(png) < 60_000


def test_the_same_story_gives_the_same_bytes_whatever_a_users_matplotlib_is_set_to(evidence: Evidence) -> None:
    from matplotlib import rc_context

    plain = pictures.draw(Story(evidence))
    with rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 30, "font.family": "monospace"}):
        assert pictures.draw(Story(evidence)) == plain


def test_another_story_gives_other_pictures(evidence: Evidence) -> None:
    richer = replace(evidence.closes[-1], equity=replace(evidence.closes[-1].equity, cash=Decimal(12000)))
    changed = Story(replace(evidence, closes=(*evidence.closes[:-1], richer)))
    assert pictures.draw(changed)["equity.png"] != pictures.draw(Story(evidence))["equity.png"]


def test_nothing_is_drawn_before_anything_is_settled() -> None:
    assert pictures.draw(Story(Evidence("paper", None, None))) == {}


@pytest.mark.parametrize(
    "account",
    [
        pytest.param("a$b$c", id="two dollar signs are no formula"),
        pytest.param("", id="no name"),
        pytest.param("ünïcode–日本", id="a sign that the font lacks", marks=pytest.mark.filterwarnings("ignore:Glyph")),
    ],
)
def test_any_account_name_can_be_drawn(evidence: Evidence, account: str) -> None:
    assert len(pictures.draw(Story(replace(evidence, account=account)))) == 3


def test_a_dollar_sign_in_a_name_is_a_dollar_sign() -> None:
    assert pictures._label("a$b$c") == r"a\$b\$c"


def test_a_range_in_which_nothing_was_earned_can_be_drawn(evidence: Evidence) -> None:
    first = evidence.closes[0]
    flat = replace(first, equity=replace(first.equity, cash=Decimal(10000), market_value=Decimal(0)), holdings=())
    assert len(pictures.draw(Story(Evidence("paper", first.session, first.session, closes=(flat,))))) == 3


def test_pyplot_stays_out(evidence: Evidence) -> None:
    code = (
        "import sys; from quaestor import pictures; from quaestor.devlog import Story; "
        "from quaestor.doors.postgres.evidence import parse; "
        "assert pictures.draw(Story(parse(sys.stdin.read()))); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], input=evidence.as_json.encode(), check=True)


def days(count: int) -> list[dt.date]:
    return [dt.date(2010, 1, 4) + dt.timedelta(days=n) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [
        pytest.param(1, "2010-01-04", "2010-01-04", id="one session by its date"),
        pytest.param(5, "2010-01-04", "2010-01-08", id="a week, each session"),
        pytest.param(40, "2010-01-08", "2010-02-12", id="two months, an even choice of sessions"),
        pytest.param(200, "2010-02", "2010-07", id="half a year, months"),
        pytest.param(3650, "2012-01", "2020-01", id="ten years, every second January"),
    ],
)
def test_dates_are_named_as_densely_as_they_can_be_read(count: int, first: str, last: str) -> None:
    marks = pictures._dates(days(count))
    assert list(marks.values())[:: max(1, len(marks) - 1)][:2] == ([first, last] if count > 1 else [first])
    assert len(marks) <= pictures.TICKS + 1
    assert all(1 <= place <= count for place in marks)
    for place, name in marks.items():
        assert days(count)[place - 1].isoformat().startswith(name)


@pytest.mark.parametrize(
    ("profits", "width", "first", "last"),
    [
        pytest.param([-100.0, 300.0], 20, -100, 320, id="columns of a round width on both sides of zero"),
        pytest.param([0.0], 1, 0, 1, id="nothing earned"),
        pytest.param([0.01, 0.02], 1, 0, 1, id="cents fill one column of a dollar"),
        pytest.param([-5.0], 1, -5, 1, id="a loss alone"),
    ],
)
def test_no_column_holds_profits_and_losses_at_once(
    profits: list[float], width: float, first: float, last: float
) -> None:
    assert pictures._width(profits) == width
    edges = pictures._edges(profits, width)
    assert (edges[0], edges[-1]) == (first, last)
    assert 0 in edges
    assert all(edges[0] <= profit <= edges[-1] for profit in profits)
