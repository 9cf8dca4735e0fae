"""Which documents have a list as their `type` or `eventType`: the columns hold texts only, a filter looks into lists too.

Hardly any document has; the index over them tells at once that a collection has none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IS_LIST = {
    "sqlite": "json_type(body, '$.{field}') = 'array'",
    "postgresql": "jsonb_typeof(body::jsonb -> '{field}') = 'array'",
}


def upgrade() -> None:
    op.add_column("documents", sa.Column("listed", sa.Boolean, nullable=False, server_default=sa.false()))
    is_list = IS_LIST[op.get_bind().dialect.name]
    for column, field in (("type", "type"), ("event_type", "eventType")):
        op.execute(f"UPDATE documents SET listed = true WHERE {column} IS NULL AND {is_list.format(field=field)}")
    listed = sa.text("listed")
    op.create_index("documents_listed", "documents", ["collection"], sqlite_where=listed, postgresql_where=listed)


def downgrade() -> None:
    op.drop_index("documents_listed", "documents")
    op.drop_column("documents", "listed")
