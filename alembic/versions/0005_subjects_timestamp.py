"""Subjects: add the column `timestamp`, whether calls must carry the client's time: `required` or `optional`.

It is `required` for subjects from before this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("subjects", sa.Column("timestamp", sa.Text, nullable=False, server_default="required"))


def downgrade() -> None:
    op.drop_column("subjects", "timestamp")
