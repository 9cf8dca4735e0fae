"""Whole numbers: begin to rewrite documents in which a whole number is stored as `20.0` instead of `20`.

The documents are rewritten after this migration, in separate transactions, see `apiv3.storage.rewriting`. The row that this
migration inserts records the progress.
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
