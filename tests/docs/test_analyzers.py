"""docs/analyzers.md is what ``python docs/regenerate.py`` makes of it."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_is_that_of_the_code():
    text = (DOCS / "analyzers.md").read_text()
    regenerated = runpy.run_path(str(DOCS / "regenerate.py"))["regenerated"]
    assert "| `data.missing` |" in text
    assert regenerated(text) == text, "run: python docs/regenerate.py"
