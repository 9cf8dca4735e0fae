"""Tombstones: documents that are removed for good leave one, so that followers of the collection are told.

A collection's clock says up to which `srvModified` its tombstones have been deleted. Before this revision there were none; that
counts as if all of them had been deleted.
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
