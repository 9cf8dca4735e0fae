"""OAuth2: clients, what subjects allow them, and the tokens that this gives. Secrets are stored as digests only.

The clock `/grants` is the revision by which every process notices that a grant or a single token has ended; the columns `ended`
and `dropped` hold the revision at which it did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    _clients()
    _grants()
    _authorizations()
    op.execute("INSERT INTO clocks (name, last) VALUES ('/grants', 0)")


def _clients() -> None:
    op.create_table(
        "clients",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("secret", TEXT),
        sa.Column("redirects", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("grants", sa.Text, nullable=False),
        sa.Column("introspects", sa.Boolean, nullable=False),
        sa.Column("owner", TEXT),
    )


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("nonce", TEXT, nullable=False),
        sa.Column("way", TEXT, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("begun", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
    )
    for column in ("client", "subject", "expires", "ended"):
        op.create_index(f"grants_{column}", "grants", [column])
    op.create_table(
        "access_tokens",
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("grant_id", TEXT, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger),
    )
    op.create_index("access_tokens_expires", "access_tokens", ["expires"])
    op.create_index("access_tokens_dropped", "access_tokens", ["dropped"])
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("grant_id", TEXT, nullable=False),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("rotated", sa.BigInteger),
    )
    op.create_index("refresh_tokens_expires", "refresh_tokens", ["expires"])


def _authorizations() -> None:
    op.create_table(
        "authorization_requests",
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("session", TEXT, nullable=False),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("redirect", sa.Text, nullable=False),
        sa.Column("redirect_sent", sa.Boolean, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
        sa.Column("challenge", TEXT, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("authorization_requests_expires", "authorization_requests", ["expires"])
    op.create_index("authorization_requests_session", "authorization_requests", ["session"])
    op.create_table(
        "codes",
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("nonce", TEXT, nullable=False),
        sa.Column("redirect", sa.Text, nullable=False),
        sa.Column("redirect_sent", sa.Boolean, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("challenge", TEXT, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("grant_id", TEXT),
    )
    op.create_index("codes_expires", "codes", ["expires"])
    op.create_table(
        "device_codes",
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("user_code", TEXT, nullable=False, unique=True),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("polled", sa.BigInteger, nullable=False),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("subject", TEXT),
        sa.Column("nonce", TEXT),
        sa.Column("grant_id", TEXT),
    )
    op.create_index("device_codes_expires", "device_codes", ["expires"])
    op.create_table(
        "consents",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("client", TEXT, primary_key=True),
        sa.Column("scopes", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.execute("DELETE FROM clocks WHERE name = '/grants'")
    tables = ("consents", "device_codes", "codes", "authorization_requests", "refresh_tokens", "access_tokens", "grants")
    for table in (*tables, "clients"):
        op.drop_table(table)
