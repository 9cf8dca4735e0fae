"""Accounts of people, failed sign-ins, and the audit trail.

A person is a subject with an account. The audit trail can only be added to: triggers refuse to change or remove entries.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
REASON = "the audit trail can only be added to"


def upgrade() -> None:
    op.add_column("subjects", sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "accounts",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("email", TEXT, nullable=False),
        sa.Column("email_key", TEXT, nullable=False, unique=True),
        sa.Column("password", sa.Text),
        sa.Column("invitation", TEXT, unique=True),
        sa.Column("invitation_expires", sa.BigInteger),
    )
    op.create_table(
        "failures",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_index("failures_last", "failures", ["last"])
    op.create_table(
        "audit",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("actor_id", TEXT),
        sa.Column("actor_name", TEXT, nullable=False),
        sa.Column("way", TEXT, nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("target_kind", TEXT),
        sa.Column("target_id", TEXT),
        sa.Column("target_name", TEXT),
        sa.Column("target_email", TEXT),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index("audit_time", "audit", ["time"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{REASON}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
        )
    else:
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_refuse_{what.lower()} BEFORE {what} ON audit BEGIN SELECT RAISE(ABORT, '{REASON}'); END"
            )


def downgrade() -> None:
    for table in ("audit", "failures", "accounts"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_refuse()")
    op.drop_column("subjects", "disabled")
