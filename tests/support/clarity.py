"""Where a real export of Dexcom Clarity may lie: it is no part of the repository, since it is somebody's."""

from pathlib import Path

REAL_EXPORT = Path(__file__).parents[3] / "shared/data/dexcom-clarity-export.csv"
"""2,148 readings, beside the clone. Where there is none, the tests that would read it are not collected."""
