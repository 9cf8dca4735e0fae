"""What was removed for good leaves a tombstone, so that those who follow a collection hear of it.

A collection's clock says up to where its tombstones have been thrown away. Before this revision there were none: so as if
all of them had been.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column("collection", TEXT, primary_key=True),
        sa.Column("srv_modified", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("identifier", TEXT, nullable=False),
    )
    op.add_column("clocks", sa.Column("forgotten", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE clocks SET forgotten = last WHERE name <> 'policy'")


def downgrade() -> None:
    op.drop_column("clocks", "forgotten")
    op.drop_table("tombstones")
