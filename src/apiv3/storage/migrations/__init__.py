"""Alembic's migrations, shipped inside the package; `apiv3 db upgrade` runs them."""
