"""Alarms: which are on, which are silenced, and the log of notifications.

The clock "/alarm" counts the notifications, and its row is the lock for all three tables. No collection can have that name.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "alarms",
        sa.Column("group_name", TEXT, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("reading", sa.BigInteger, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
    )
    op.create_table(
        "silences",
        sa.Column("group_name", TEXT, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ends", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "notifications",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("moment", sa.BigInteger, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
    )
    op.execute("INSERT INTO clocks (name, last) VALUES ('/alarm', 0)")


def downgrade() -> None:
    for table in ("notifications", "silences", "alarms"):
        op.drop_table(table)
    op.execute("DELETE FROM clocks WHERE name = '/alarm'")
