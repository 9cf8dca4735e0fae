"""Parts of the documentation's pages."""

import re


def section(page: str, heading: str) -> str:
    """A page's text from a heading of the second level to the next."""
    return re.split(r"^## ", page.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
