"""The Login channel: who is signed in, what is told of that, and the groups and organisational units of subjects.

The clock `/logins` is the number of the last event. The epoch is random, so that a number belongs to one database only.
"""

import json
import secrets
import uuid

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ADDED = ("groups", "ous")
SESSIONS = "SELECT digest, subject, nonce, way, address, begun FROM sessions WHERE ended IS NULL"


def upgrade() -> None:
    for name in ADDED:
        op.add_column("subjects", sa.Column(name, sa.Text, nullable=False, server_default="[]"))
    logins = op.create_table(
        "logins",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False, unique=True),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("nonce", TEXT, nullable=False),
        sa.Column("via", TEXT, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("rights", sa.Text),
    )
    op.create_index("logins_subject", "logins", ["subject"])
    op.create_index("logins_until", "logins", ["until"])
    op.create_table(
        "login_events",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("moment", sa.BigInteger, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("session", TEXT, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    epoch = op.create_table("login_epoch", sa.Column("value", TEXT, primary_key=True))
    op.bulk_insert(epoch, [{"value": secrets.token_hex(8)}])
    op.execute("INSERT INTO clocks (name, last) VALUES ('/logins', 0)")
    op.bulk_insert(logins, [_login(*row) for row in op.get_bind().execute(sa.text(SESSIONS))])


def _login(digest: str, subject: str, nonce: str, via: str, address: str, opened: int) -> dict[str, object]:
    """A session that is open already. The server tells of it at its next start, since it has no rights here."""
    name = str(uuid.uuid4())
    facts: dict[str, object] = {"session": name, "digest": digest, "address": address, "opened": opened, "via": via}
    facts |= {"expires": None, "ceilings": []}
    row = {"id": name, "digest": digest, "subject": subject, "nonce": nonce, "via": via, "until": None}
    return {**row, "facts": json.dumps(facts, separators=(",", ":")), "rights": None}


def downgrade() -> None:
    op.execute("DELETE FROM clocks WHERE name = '/logins'")
    for table in ("login_epoch", "login_events", "logins"):
        op.drop_table(table)
    for name in ADDED:
        op.drop_column("subjects", name)
