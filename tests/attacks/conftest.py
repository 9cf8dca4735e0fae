"""An attack that does harm does so every time. A machine that runs other tests, too, may keep a bystander waiting once."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mount an attack once more that has exceeded a bound."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=[r"Damage\("]))
