"""Values as JSON text: no amount is rounded, and what is no number is none."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import pytest

from quaestor.jsons import as_json
from quaestor.orders import Side

NAME = uuid.UUID(int=7)
AT = dt.datetime(2012, 1, 3, 21, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param(Decimal("405.000000000000000001"), "405.000000000000000001", id="an amount, every digit of it"),
        pytest.param(Fraction(1, 3), "1/3", id="a ratio"),
        pytest.param(Side.BUY, "buy", id="a word"),
        pytest.param(NAME, str(NAME), id="a name"),
        pytest.param(AT, "2012-01-03T21:00:00+00:00", id="a moment"),
        pytest.param(AT.date(), "2012-01-03", id="a session"),
        pytest.param(0.1, 0.1, id="a measure"),
        pytest.param(math.nan, None, id="no number"),
        pytest.param(MappingProxyType({"fast": 20}), {"fast": 20}, id="a mapping"),
        pytest.param("ünï", "ünï", id="a text"),
    ],
)
def test_each_kind_of_value_is_told_as_one(value: object, told: object) -> None:
    assert json.loads(as_json({"value": value})) == {"value": told}
