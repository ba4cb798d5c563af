"""Orders with stops, pairs and replacements; every event in a chain of hashes; append-only tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What is hashed: the hash before and the event as text, apart by a unit separator; `audit.link` computes it anew.
CHAIN = (
    """
    create function link_event(new order_event, previous bytea) returns bytea language sql stable as $$
        select sha256(previous || convert_to(concat_ws(e'\\x1f',
            new.seq, new.ref_id, new.state, new.epoch, new.cause, coalesce(new.causation::text, ''), new.detail::text,
            to_char(new.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')), 'UTF8'))
    $$
    """,
    # one statement per event takes the chain's end, links the event to it and moves it: there are five for each order
    """
    create function chain_event() returns trigger language plpgsql as $$
    begin
        loop
            update chain c set seq = c.seq + 1, hash = sha256(c.hash || convert_to(concat_ws(e'\\x1f',
                c.seq + 1, new.ref_id, new.state, new.epoch, new.cause, coalesce(new.causation::text, ''),
                new.detail::text, to_char(new.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')), 'UTF8'))
            where account = new.account returning c.seq, c.hash into new.seq, new.hash;
            exit when found;
            insert into chain (account, seq, hash) values (new.account, 0, sha256(convert_to(new.account, 'UTF8')))
            on conflict do nothing;
        end loop;
        return new;
    end $$
    """,
    "create trigger chain before insert on order_event for each row execute function chain_event()",
    # a fill is an event of its order: the chain covers the money, too
    """
    create function log_fill() returns trigger language plpgsql as $$
    begin
        insert into order_event (account, ref_id, state, epoch, cause, causation, detail)
        select new.account, s.ref_id, s.state, s.epoch, 'fill',
               (select max(id) from order_event e where e.ref_id = s.ref_id),
               jsonb_build_object('execution_id', new.execution_id, 'quantity', new.quantity::text,
                                  'price', new.price::text, 'fee', new.fee::text)
        from order_state s where s.ref_id = new.ref_id;
        return null;
    end $$
    """,
    "create trigger log_fill after insert on fill for each row execute function log_fill()",
)
# Events from before the chain are linked as they stand, in the order in which they were written.
LINK = """
do $$
declare event order_event; head bytea; number bigint; whose text;
begin
    for whose in select distinct account from order_event loop
        head := sha256(convert_to(whose, 'UTF8'));
        number := 0;
        for event in select * from order_event where account = whose order by id loop
            number := number + 1;
            event.seq := number;
            head := link_event(event, head);
            update order_event set seq = number, hash = head where id = event.id;
        end loop;
        insert into chain (account, seq, hash) values (whose, number, head);
    end loop;
end $$
"""
LOGS = ("entry", "posting", "order_event", "fill", "intent", "decision", "refusal")  # nothing in them ever changes


def upgrade() -> None:
    """Add them."""
    op.add_column("intent", sa.Column("stop_price", sa.Numeric(20, 6), nullable=True))
    op.add_column("intent", sa.Column("oco", sa.String(), server_default="", nullable=False))
    op.add_column("intent", sa.Column("replaces", sa.Uuid(), nullable=True))
    op.add_column("signal", sa.Column("retracted", sa.Boolean(), server_default="false", nullable=False))
    op.drop_index("ix_order_state_open", "order_state")
    op.create_index(
        "ix_order_state_open",
        "order_state",
        ["state"],
        postgresql_where=sa.text("state not in ('filled','canceled','expired','expired_unsent','rejected')"),
    )
    op.create_index("ix_order_state_broker_id", "order_state", ["broker_id"])
    op.create_table(
        "chain",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_chain")),
        comment="The end of each account's chain of order events.",
    )
    _chain()
    for table in ("intent", "decision", "refusal"):
        op.execute(
            f"create trigger append_only before update or delete on {table} "
            "for each row execute function refuse_change()"
        )
    for table in LOGS:
        op.execute(
            f"create trigger never_emptied before truncate on {table} "
            "for each statement execute function refuse_change()"
        )


def _chain() -> None:
    for name, kind in (("account", sa.String()), ("seq", sa.BigInteger()), ("hash", sa.LargeBinary())):
        op.add_column("order_event", sa.Column(name, kind, nullable=True))
    op.add_column("order_event", sa.Column("causation", sa.BigInteger(), nullable=True))
    op.execute("alter table order_event disable trigger append_only")
    op.execute("update order_event e set account = i.account from intent i where i.ref_id = e.ref_id")
    op.execute(CHAIN[0])
    op.execute(LINK)
    op.execute("alter table order_event enable trigger append_only")
    for name in ("account", "seq", "hash"):
        op.alter_column("order_event", name, nullable=False)
    op.create_unique_constraint(op.f("uq_order_event_account_seq"), "order_event", ["account", "seq"])
    op.create_table_comment(
        "order_event",
        "Append-only: every transition and fill of every order; causation: the event it follows from. seq and hash "
        "come from a trigger: the chain of an account, each hash covering the one before.",
    )
    for statement in CHAIN[1:]:
        op.execute(statement)
