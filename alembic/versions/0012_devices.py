"""Devices: their keys, the messages that they have sent, what they told of themselves, and commands for them.

Pairing codes are stored as digests only. The clock `/devices` is the revision by which every process notices that a device must
be told something or be cut off; the column `changed` holds the revision at which it was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("pairing", TEXT, unique=True),
        sa.Column("pairing_expires", sa.BigInteger),
        sa.Column("rotation", sa.BigInteger),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("connection", TEXT),
        sa.Column("connected", sa.BigInteger),
        sa.Column("seen", sa.BigInteger),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("software", sa.Text, nullable=False),
        sa.Column("displaced", sa.BigInteger),
    )
    op.create_index("devices_changed", "devices", ["changed"])
    op.create_table(
        "device_keys",
        sa.Column("public_key", TEXT, primary_key=True),
        sa.Column("device", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("deadline", sa.BigInteger),
    )
    op.create_index("device_keys_device", "device_keys", ["device"])
    _messages()
    op.create_table(
        "device_commands",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("device", TEXT, nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("output", sa.Text),
        sa.Column("updated", sa.BigInteger, nullable=False),
    )
    op.create_index("device_commands_device", "device_commands", ["device", "counter"])
    op.create_index("device_commands_state", "device_commands", ["state", "expires"])
    op.execute("INSERT INTO clocks (name, last) VALUES ('/devices', 0)")


def _messages() -> None:
    op.create_table(
        "device_messages",
        sa.Column("device", TEXT, primary_key=True),
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("moment", sa.BigInteger, nullable=False),
    )
    op.create_index("device_messages_moment", "device_messages", ["moment"])
    op.create_table(
        "device_records",
        sa.Column("device", TEXT, primary_key=True),
        sa.Column("kind", TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("moment", sa.BigInteger, nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("searched", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.execute("DELETE FROM clocks WHERE name = '/devices'")
    for table in ("device_commands", "device_records", "device_messages", "device_keys", "devices"):
        op.drop_table(table)
