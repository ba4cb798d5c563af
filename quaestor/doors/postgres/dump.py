"""The whole database as text: each row of each table of ours, for who looks for what should not be in it."""

from __future__ import annotations

from collections.abc import Iterator

from quaestor.doors.postgres.database import CONNECT_TIMEOUT, connecting

TABLES = """
select format('%I.%I', schemaname, tablename) as named from pg_tables
where schemaname not in ('pg_catalog', 'information_schema') order by 1
"""


def texts(uri: str) -> Iterator[tuple[str, bytes]]:
    """Each table's name and rows. Raises DatabaseDown, BadConfig."""
    import psycopg
    from psycopg import sql

    with connecting(uri), psycopg.connect(uri, connect_timeout=CONNECT_TIMEOUT) as line:
        for (named,) in line.execute(TABLES).fetchall():
            schema, _, table = named.partition(".")
            place = sql.Identifier(schema.strip('"'), table.strip('"'))
            with (
                line.cursor() as cursor,
                cursor.copy(sql.SQL("copy (select * from {}) to stdout").format(place)) as rows,
            ):
                yield f"table {named}", b"".join(bytes(each) for each in rows)
