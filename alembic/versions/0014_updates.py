"""Software updates for devices: the apt repository as devices are told of it, and the versions that they are offered.

The column `device` of an offer is empty for an offer to all devices.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("suite", TEXT, primary_key=True),
        sa.Column("inrelease", sa.Text, nullable=False),
        sa.Column("signed_by", sa.Text, nullable=False),
        sa.Column("signed", sa.BigInteger, nullable=False),
        sa.Column("valid_until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "offers",
        sa.Column("package", TEXT, primary_key=True),
        sa.Column("device", TEXT, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
    )
    op.create_index("offers_device", "offers", ["device"])


def downgrade() -> None:
    op.drop_table("offers")
    op.drop_table("releases")
