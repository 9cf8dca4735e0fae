"""Indexes for searching the audit trail, and the removal of its old entries.

Entries of the last 90 days can still be neither changed nor removed.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INDEXES = {"audit_actor": ["actor_id"], "audit_target": ["target_id"], "audit_action": ["action", "outcome"]}
CHANGED = "the audit trail can only be added to"
YOUNG = "the audit trail can only be added to; entries can be removed after 90 days"
AGE = 90 * 86_400


def upgrade() -> None:
    for name, columns in INDEXES.items():
        op.create_index(name, "audit", [*columns, "id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_refuse ON audit")
        op.execute(
            "CREATE TRIGGER audit_refuse BEFORE UPDATE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
        )
        op.execute(
            f"CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF OLD.time > (extract(epoch FROM clock_timestamp()) - {AGE}) * 1000 THEN RAISE EXCEPTION '{YOUNG}'; END IF; "
            f"RETURN OLD; END $$"
        )
        op.execute("CREATE TRIGGER audit_keep BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_keep()")
    else:
        op.execute("DROP TRIGGER audit_refuse_delete")
        op.execute(
            f"CREATE TRIGGER audit_keep BEFORE DELETE ON audit WHEN OLD.time > (strftime('%s', 'now') - {AGE}) * 1000 "
            f"BEGIN SELECT RAISE(ABORT, '{YOUNG}'); END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_keep ON audit")
        op.execute("DROP FUNCTION audit_keep()")
        op.execute("DROP TRIGGER audit_refuse ON audit")
        op.execute(
            "CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
        )
    else:
        op.execute("DROP TRIGGER audit_keep")
        op.execute(f"CREATE TRIGGER audit_refuse_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{CHANGED}'); END")
    for name in INDEXES:
        op.drop_index(name, "audit")
