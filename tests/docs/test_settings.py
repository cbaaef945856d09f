"""docs/settings.md names every setting with its true default and variable, and no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from watchkeeper.schemas.settings import PREFIX, SECTIONS

TEXT = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
ROW = re.compile(r"^\| `(\w+)\.(\w+)` \| `([^`]*)` \| `(\w+)` \| (.+) \|$", re.MULTILINE)


def test_every_setting_stands_in_its_section_with_its_default_and_variable():
    documented = []
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        heading = part.splitlines()[0]
        for section, name, default, variable, meaning in ROW.findall(part):
            assert section == heading
            assert len(meaning) > 10
            documented.append((section, name, tomllib.loads(f"x = {default}")["x"], variable))
    actual = [
        (section, name, getattr(struct(), name), f"{PREFIX}{section}_{name}".upper())
        for section, struct in SECTIONS.items()
        for name in struct.__struct_fields__
    ]
    assert documented == actual
