"""Passkeys of people. Challenges that were answered are stored among the nonces."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "passkeys",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_used", sa.BigInteger),
    )
    op.create_index("passkeys_person", "passkeys", ["person"])


def downgrade() -> None:
    op.drop_table("passkeys")
