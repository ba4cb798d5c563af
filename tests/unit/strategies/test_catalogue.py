"""Names, versions and parameters of strategies."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import quaestor.strategies
from quaestor.errors import BadInput, NotFound
from quaestor.strategies.base import Strategy
from quaestor.strategies.catalogue import BadParameter, Catalogue, Definition

BUILT_IN = ["ema_cross", "momentum", "rsi_reversion", "sma_crossover"]


@dataclass(frozen=True)
class Own(Strategy):
    """One parameter of each kind, one of them without a default."""

    name = "own"
    count: int
    share: float = 0.5
    mood: str = "calm"
    strict: bool = True

    def __post_init__(self) -> None:
        if self.mood == "angry":
            raise ValueError("no angry trading")

    def targets(self, bars):
        return bars


OWN = Definition(Own, b"the source", "/home/ada/own.py")


def test_the_built_in_strategies_are_known_by_name():
    assert Catalogue().names() == BUILT_IN


def test_a_strategy_of_ones_own_stands_beside_the_built_in_ones():
    assert Catalogue([OWN]).names() == ["ema_cross", "momentum", "own", "rsi_reversion", "sma_crossover"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_version_is_the_name_and_the_digest_of_the_source_file(name):
    source = Path(quaestor.strategies.__path__[0]) / f"{name}.py"
    assert Catalogue().build(name).version == f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:10]}"


def test_another_source_is_another_version_and_another_digest():
    built = Catalogue([OWN]).build("own", {"count": 1})
    edited = Catalogue([Definition(Own, b"the source!", OWN.place)]).build("own", {"count": 1})
    assert built.version != edited.version
    assert built.digest != edited.digest


def test_what_was_built_names_all_its_parameters_with_their_defaults():
    built = Catalogue().build("sma_crossover", {"fast": 5})
    assert built.parameters == {"fast": 5, "slow": 30}
    assert built.strategy.fast == 5
    assert built.name == "sma_crossover"


def test_a_digest_names_version_and_parameters_and_saying_a_default_changes_nothing():
    build = Catalogue().build
    assert build("sma_crossover").digest == build("sma_crossover", {"slow": 30, "fast": 10}).digest
    assert build("sma_crossover").digest != build("sma_crossover", {"fast": 9}).digest
    assert build("rsi_reversion", {"enter": 10}).digest == build("rsi_reversion", {"enter": 10.0}).digest


def test_an_unknown_strategy_answers_with_the_nearest_name_and_where_ones_own_go():
    with pytest.raises(
        NotFound, match=r"strategy 'sma_crosover'\. Did you mean 'sma_crossover'\?.*\[strategies\] folder"
    ):
        Catalogue().build("sma_crosover")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"count": 1, "shar": 0.1}, r"own 'shar'\. Did you mean 'share'\? Known: count, mood, share, strict"),
        ({"count": 1.5}, "own: count = 1.5 is a float: give a whole number"),
        ({"count": 1.0}, "own: count = 1.0 is a float: give a whole number"),
        ({"count": "1"}, "own: count = '1' is a str: give a whole number"),
        ({"count": True}, "own: count = True is a bool: give a whole number"),
        ({"count": None}, "own: count = None is a NoneType: give a whole number"),
        ({"count": 1, "share": "half"}, "own: share = 'half' is a str: give a number"),
        ({"count": 1, "share": True}, "own: share = True is a bool: give a number"),
        ({"count": 1, "share": float("nan")}, "own: share = nan: give a finite number"),
        ({"count": 1, "mood": 3}, "own: mood = 3 is a int: give a text"),
        ({"count": 1, "strict": 1}, "own: strict = 1 is a int: give true or false"),
        ({}, "own: parameter 'count' has no default; give it a value"),
        (
            {"count": 1, "mood": "angry"},
            r"own: .*'mood': 'angry'.* refused: ValueError: no angry trading \(.*test_cat.*:\d+",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_parameter_is_refused_by_strategy_name_value_and_cure(parameters, message):
    with pytest.raises(BadInput, match=message):
        Catalogue([OWN]).build("own", parameters)


@pytest.mark.parametrize(
    ("parameters", "name"), [({"count": 1, "shar": 1}, "shar"), ({}, "count"), ({"count": "1"}, "count")]
)
def test_a_refusal_of_a_parameter_knows_its_name_so_that_a_place_can_be_said(parameters, name):
    with pytest.raises(BadParameter) as raised:
        Catalogue([OWN]).build("own", parameters)
    assert raised.value.parameter == name


def test_a_strategys_own_refusal_passes_through_as_it_is():
    with pytest.raises(BadInput, match=r"^sma_crossover: fast = 30, slow = 10: fast must be the smaller"):
        Catalogue().build("sma_crossover", {"fast": 30, "slow": 10})


def test_a_whole_number_is_taken_for_a_float_and_kept_as_one():
    built = Catalogue([OWN]).build("own", {"count": 1, "share": 1})
    assert type(built.parameters["share"]) is float


@pytest.mark.parametrize(
    ("other", "place"),
    [
        pytest.param(
            Definition(Own, b"", "/home/ada/copy.py"), "/home/ada/own.py and /home/ada/copy.py", id="two files"
        ),
        pytest.param(Definition(Own, b"", "/home/ada/own.py"), "/home/ada/own.py and /home/ada/own.py", id="one file"),
    ],
)
def test_a_name_that_two_strategies_claim_is_refused_naming_both_places(other, place):
    with pytest.raises(BadInput, match=f"Two strategies are named 'own': {place}"):
        Catalogue([OWN, other]).names()


def test_the_catalogue_is_imported_and_asked_without_polars_or_pandas():
    """The console asks it for names; half a second of CPU is all it has."""
    program = (
        "import sys; from quaestor.strategies.catalogue import Catalogue; Catalogue().build('momentum');"
        "print(sorted({'polars', 'pandas', 'numpy', 'prefect'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "[]\n"
