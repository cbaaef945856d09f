from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alerts.samples import sqlite_control

from watchkeeper.store.control.connection import Control


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    opened = sqlite_control(tmp_path)
    yield opened
    opened.close()
