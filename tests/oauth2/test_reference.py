"""The table of what the RFCs demand names tests that there are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| (\d{4}, .*?) \| (.*?) \| (.*?) \|$", (ROOT / "docs/reference/oauth2.md").read_text(), re.MULTILINE)


def test_each_row_names_a_test_that_there_is_or_a_reason() -> None:
    assert {rfc[:4] for rfc, _, _ in ROWS} == {
        *("6749", "6750", "7009", "7636", "7662", "8252", "8414", "8628", "9207", "9700")
    }
    missing = []
    for rfc, _, held in ROWS:
        for file, test in re.findall(r"`(?:([\w/]+\.py))(?:::(\w+))?`", held):
            path = ROOT / file if "/" in file else Path(__file__).parent / file
            names = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
            if test and test not in names:
                missing.append((rfc, test))
    assert missing == []
