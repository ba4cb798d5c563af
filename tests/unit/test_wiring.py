"""Wiring: where the configuration and the data are found, and what becomes of a database URL."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from quaestor import wiring
from quaestor.config import Config, StrategiesSection
from quaestor.doors.postgres.database import with_password, without_password
from quaestor.errors import BadConfig, NotFound, PartMissing


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("QUAESTOR_HOME", str(folder))
    return folder


def write(folder: Path, alias: str) -> Path:
    file = folder / "quaestor.toml"
    file.write_text(f"[account]\nalias = {alias!r}\n[database]\nurl = 'postgresql://file/books'\n")
    return file


def test_the_file_that_is_named_comes_before_that_of_the_data_folder_and_that_of_the_checkout(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wiring.load().path == wiring.ROOT / "quaestor.toml"
    own = write(home, "own")
    assert (wiring.load().path, wiring.load().config.account.alias) == (own, "own")
    named = write(tmp_path, "named")
    monkeypatch.setenv("QUAESTOR_CONFIG", str(named))
    assert (wiring.load().path, wiring.load().config.account.alias) == (named, "named")
    assert wiring.load().home == home


def test_a_named_file_that_is_none_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUAESTOR_CONFIG", str(home / "missing.toml"))
    with pytest.raises(
        BadConfig, match=r"QUAESTOR_CONFIG names .*missing\.toml, which is not a file; correct or unset"
    ):
        wiring.load()


def test_an_error_in_the_file_names_the_file(home: Path) -> None:
    file = home / "quaestor.toml"
    file.write_text("[risk]\nmax_dradown = 1\n")
    with pytest.raises(BadConfig, match=rf"^{file}:2: unknown key"):
        wiring.load()


def test_the_database_url_of_the_environment_wins_over_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "own")
    assert wiring.load().config.database.url == "postgresql://file/books"
    monkeypatch.setenv("QUAESTOR_DATABASE_URL", "postgresql://environment/books")
    assert wiring.load().config.database.url == "postgresql://environment/books"
    assert wiring.load().config.account.alias == "own"


def test_a_runner_that_a_flow_starts_is_told_the_books_address_and_the_name_of_their_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUAESTOR_LIVE_COMMAND", "nice -n 5 quaestor live run")
    told = wiring.runner_process(home, "postgresql://u@block/books", "database-password").environment()
    for name in ("QUAESTOR_DATABASE_URL", "QUAESTOR_DATABASE_PASSWORD_SECRET"):
        monkeypatch.setenv(name, told[name])
    found = wiring.load().config.database
    assert (found.url, found.password_secret) == ("postgresql://u@block/books", "database-password")
    assert "QUAESTOR_DATABASE_URL" not in wiring.runner_process(home).environment()


def test_a_folder_of_the_file_is_relative_to_the_file(home: Path, tmp_path: Path) -> None:
    assert wiring.Loaded(Config(), home / "quaestor.toml", home).resolve("strategies") == home / "strategies"
    assert wiring.Loaded(Config(), None, home).resolve("strategies") == wiring.ROOT / "strategies"
    assert wiring.Loaded(Config(), None, home).resolve(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("url", "password", "expected"),
    [
        pytest.param("postgresql://u@h:5/d", "p", "postgresql://u:p@h:5/d", id="put in"),
        pytest.param("postgresql://u:old@h/d", "new", "postgresql://u:new@h/d", id="put in its place"),
        pytest.param("postgresql://u:old@h/d", None, "postgresql://u:old@h/d", id="left as it is"),
        pytest.param("postgres://u@h/d", None, "postgresql://u@h/d", id="the short scheme"),
        pytest.param("postgresql://u@h/d", "p@:/%", "postgresql://u:p%40%3A%2F%25@h/d", id="quoted"),
        pytest.param("postgresql://u@h/d?host=/run&x=1", "p", "postgresql://u:p@h/d?host=/run&x=1", id="options stay"),
        pytest.param("postgresql://u@[::1]:5/d", "p", "postgresql://u:p@[::1]:5/d", id="an address of version 6"),
    ],
)
def test_the_password_goes_into_the_url(url: str, password: str | None, expected: str) -> None:
    assert with_password(url, password) == expected


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mysql://root:hunter2@h/d", id="another kind of database"),
        pytest.param("host=h user=u password=hunter2", id="libpq's other form"),
        pytest.param("postgresql://u:hun/ter2@h/d", id="a slash in the password"),
        pytest.param("sqlite:///hunter2.db", id="a file"),
    ],
)
def test_a_url_of_another_kind_is_refused_without_being_told_on(url: str) -> None:
    with pytest.raises(BadConfig, match="write postgresql://USER:PASSWORD@HOST:PORT/NAME") as caught:
        with_password(url, None)
    assert "ter2" not in str(caught.value)


def test_a_password_comes_out_of_a_url_as_it_went_in() -> None:
    url, password = without_password(with_password("postgresql://u@h:5/d?x=1", "p@:/%"))
    assert (url, password) == ("postgresql://u@h:5/d?x=1", "p@:/%")
    assert without_password("postgresql://u@h/d") == ("postgresql://u@h/d", None)


def test_a_folder_without_books_says_how_to_make_them(home: Path) -> None:
    loaded = wiring.Loaded(Config(), None, home)
    with (
        pytest.raises(PartMissing, match=r"There are no books in .* yet\. Run `quaestor db upgrade`"),
        wiring.uri(loaded),
    ):
        pass
    assert list(home.iterdir()) == [], "looking makes nothing"


def test_a_configured_server_is_not_started_or_stopped(home: Path) -> None:
    write(home, "own")
    with pytest.raises(BadConfig, match="there is no embedded server to start or stop"):
        wiring.embedded(wiring.load())
    with wiring.uri(wiring.load()) as found:
        assert found == "postgresql://file/books"


def test_a_plan_holds_the_chosen_strategies_and_its_digest_names_what_decides() -> None:
    config = Config()

    def made(cash: str = "100000", symbols: tuple[str, ...] = ("AAPL", "IBM")) -> wiring.Plan:
        return wiring.plan("paper", Decimal(cash), symbols, config.strategies, None, config.risk)

    plan = made()
    assert plan.mandate.weights == {"sma_crossover": 0.32, "momentum": 0.32, "rsi_reversion": 0.32}
    assert plan.mandate.digests == tuple(built.digest for built in plan.built)
    assert made("100000.00").digest == plan.digest
    assert made("99999").digest != plan.digest
    assert made(symbols=("AAPL",)).digest != plan.digest


TWO = """\
[[strategies.use]]
name = "momentum"
weight = 0.5

[[strategies.use]]
name = "sma_crossover"
weight = 0.5
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            TWO.replace("sma_crossover", "sma_crosover"),
            "6: Unknown strategy 'sma_crosover'. Did you mean 'sma_crossover'?",
            id="strategy",
        ),
        pytest.param(
            TWO + "parameters = { slow = 9, fats = 3 }\n",
            "8: Unknown parameter of sma_crossover 'fats'. Did you mean 'fast'?",
            id="parameter in one line",
        ),
        pytest.param(
            TWO + "[strategies.use.parameters]\nslow = 9\nfats = 3\n",
            "10: Unknown parameter of sma_crossover 'fats'. Did you mean 'fast'?",
            id="parameter in a table of its own",
        ),
        pytest.param(
            TWO + "parameters.fast = 1.5\n", "8: sma_crossover: fast = 1.5 is a float: give a whole", id="dotted"
        ),
        pytest.param(
            TWO + "parameters = { fast = 30, slow = 10 }\n",
            "8: sma_crossover: fast = 30, slow = 10: fast",
            id="refused",
        ),
        pytest.param(
            "[strategies]\nuse = [{ name = 'momentum', weight = 0.1 }, { name = 'momentun', weight = 0.1 }]\n",
            "2: Unknown strategy 'momentun'. Did you mean 'momentum'?",
            id="all in one line",
        ),
    ],
)
def test_a_strategy_that_cannot_be_built_is_refused_with_its_line(home: Path, text: str, said: str) -> None:
    file = home / "quaestor.toml"
    file.write_text(text)
    with pytest.raises(BadConfig) as raised:
        wiring.configured_plan(wiring.load())
    assert str(raised.value).startswith(f"{file}:{said}")
    assert len(str(raised.value).splitlines()) == 1


def test_without_a_file_the_key_says_where_a_strategy_is_named() -> None:
    chosen = StrategiesSection.model_validate({"use": [{"name": "momentun", "weight": 0.1}]})
    with pytest.raises(BadConfig, match=r"^strategies\.use\.0\.name: Unknown strategy 'momentun'\. Did you mean"):
        wiring.plan("paper", Decimal(1), ("AAPL",), chosen, None, Config().risk)


@pytest.mark.parametrize(
    ("text", "name", "timeframes", "per_second"),
    [
        pytest.param("", "recorded", ("1d",), None, id="recorded"),
        pytest.param("[market]\nsource = 'files'\nfolder = '.'", "files", ("1d", "1m", "5m", "1h"), None, id="files"),
        pytest.param(
            "[market]\nsource = 'alpaca'\n[alpaca]\nrequests_per_minute = 600",
            "alpaca",
            ("1m", "5m", "1h", "1d"),
            10,
            id="alpaca",
        ),
        pytest.param("[market]\nsource = 'robinhood'", "robinhood", ("5m", "1h", "1d"), 2, id="robinhood"),
    ],
)
def test_the_configured_source_says_what_it_can(
    home: Path, text: str, name: str, timeframes: tuple[str, ...], per_second: float | None
) -> None:
    (home / "quaestor.toml").write_text(text)
    source = wiring.configured_source(wiring.load())
    can = source.capabilities
    assert (source.name, can.timeframes, can.requests_per_second) == (name, timeframes, per_second)


@pytest.mark.parametrize(("market", "secret"), [("alpaca", "alpaca-key"), ("robinhood", "rh-paper-access")])
async def test_a_vendors_secret_is_fetched_when_it_is_used(home: Path, market: str, secret: str) -> None:
    file = home / "quaestor.toml"
    file.write_text(f"[market]\nsource = {market!r}\n[{market}]\nbase_url = 'http://127.0.0.1:9'\n")
    source = wiring.configured_source(wiring.load())
    today = dt.date.today()  # noqa: DTZ011 - any recent day
    with pytest.raises(NotFound, match=f"Unknown secret '{secret}'"):
        await source.history("AAPL", today, today)


def test_what_no_vendor_is_asked_for_imports_none() -> None:
    code = "import sys; from quaestor import wiring; wiring.source('recorded'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"alpaca", "robin_stocks", "requests", "starlette", "uvicorn"} & set(done.stdout.split())
