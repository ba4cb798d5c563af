"""Migrations are numbered one after the other, so that the newest is known without importing Alembic."""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

from quaestor.doors.postgres import migrate


def test_the_newest_number_is_alembics_only_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.head()]
