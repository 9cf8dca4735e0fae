"""Types: mark documents whose `type` or `eventType` is a list, and index only documents that have a type.

The columns hold texts, but filters also match elements of lists. Hardly any document has such a list; with an index over those
that do, it is quick to find out that a collection has none. Entries without an `eventType` and treatments without a `type` are
left out of the index of that field.
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
TYPES = (("type", "type", "date"), ("event_type", "eventType", "created_at"))


def upgrade() -> None:
    op.add_column("documents", sa.Column("listed", sa.Boolean, nullable=False, server_default=sa.false()))
    is_list = IS_LIST[op.get_bind().dialect.name]
    for column, field, order in TYPES:
        op.execute(f"UPDATE documents SET listed = true WHERE {column} IS NULL AND {is_list.format(field=field)}")
        op.drop_index(f"documents_{column}", "documents")
        _index(column, ["collection", column, _nulls_first(order), "identifier"], f"{column} IS NOT NULL")
    _index("listed", ["collection"], "listed")


def downgrade() -> None:
    op.drop_index("documents_listed", "documents")
    for column, _, order in TYPES:
        op.drop_index(f"documents_{column}", "documents")
        op.create_index(f"documents_{column}", "documents", ["collection", column, _nulls_first(order), "identifier"])
    op.drop_column("documents", "listed")


def _index(name: str, columns: list[str | sa.TextClause], of: str) -> None:
    op.create_index(f"documents_{name}", "documents", columns, sqlite_where=sa.text(of), postgresql_where=sa.text(of))


def _nulls_first(column: str) -> sa.TextClause:
    return sa.text(f"{column} NULLS FIRST" if op.get_bind().dialect.name == "postgresql" else column)
