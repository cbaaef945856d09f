"""Reads the Containerfile and compose.yaml: what runs, with which environment."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Containerfile with its arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", " ", text)
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def image_environment() -> dict[str, str]:
    words = [word for name, rest in last_stage() if name == "ENV" for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def image_command() -> list[str]:
    (command,) = [rest for name, rest in last_stage() if name == "CMD"]
    return json.loads(command)


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def command_of(service: str) -> list[str]:
    """What a compose service runs: its own command, or that of the image."""
    return compose()["services"][service].get("command") or image_command()


def environment_of(service: str) -> dict[str, str]:
    """What a compose service sees: the image's environment, then its own."""
    return image_environment() | (compose()["services"][service].get("environment") or {})
