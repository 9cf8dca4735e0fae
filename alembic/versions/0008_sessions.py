"""Sessions of people, and the nonces of forms that were used.

The clock `/sessions` is the revision by which every process notices that a session has ended; the column `ended` holds the
revision at which it did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False, unique=True),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("nonce", TEXT, nullable=False),
        sa.Column("way", TEXT, nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("browser", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("begun", sa.BigInteger, nullable=False),
        sa.Column("authenticated", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
    )
    op.create_index("sessions_subject", "sessions", ["subject"])
    op.create_index("sessions_ended", "sessions", ["ended"])
    op.create_table(
        "nonces",
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("nonces_expires", "nonces", ["expires"])
    op.execute("INSERT INTO clocks (name, last) VALUES ('/sessions', 0)")


def downgrade() -> None:
    op.execute("DELETE FROM clocks WHERE name = '/sessions'")
    op.drop_table("nonces")
    op.drop_table("sessions")
