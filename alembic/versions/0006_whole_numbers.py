"""Whole numbers: what is stored as `20.0` becomes `20`.

The documents are rewritten afterwards, in transactions of their own; see `apiv3.storage.rewriting`. The row that it begins
with counts how far it is.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("INSERT INTO clocks (name, last) VALUES ('/numbers', 0)")


def downgrade() -> None:
    op.execute("DELETE FROM clocks WHERE name = '/numbers'")
