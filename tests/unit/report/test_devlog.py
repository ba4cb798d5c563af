from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
import uuid
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from quaestor.devlog import FIGURES, Evidence, Story, illustrate, render
from quaestor.devlog.evidence import DecidedOrder, Resolved
from quaestor.doors.postgres.evidence import parse
from quaestor.orders import State
from quaestor.pictures import PICTURES
from quaestor.ports import Latch, Reconciliation
from quaestor.risk import Refusal
from quaestor.splits import Split

D = Decimal
EVIL = "</td>|**x**\n# [y](http://e.example) `rm` $1 {{ 7*7 }} <script>alert(1)</script> \x1b[31m\u202e" + "z" * 300
CELL = re.compile(r"(?<!\\)\|")


def test_the_devlog_opens_with_what_happened_in_one_line(evidence: Evidence) -> None:
    lines = render(evidence).splitlines()
    assert lines[0] == "# Devlog of `paper`, 2012-01-03 to 2012-01-05"
    assert lines[2].startswith("**Made $34.90 (+0.35%) in three sessions and ended at $10,034.90.** ")
    assert "The deepest fall was 0.10%, from 2012-01-03 to 2012-01-04, made good by 2012-01-05." in lines[2]
    assert "Two strategies decided three orders (three filled); the risk gate refused one." in lines[2]


def test_the_devlog_tells_whose_doing_it_was_and_what_caused_each_order(evidence: Evidence) -> None:
    text = render(evidence)
    assert "`trend` earned most, +$29.90; `value` earned least, +$5.00." in text
    assert "| `trend` | 6 | 2 | 2 | 1 | 1 | +$29.90 |" in text
    assert (
        "- **Largest winner**: `trend` bought 10 `AAPL` on 2012-01-03 and sold on 2012-01-05 for +$29.90 after fees "
        "(bought: `quaestor why 000000a1`, sold: `quaestor why 000000c3`)." in text
    )
    assert (
        "- **2012-01-03** `trend` wanted 25% of its sleeve in `AAPL` after the bar of 2011-12-30 closed at $100.00: "
        "bought 10 at $100.00; 15 risk checks passed (`quaestor why 000000a1`)." in text
    )
    assert "- **2012-01-05** `trend` wanted none of `AAPL`" in text
    assert "- `trend` ran as version `trend-1234567890` with `fast=10`" in text
    assert "| 3: 2012-01-03 to 2012-01-05 | `run-e` | `c0ffee` | `cfg1` |" in text
    assert "**Best session**: 2012-01-05, +$34.90 (+0.35%), holding 5 `IBM`." in text
    assert "**Worst session**: 2012-01-04, −$10.00 (−0.10%), holding 10 `AAPL` and 5 `IBM`." in text


def test_the_devlog_tells_what_was_refused_with_rule_limit_and_observed_value(evidence: Evidence) -> None:
    assert "| `cash` | 1 | 2012-01-04, `value`, buy 7 `AAPL`: cash: observed 700.00, limit 500.00" in render(evidence)
    assert "The risk gate let every order pass." in render(replace(evidence, refusals=()))


def test_the_books_prove_themselves(evidence: Evidence) -> None:
    text = render(evidence)
    assert "- ✓ cash + positions at market = equity in 3 of 3 sessions." in text
    assert "- ✓ capital + profit − fees = equity in 3 of 3 sessions." in text
    assert "- ✓ sum of fills = positions." in text
    assert "- ✓ gains of closed trades since the beginning = realised gains, $30.00." in text
    assert "- ✓ profit of the strategies = profit of the account, $34.90." in text
    assert "- ✓ ledger = broker at the close of 2012-01-05: 3 fills, 3 orders, 1 positions and cash compared" in text
    assert "✗" not in text


def test_books_that_do_not_add_up_are_told_and_head_the_list_of_things_to_look_at(evidence: Evidence) -> None:
    *earlier, last = evidence.closes
    (held,) = last.holdings
    wrong = replace(last, holdings=(replace(held, quantity=D(4)),))
    text = render(replace(evidence, closes=(*earlier, wrong)))
    assert "- ✗ cash + positions at market = equity in 2 of 3 sessions." in text
    assert "- ✗ sum of fills = positions in 0 of 1 symbols." in text
    assert "- ✗ profit of the strategies = profit of the account, $34.90 in 0 of 1 cases." in text
    assert "tomorrow\n\n- **A proof fails**: cash + positions at market = equity holds in 2 of 3 sessions." in text


def test_a_lost_day_is_told_as_lost(evidence: Evidence) -> None:
    before, day, _ = evidence.closes
    text = render(replace(evidence, start=day.session, end=day.session, before=before, closes=(day,)))
    assert text.startswith(
        "# Devlog of `paper`, 2012-01-04\n\n**Lost $10.00 (−0.10%) in one session and ended at $10,000.00.**"
    )
    assert "| equity at the start | $10,010.00 | close of 2012-01-03 |" in text


def test_before_anything_is_settled_the_devlog_says_so() -> None:
    text = render(Evidence("paper", None, None))
    assert text.startswith("# Devlog of `paper`: nothing to tell yet\n")
    assert "Evidence" not in text
    assert "png" not in text


def test_a_quiet_range_is_told_without_orders(evidence: Evidence) -> None:
    quiet = replace(evidence.closes[0].equity, cash=D(10000), market_value=D(0), unrealized=D(0))
    close = replace(evidence.closes[0], equity=quiet, holdings=())
    text = render(Evidence("paper", close.session, close.session, closes=(close,)))
    assert "**Neither made nor lost a cent in one session and ended at $10,000.00.**" in text
    for line in (
        "No order was decided; the risk gate refused none.",
        "Nothing was held and nothing was earned.",
        "No order was decided.",
        "Cash alone: $10,000.00.",
    ):
        assert line in text


def test_every_picture_is_shown_by_its_relative_path(evidence: Evidence) -> None:
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", render(evidence)) == list(FIGURES) == list(PICTURES)


def test_a_devlog_can_carry_its_pictures_inside(evidence: Evidence) -> None:
    text = illustrate(render(evidence), {"equity.png": b"one", "strategies.png": b"two", "distribution.png": b"three"})
    assert "![Equity and drawdown](data:image/png;base64,b25l)" in text
    assert ".png" not in text


def test_rare_things_are_told(evidence: Evidence) -> None:
    first, second, third = evidence.orders
    text = render(
        replace(
            evidence,
            orders=(
                replace(first, state=State.EXPIRED, filled=D(0), average_price=None, reason="no trade in the session"),
                replace(second, state=State.PARTIALLY_FILLED, filled=D(2)),
                replace(third, version=None, target=None, bar_end=None, bar_close=None, parameters=None, checks=0),
            ),
            resolved=(Resolved(second.ref_id, "connection lost", State.FILLED, "listed"),),
            reconciliation=Reconciliation(dt.date(2012, 1, 5), [_difference()], {"orders": 3}),
            journal=(Split("AAPL", dt.date(2012, 1, 3), Fraction(2)), *evidence.journal),
            latches=(Latch("entries", "books and broker disagree", dt.datetime(2012, 1, 5, tzinfo=dt.UTC)),),
        )
    )
    for line in (
        "(one partially filled, one filled, one expired)",
        "the order to buy 10 is expired (no trade in the session)",
        "- One order expired unfilled: no trade in the session; the newest is to buy 10 `AAPL` on 2012-01-03",
        "bought 2 of 5 at $50.00",
        "- **2012-01-05** `trend`: sold 10 `AAPL` at $103.00 (`quaestor why 000000c3`).",
        "  - `quaestor why 000000b2`: connection lost; found filled.",
        "- ✗ ledger and broker differ at the close of 2012-01-05 in one point:",
        "  - cash USD: ours 1.00, theirs 2.00.",
        "- **Split**: `AAPL` 2-for-1 on 2012-01-03 while it was held",
        "- **Entries are stopped** by the latch `entries`: books and broker disagree",
    ):
        assert line in text, line


def test_a_long_range_is_told_month_by_month(evidence: Evidence) -> None:
    first, second, third = evidence.closes
    february = replace(third, equity=replace(third.equity, session=dt.date(2012, 2, 1)))
    text = render(replace(evidence, end=dt.date(2012, 2, 1), closes=(first, second, february)))
    assert "| 2012-01 | $0.00 | 0.00% | $10,000.00 | 3 |" in text
    assert "| 2012-02 | +$34.90 | +0.35% | $10,034.90 | 0 |" in text


def test_a_range_of_many_years_is_told_year_by_year(evidence: Evidence) -> None:
    third = evidence.closes[-1]
    sessions = [dt.date(year, month, 3) for year in (2012, 2013, 2014) for month in range(1, 13)]
    closes = tuple(replace(third, equity=replace(third.equity, session=session)) for session in sessions)
    story = Story(replace(evidence, end=sessions[-1], closes=closes))
    assert [period.name for period in story.periods] == ["2012", "2013", "2014"]


def test_only_the_telling_orders_of_many_are_told(evidence: Evidence) -> None:
    many = [replace(evidence.orders[0], ref_id=uuid.UUID(int=n), quantity=D(n)) for n in range(1, 100)]
    told = Story(replace(evidence, orders=(*evidence.orders, *many))).decisions
    assert [order.ref_id.int >> 96 or order.ref_id.int for order in told] == [0xA1, 99, 0xB2, 0xC3]


# ── law 12: same evidence, same bytes ─────────────────────────────────────────────────────────────────────────────────


def test_evidence_survives_json_and_renders_to_the_same_bytes(evidence: Evidence) -> None:
    evidence = replace(evidence, journal=(*evidence.journal, Split("IBM", dt.date(2012, 1, 5), Fraction(3, 2))))
    again = parse(evidence.as_json)
    assert again == evidence
    assert again.digest == evidence.digest
    assert render(again) == render(evidence)


def test_the_bytes_do_not_hang_on_hash_seed_locale_or_time_zone(evidence: Evidence) -> None:
    code = (
        "import sys; from quaestor.devlog import render; from quaestor.doors.postgres.evidence import parse; "
        "sys.stdout.buffer.write(render(parse(sys.stdin.read())).encode())"
    )
    told = set()
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONUTF8": "1", "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=evidence.as_json.encode(),
            capture_output=True,
            env=environment,
            check=True,
        )
        told.add(done.stdout)
    assert told == {render(evidence).encode()}


def test_the_order_of_parameters_is_no_other_evidence(evidence: Evidence) -> None:
    one, other = (
        replace(evidence, signals=(replace(evidence.signals[0], parameters=parameters),))
        for parameters in ({"fast": 10, "slow": 30}, {"slow": 30, "fast": 10})
    )
    assert one.digest == other.digest


def test_another_fact_is_another_digest(evidence: Evidence) -> None:
    assert replace(evidence, refusals=()).digest != evidence.digest


# ── words from outside are words ──────────────────────────────────────────────────────────────────────────────────────


def test_hostile_text_in_any_field_adds_no_line_no_cell_no_link_and_no_code(evidence: Evidence) -> None:
    """The same devlog with plain words in those places has the same lines, cells and markup."""
    plain, evil = (render(_spoken(evidence, text)) for text in ("word", EVIL))
    assert [len(CELL.findall(line)) for line in evil.splitlines()] == [
        len(CELL.findall(line)) for line in plain.splitlines()
    ]
    outside_code = re.sub(r"`[^`\n]*`", "", evil.replace("\\`", "'"))
    for sign in ("](h", "<script", "\n# [", "**x**", "\x1b", "\u202e", "http://"):
        assert sign not in outside_code.replace("\\[", "").replace("\\]", "").replace("\\<", ""), sign
    assert "49" not in re.findall(r"script.*", evil)
    assert max(map(len, evil.splitlines())) < 2000


def _spoken(evidence: Evidence, text: str) -> Evidence:
    """Every text that comes from outside replaced by `text`."""

    def order(old: DecidedOrder, state: State) -> DecidedOrder:
        return replace(
            old, state=state, filled=D(0), strategy=text, symbol=text, reason=text, version=text, digest=text,
            parameters={text: text}, bar_end=text,
        )  # fmt: skip

    first, second, third = evidence.orders
    (refusal,), (signals,), (run,) = evidence.refusals, evidence.signals, evidence.runs
    last = evidence.closes[-1]
    return replace(
        evidence,
        account=text,
        orders=(order(first, State.REJECTED), order(second, State.UNKNOWN), order(third, State.EXPIRED)),
        closes=(
            *evidence.closes[:-1],
            replace(last, holdings=(replace(last.holdings[0], symbol=text, strategy=text),)),
        ),
        refusals=(_refusal(refusal, text), _refusal(refusal, text)),
        signals=(replace(signals, version=text, digest=text, parameters={text: text}, flow_run_ids=(text, text)),),
        runs=(replace(run, flow_run_id=text, commit=text, config_digest=text),),
        resolved=(Resolved(first.ref_id, text, State.FILLED, text),),
        latches=(Latch(text, text, dt.datetime(2012, 1, 5, tzinfo=dt.UTC)),),
        reconciliation=Reconciliation(last.session, [dict.fromkeys(_difference(), text)], {text: 1}),
    )


def _refusal(old: Refusal, text: str) -> Refusal:
    return replace(old, strategy=text, symbol=text, rule=text, message=text)


def _difference() -> dict[str, str]:
    return {"subject": "cash", "key": "USD", "ours": "1.00", "theirs": "2.00", "cure": "Find it."}


@pytest.mark.parametrize("name", ["devlog.md.j2", "_headline.md.j2", "_evidence.md.j2"])
def test_templates_travel_with_the_package(name: str) -> None:
    from importlib.resources import files

    assert files("quaestor.devlog").joinpath("templates", name).is_file()
