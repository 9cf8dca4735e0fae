"""Whether a subject's calls have to carry the client's time: `required`, or `optional` for a subject that is excused.

Subjects from before this revision are not excused.
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
