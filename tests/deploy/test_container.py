"""The container's files fit the code: settings that exist, commands that parse, files that are there."""

from __future__ import annotations

import re
import tomllib

import pytest
import typer
from deploy.container import (
    DEPLOY,
    ROOT,
    command_of,
    compose,
    environment_of,
    image_command,
    instructions,
    last_stage,
)
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from watchkeeper.app.cli import cli
from watchkeeper.schemas.settings import PREFIX, SECTIONS, load

SERVICES = ("server", "dashboard")
VARIABLES = {
    f"{PREFIX}{section}_{name}".upper() for section, struct in SECTIONS.items() for name in struct.__struct_fields__
}


def parse(argv: list[str]) -> str:
    """Parse a command line with our own parser, without running it; give the command's name."""
    program, name, *rest = argv
    assert program.rpartition("/")[2] == "watchkeeper"
    group = typer.main.get_command(cli)
    command = group.get_command(group.make_context("watchkeeper", [], resilient_parsing=True), name)
    assert command is not None, f"there is no command {name}"
    command.make_context(name, list(rest))
    return name


def test_the_commands_parse():
    assert parse(image_command()) == "serve"
    assert [parse(command_of(service)) for service in SERVICES] == ["serve", "dashboard"]


def test_a_wrong_command_would_not_parse():
    with pytest.raises(Exception, match=r"(?i)no such option"):
        parse(["watchkeeper", "serve", "--no-such-option"])


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_setting(service):
    ours = {name for name in environment_of(service) if name.startswith(PREFIX)}
    assert ours
    assert ours <= VARIABLES


def test_the_server_listens_for_others_and_asks_for_a_key():
    settings, _ = load(None, environment_of("server"))
    assert settings.server.host == "0.0.0.0"
    assert settings.auth.api_key_file.startswith(settings.server.data_dir + "/")
    assert environment_of("dashboard")["WATCHKEEPER_AUTH_API_KEY_FILE"] == settings.auth.api_key_file


def test_compose_needs_nothing_and_publishes_on_this_machine_alone():
    text = (DEPLOY / "compose.yaml").read_text()
    assert "${" not in text
    file = compose()
    assert list(file["volumes"]) == ["data"]
    for service in SERVICES:
        part = file["services"][service]
        assert all(port.startswith("127.0.0.1:") for port in part["ports"])
        assert [mount.split(":")[:2] for mount in part["volumes"]] == [["data", "/data"]]
        assert part["restart"] == "unless-stopped"
        assert part["read_only"] is True
        assert part["healthcheck"]["test"][:3] == ["CMD", "python", "-c"]
        compile(part["healthcheck"]["test"][3], "healthcheck", "exec")
        assert (DEPLOY / part["build"]["context"]).resolve() == ROOT
        assert (ROOT / part["build"]["dockerfile"]).is_file()


def test_the_published_ports_are_those_that_the_commands_listen_on():
    settings, _ = load(None, environment_of("server"))
    services = compose()["services"]
    assert services["server"]["ports"] == [f"127.0.0.1:{settings.server.port}:{settings.server.port}"]
    assert settings.server.public_url == f"http://127.0.0.1:{settings.server.port}", "the pages know it as server"
    assert settings.server.dashboard_url == "http://127.0.0.1:8501"
    assert services["dashboard"]["ports"] == ["127.0.0.1:8501:8501"]
    assert f"http://server:{settings.server.port}" in services["dashboard"]["command"]


def test_the_image_runs_as_a_user_of_its_own_on_a_pinned_kind_of_base():
    assert ("USER", "watchkeeper") in last_stage()
    bases = [rest.split(" AS ")[0] for word, rest in instructions() if word == "FROM"]
    assert bases == ["docker.io/library/python:3.11-slim"] * 2


def test_everything_that_is_copied_is_there_and_passes_the_ignore_file():
    allowed = {
        line[1:] for line in (DEPLOY / "Containerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    for path in allowed:
        assert (ROOT / path).exists(), path
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["only-include"]) <= allowed
    copied = [rest.split()[0] for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    assert [path for path in copied if path != "." and path not in allowed] == []


def pins(path: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """The hashes of each pinned name and version; an extra or a marker makes no other package of it."""
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n?", "", (ROOT / path).read_text(), flags=re.MULTILINE))
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for entry in filter(None, map(str.strip, entries)):
        head, *hashes = re.split(r"\s*\\\n\s*", entry)
        requirement = Requirement(head)
        (version,) = requirement.specifier
        found[canonicalize_name(requirement.name), version.version] = tuple(sorted(hashes))
    return found


def test_the_image_installs_a_part_of_the_tested_pins():
    image, tested = pins("deploy/requirements.txt"), pins("requirements/all.txt")
    assert {pin: tested.get(pin) for pin in image} == image
    assert all(image.values())


def test_the_image_has_what_server_dashboard_and_postgresql_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        one for extra in ("dashboard", "postgres") for one in project["optional-dependencies"][extra]
    ]
    pinned = {name for name, _ in pins("deploy/requirements.txt")}
    assert {canonicalize_name(Requirement(one).name) for one in wanted} <= pinned
