"""An entry's balance is proved once for all that a statement writes, not once for each of its postings."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STATEMENTS = (
    "drop trigger balance on posting",
    """
    create or replace function check_balance() returns trigger language plpgsql as $$
    declare wrong record;
    begin
        select entry_id, total into wrong
        from (select distinct entry_id from written) w,
            lateral (select sum(amount) as total from posting p where p.entry_id = w.entry_id) s
        where total <> 0 limit 1;
        if found then
            raise exception 'entry % does not balance: its postings sum to %', wrong.entry_id, wrong.total;
        end if;
        return null;
    end $$
    """,
    """
    create trigger balance after insert on posting referencing new table as written
    for each statement execute function check_balance()
    """,
)
POSTING = (
    "Debits positive; a trigger refuses an entry whose postings do not sum to zero. lot_id: the lot that "
    "changes, or whose sale was realized; empty in entries from before 0006."
)


def upgrade() -> None:
    """Another trigger in the place of the deferred one: postings of an entry come in one statement."""
    for statement in STATEMENTS:
        op.execute(statement)
    op.create_table_comment("posting", POSTING)
