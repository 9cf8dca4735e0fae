"""Documents with their clocks; subjects and roles.

Texts are sorted by their code points on both databases, so PostgreSQL's text columns use the collation "C". Nulls come first in
ascending order, as SEARCH requires and SQLite does by default.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite generates the values of an INTEGER PRIMARY KEY


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("collection", TEXT, nullable=False),
        sa.Column("identifier", TEXT, nullable=False),
        sa.Column("identified", sa.Boolean, nullable=False),
        sa.Column("valid", sa.Boolean, nullable=False),
        sa.Column("srv_modified", sa.BigInteger, nullable=False),
        sa.Column("srv_created", sa.BigInteger, nullable=False),
        sa.Column("date", sa.BigInteger),
        sa.Column("created_at", TEXT),
        sa.Column("type", TEXT),
        sa.Column("event_type", TEXT),
        sa.Column("body", sa.Text, nullable=False),
    )
    nulls = " NULLS FIRST" if op.get_bind().dialect.name == "postgresql" else ""
    date, created_at = sa.text(f"date{nulls}"), sa.text(f"created_at{nulls}")
    op.create_index("documents_identifier", "documents", ["collection", "identifier"], unique=True)
    op.create_index("documents_srv_modified", "documents", ["collection", "srv_modified"], unique=True)
    op.create_index("documents_date", "documents", ["collection", date, "identifier"])
    op.create_index("documents_created_at", "documents", ["collection", created_at, "identifier"])
    op.create_index("documents_type", "documents", ["collection", "type", date, "identifier"])
    op.create_index("documents_event_type", "documents", ["collection", "event_type", created_at, "identifier"])

    # A row for each collection with its last srvModified, and the row "policy", which counts changes of subjects and roles.
    clocks = op.create_table(
        "clocks",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(clocks, [{"name": "policy", "last": 1}])

    op.create_table(
        "subjects",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("nonce", sa.Text, nullable=False),
    )
    op.create_table(
        "roles",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for table in ("roles", "subjects", "clocks", "documents"):
        op.drop_table(table)
