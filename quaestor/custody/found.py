"""Secrets where they should not be: an old bot's names for them, in its .env or in the environment, and ours.

    ROBINHOOD_USERNAME, RH_PASSWORD, ROBINHOOD_TOTP …    rh-LOGIN-login, one JSON of the three
    ALPACA_API_KEY, APCA_API_SECRET_KEY …                what [alpaca] names
    DATABASE_URL, PGPASSWORD …                           the database's password
    OPENAI_API_KEY …                                     openai-api-key …

Two places that say different values for one secret are told of, and none of them is taken: which one the bot used is
not ours to guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from quaestor.config import Config
from quaestor.custody.checks import pasted
from quaestor.custody.envs import Binding
from quaestor.custody.login import Login
from quaestor.custody.naming import NAME
from quaestor.custody.tokens import Names
from quaestor.errors import BadInput

BROKER = ("ROBINHOOD", "RH", "ROBIN", "ROBIN_STOCKS", "ROBINSTOCKS")
LOGIN = {
    "username": "USERNAME USER USER_NAME EMAIL LOGIN",
    "password": "PASSWORD PASS PASSWD PWD PW",
    "totp": "TOTP TOTP_SECRET TOTP_SEED TOTP_KEY TOTP_CODE MFA MFA_SECRET MFA_SEED MFA_KEY MFA_TOKEN MFA_CODE "
    "2FA 2FA_SECRET 2FA_KEY 2FA_CODE OTP OTP_SECRET OTP_KEY QR QR_CODE TWO_FACTOR_SECRET",
}
ACCOUNT = "ACCOUNT ACCOUNT_NUMBER ACCOUNT_NO ACCOUNT_ID"
CRYPTO_KEY = "API_KEY CRYPTO_API_KEY CRYPTO_KEY"
CRYPTO_PRIVATE = "PRIVATE_KEY API_PRIVATE_KEY CRYPTO_PRIVATE_KEY CRYPTO_API_PRIVATE_KEY BASE64_PRIVATE_KEY"
ALPACA_KEY = "KEY KEY_ID API_KEY API_KEY_ID"
ALPACA_SECRET = "SECRET SECRET_KEY API_SECRET API_SECRET_KEY"  # noqa: S105  # names of variables, as all here
PASSWORDS = "PGPASSWORD PG_PASSWORD POSTGRES_PASSWORD POSTGRESQL_PASSWORD DB_PASSWORD DB_PASS DATABASE_PASSWORD"
URLS = (
    "DATABASE_URL DATABASE_DSN DB_URL DB_DSN POSTGRES_URL POSTGRES_DSN PG_DSN SQLALCHEMY_DATABASE_URI "
    "QUAESTOR_DATABASE_URL"
)
VENDORS = "OPENAI_API_KEY AZURE_OPENAI_API_KEY ANTHROPIC_API_KEY"
LOOKS = re.compile(r"(?i)(^|_)(key|token|secret|password|passwd|pass|pwd|credentials?|webhook(_url)?|dsn|seed|totp)$")
EXAMPLE = re.compile(r"(?i)(your[_ -].*|change[_ -]?me.*|replace[_ -]?me.*|x{3,}|<.*>|\.{3}|todo)")
URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://[^/@:\s]*:(?P<password>[^/@?#\s]+)@[^@]*")


@dataclass(frozen=True)
class Variable:
    """A variable, and where it stands: `/bot/.env:3`, or `environment`."""

    name: str
    value: str = field(repr=False)
    where: str
    binding: Binding | None = None  # of a file


@dataclass(frozen=True)
class Find:
    """A secret of ours that variables say, or the problem that keeps it from being one."""

    secret: str
    variables: tuple[Variable, ...]
    value: str = field(default="", repr=False)
    problem: str = ""
    cure: str = ""

    @property
    def of_url(self) -> frozenset[str]:
        """Variables that say more than the secret, which a person must write anew."""
        return frozenset(one.name for one in self.variables if one.name.upper() in URLS.split())

    def is_in(self, stored: str) -> bool:
        """Whether the vault's value says what was found."""
        if stored == self.value:
            return True
        try:
            here, there = Login.read(self.value), Login.read(stored)
        except BadInput:
            return False
        return (here.username, here.password) == (there.username, there.password) and here.totp in {"", there.totp}


def targets(config: Config) -> dict[str, str]:
    """Names of variables, in capitals, and whose they are: a secret of ours, or login:FIELD."""
    login, crypto = Names(config.robinhood.login or config.account.alias), config.robinhood_crypto
    known = {f"{prefix}_{end}": f"login:{part}" for part, ends in LOGIN.items() for prefix, end in _each(BROKER, ends)}
    for prefixes, ends, secret in (
        (BROKER, ACCOUNT, login.account),
        (BROKER, CRYPTO_KEY, crypto.key_secret),
        (BROKER, CRYPTO_PRIVATE, crypto.private_key_secret),
        (("ALPACA", "APCA"), ALPACA_KEY, config.alpaca.key_secret),
        (("ALPACA", "APCA"), ALPACA_SECRET, config.alpaca.secret_secret),
    ):
        known |= {f"{prefix}_{end}": secret for prefix, end in _each(prefixes, ends)}
    known |= dict.fromkeys((*PASSWORDS.split(), *URLS.split()), config.database.password_secret or "database-password")
    return known | {name: our_name(name) for name in VENDORS.split()}


def our_name(variable: str) -> str:
    """How a vault may call it."""
    return re.sub(r"[^0-9a-z]+", "-", variable.lower()).strip("-")


def finds(variables: Iterable[Variable], config: Config, mapped: Mapping[str, str]) -> list[Find]:
    """Secrets that variables say, by our names; `mapped`: variables that a person says the secret of."""
    known, whose = targets(config), dict[str, list[Variable]]()
    for one in variables:
        target = mapped.get(one.name) or known.get(one.name.upper())
        if target and one.value and _has_secret(one, mapped):
            whose.setdefault(target, []).append(one)
    login = {key.partition(":")[2]: whose.pop(key) for key in sorted(whose) if key.startswith("login:")}
    found = [_find(secret, said) for secret, said in whose.items()]
    name = Names(config.robinhood.login or config.account.alias).login
    return sorted([*found, *([_login(name, login)] if login else [])], key=lambda find: find.secret)


def unclear(variables: Sequence[Variable], config: Config, mapped: Mapping[str, str]) -> list[Variable]:
    """Variables of a file that look like secrets, and whose they are is not known."""
    known = targets(config)
    return [
        one
        for one in variables
        if one.binding and one.value and LOOKS.search(one.name) and not {one.name, one.name.upper()} & {*mapped, *known}
    ]


def _each(prefixes: Iterable[str], ends: str) -> Iterator[tuple[str, str]]:
    return ((prefix, end) for prefix in prefixes for end in ends.split())


def _has_secret(one: Variable, mapped: Mapping[str, str]) -> bool:
    """A URL may have no password, or be that of a file."""
    return (
        one.name in mapped
        or one.name.upper() not in URLS.split()
        or bool(re.match(r"postgres[^/]*://[^@]*:[^@]+@", one.value))
    )


def _find(secret: str, said: Sequence[Variable]) -> Find:
    values = {_plain(one) for one in said}
    if problem := _problem(said, values) or ("" if NAME.fullmatch(secret) else "no vault takes that name"):
        return Find(secret, tuple(said), problem=problem, cure=_cure(secret))
    return Find(secret, tuple(said), values.pop() or "")


def _login(secret: str, parts: Mapping[str, Sequence[Variable]]) -> Find:
    said = tuple(one for part in LOGIN for one in parts.get(part, ()))
    values = {part: {_plain(one) for one in ones} for part, ones in parts.items()}
    problem = next(filter(None, (_problem(parts[part], values[part]) for part in parts)), "")
    totp = re.sub(r"[\s-]", "", next(iter(values.get("totp", {""}))) or "").upper()
    if missing := [part for part in ("username", "password") if part not in parts]:
        problem = problem or f"the {missing[0]} is not there"
    if re.fullmatch(r"\d{6,8}", totp):
        problem = problem or "a code that works once stands where the seed of all codes should"
    elif not re.fullmatch(r"([A-Z2-7]{16,}=*)?", totp):
        problem = problem or "the TOTP seed is no base32 text"
    if not NAME.fullmatch(secret):
        return Find(secret, said, problem="no vault takes that name", cure="Set [robinhood] login in quaestor.toml.")
    if problem:
        return Find(secret, said, problem=problem, cure=_cure(secret))
    return Find(secret, said, Login(values["username"].pop() or "", values["password"].pop() or "", totp).as_text())


def _cure(secret: str) -> str:
    return f"Correct it where it stands, or store it by hand: `quaestor secrets set {secret}`."


def _problem(said: Sequence[Variable], values: set[str | None]) -> str:
    """Why these are not taken."""
    if len(values) > 1:
        return f"{', '.join(dict.fromkeys(one.name for one in said))}: its places say different values"
    value = next(iter(values))
    if value is None:
        return "the URL cannot be understood; write @ / ? # of its password as %40 %2F %3F %23"
    if re.search(r"\$\{", value) and any(one.binding for one in said):
        return "it is put together of other variables (${…})"
    if EXAMPLE.fullmatch(value):
        return "it looks like an example"
    wrong = pasted(value)
    return wrong or ""


def _plain(one: Variable) -> str | None:
    """The secret that a variable says; None where its URL cannot be read."""
    if one.name.upper() not in URLS.split() or not one.value.startswith("postgres"):
        return one.value
    found = URL.fullmatch(one.value)
    return _unquoted(found["password"]) if found else None


def _unquoted(text: str) -> str:
    pairs = re.sub(
        rb"%([0-9A-Fa-f]{2})", lambda pair: bytes([int(pair[1], 16)]), text.encode("utf-8", "surrogateescape")
    )
    return pairs.decode("utf-8", "surrogateescape")
