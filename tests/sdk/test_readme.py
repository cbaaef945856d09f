"""What the README says runs, and the reasons that it lists are those that exist."""

from __future__ import annotations

import re
from pathlib import Path

import watchkeeper_sdk
from watchkeeper_sdk._settings import Options

HOME = Path(watchkeeper_sdk.__file__).parent
README = (HOME.parent / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_three_lines_are_three_and_run(sink, python):
    assert len([line for line in EXAMPLES[0].splitlines() if line]) == 3
    python(EXAMPLES[0].replace("http://127.0.0.1:8090", sink.url))
    [row] = sink.rows()
    assert row["service"] == "checkout"
    assert row["features"] == {"amount": 12.5, "country": "DE"}


def test_all_examples_run_in_a_row(sink, python):
    python("".join(EXAMPLES).replace("http://127.0.0.1:8090", sink.url))
    assert [row["model"] for row in sink.rows()] == ["fraud", "support-bot", "gpt-4o"]
    assert sink.rows()[2]["tokens"] == {"input": 20, "cache_read": 80, "cache_write": 0, "output": 9, "reasoning": 0}
    for outcome in sink.rows("outcomes"):
        assert outcome["prediction_id"] == sink.rows()[0]["id"]
        assert outcome["prediction_ts"] == sink.rows()[0]["ts"]
    assert len(sink.rows("outcomes")) == 2


def test_every_reason_is_explained():
    source = "".join(path.read_text() for path in HOME.glob("*.py"))
    used = set(re.findall(r'(?:_lose|drop|finish)\("([a-z_]+)"', source))
    used |= set(re.findall(r'_give_up\(.*"([a-z_]+)", ', source))
    used |= set(re.findall(r'return "(queue_[a-z]+)"', source))
    assert {"refused", "sender_error", "spool_full", "queue_full", "invalid_call"} < used
    assert used == {
        name
        for line in README.splitlines()
        if re.match(r"\| `[a-z_]+`.* \| (found|came|can|was)", line)
        for name in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    }


def test_every_setting_is_explained():
    for name in Options.__annotations__:
        assert f"`{name}`" in README, name
