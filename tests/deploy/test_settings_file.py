"""The example settings file is usable as it is, and every default that it shows is the default."""

from __future__ import annotations

import re
import tomllib

from deploy.container import DEPLOY

from watchkeeper.schemas.settings import SECTIONS, Settings, load

FILE = DEPLOY / "watchkeeper.toml"


def test_it_loads_as_it_is():
    assert load(FILE, {})[0] == Settings()


def test_what_is_commented_out_is_the_default():
    shown = tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", FILE.read_text(), flags=re.MULTILINE))
    assert list(shown) == list(SECTIONS)
    for section, values in shown.items():
        assert values
        struct = SECTIONS[section]()
        assert values == {name: getattr(struct, name) for name in values}
