"""Configure the log on standard error, apart from the access log."""

from __future__ import annotations

import logging


def configure_logging() -> None:
    """Log plain lines to standard error; from libraries, only warnings and errors."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("alembic", "databases", "httpx", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("dotenv").setLevel(logging.ERROR)  # it warns of lines twice; the command says it once, with the file
