"""docs/cli.md has a section per command, with just the options that the command takes, and every exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from watchkeeper.app.cli import CHECK_FAILED, cli
from watchkeeper.schemas.errors import WatchkeeperError

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SECTIONS = {part.splitlines()[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}


def flat(commands: dict[str, Any], before: str = "") -> dict[str, Any]:
    """The commands in the order of the help; those of a group under both names."""
    found: dict[str, Any] = {}
    for name, command in commands.items():
        below = getattr(command, "commands", None)
        found |= flat(below, f"{before}{name} ") if below else {before + name: command}
    return found


COMMANDS = flat(typer.main.get_command(cli).commands)


def test_every_command_has_a_section_in_the_order_of_the_help():
    assert [name for name in SECTIONS if name != "Exit codes"] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_lists_what_the_command_takes(name):
    taken = [
        parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
        for parameter in COMMANDS[name].params
        if "--help" not in parameter.opts
    ]
    listed = re.findall(r"^\| `([^`]+)` \| .+ \|$", SECTIONS[name], re.MULTILINE)
    assert sorted(listed) == sorted(taken)


def errors(kind: type[WatchkeeperError]) -> Iterator[type[WatchkeeperError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from errors(below)


def test_every_exit_code_is_explained():
    listed = {int(code) for code in re.findall(r"^\| (\d) \| .+ \|$", SECTIONS["Exit codes"], re.MULTILINE)}
    ours = {kind.exit_code for kind in errors(WatchkeeperError) if kind.__module__ == WatchkeeperError.__module__}
    assert listed == {0, CHECK_FAILED} | ours
