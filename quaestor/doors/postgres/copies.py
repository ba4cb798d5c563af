"""Databases as copies of a template, for rehearsals: made, slowed down and dropped on a server of our own."""

from __future__ import annotations

import time
from urllib.parse import urlsplit, urlunsplit

from quaestor.doors.postgres.database import connecting
from quaestor.errors import QuaestorError

TRIES, WAIT = 50, 0.1  # times; seconds


def named(uri: str, database: str) -> str:
    """The URI of another database of the same server."""
    return urlunsplit(urlsplit(uri)._replace(path=f"/{database}"))


def create(uri: str, database: str, template: str = "template1") -> None:
    """Make a database as a copy of another one, which nobody may use meanwhile."""
    _rule(uri, f'create database "{database}" template "{template}"')


def drop(uri: str, database: str) -> None:
    """Drop a database, whoever uses it; the server's own cleaners are waited for, they cannot be sent away."""
    from psycopg.errors import InsufficientPrivilege, ObjectInUse

    for left in reversed(range(TRIES)):
        try:
            _rule(uri, f'drop database "{database}" with (force)')
        except QuaestorError as error:
            if not left or not isinstance(error.__cause__, InsufficientPrivilege | ObjectInUse):
                raise
            time.sleep(WAIT)
        else:
            return


def slow(uri: str, seconds: float) -> None:
    """From now on the commit of an order's acknowledgement takes that long for each order."""
    _rule(uri, _SLOW.format(seconds=seconds))


def quick(uri: str) -> None:
    """Commits are as quick as ever."""
    _rule(uri, "drop function chaos_slow cascade")


def committing(uri: str) -> bool:
    """Whether such a commit is under way."""
    return _rule(uri, _COMMITTING)


_SLOW = """
create function chaos_slow() returns trigger language plpgsql as 'begin perform pg_sleep({seconds}); return null; end';
create constraint trigger chaos_slow after insert on order_event deferrable initially deferred
for each row when (new.state = 'acked') execute function chaos_slow()
"""
_COMMITTING = """
select from pg_stat_activity
where datname = current_database() and wait_event = 'PgSleep' and query ilike 'commit%'
"""


def _rule(uri: str, statement: str) -> bool:
    """Whether it found any row."""
    import psycopg

    with connecting(uri), psycopg.connect(uri, autocommit=True) as connection:
        return connection.execute(statement.encode()).rowcount > 0
