"""The house keeps its shape: names, lengths, READMEs, and nothing in it that names one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "store", "collector", "analyzers", "alerts", "dashboard", "app")
FOLDERS = (*ROOMS, "sdk", "tests", "deploy", "docs", "examples", "benchmarks")
MAX_LINES = 500
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}

REGISTRIES = ("pypi", "pythonhosted", "npmjs", "debian")
"""Spelled without their ends, so that this file does not name a host."""
MACHINE = re.compile("|".join([r"(?<![\w.~])/" + name + r"/\w" for name in ("root", "work", "home")]))
REGISTRY = re.compile(r"\b(?:[\w-]+\.)*(?:" + "|".join(REGISTRIES) + r")\.(?:org|com|io)\b")


def tracked() -> list[Path]:
    """Every file that is or would be committed."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


FILES = tracked()
TEXTS = [path for path in FILES if path.suffix not in {".png", ".parquet", ".gz", ".zst", ".woff2", ".ttf", ".pdf"}]


def relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_the_namespace_has_no_init():
    assert relative([path for path in FILES if path.parts[-2:] == ("watchkeeper", "__init__.py")]) == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_typed_and_its_package_holds_a_docstring_alone(room):
    package = ROOT / room / "watchkeeper" / room
    assert (package / "py.typed").is_file()
    assert [path.name for path in (ROOT / room / "watchkeeper").iterdir() if path.name != "__pycache__"] == [room]
    lines = [line for line in (package / "__init__.py").read_text().splitlines() if line.strip()]
    assert lines[0].startswith('"""')
    assert len(lines) <= 3


def test_the_sdk_is_typed():
    assert (ROOT / "sdk" / "watchkeeper_sdk" / "py.typed").is_file()


def test_no_source_file_is_long():
    sources = [path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in (*ROOMS, "sdk")]
    assert len(sources) > 50
    long = {str(path.relative_to(ROOT)): n for path in sources if (n := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_no_name_is_vague():
    names = {part.removesuffix(".py") for path in relative(FILES) for part in Path(path).parts}
    assert names & VAGUE == set()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_top_folder_says_what_it_is(folder):
    text = (ROOT / folder / "README.md").read_text()
    assert text.startswith(f"# {'watchkeeper-sdk' if folder == 'sdk' else folder}\n")
    assert len(text) > 100


def test_every_top_folder_is_known():
    found = {path.relative_to(ROOT).parts[0] for path in FILES if len(path.relative_to(ROOT).parts) > 1}
    assert {name for name in found if not name.startswith(".")} == {*FOLDERS, "requirements"}


@pytest.mark.parametrize(
    ("pattern", "bad", "good"),
    [
        (MACHINE, "see /ro" + "ot/x and /wo" + "rk/main", "a /workspace, http://127.0.0.1/work/x, ~/work/x"),
        (REGISTRY, "from https://files.pythonhosted" + ".org/x, py" + "pi.org", "pypi, docker.io/library, debian 12"),
    ],
    ids=["machine", "registry"],
)
def test_the_patterns_find_what_they_must(pattern, bad, good):
    assert len(pattern.findall(bad)) == 2
    assert pattern.findall(good) == []


@pytest.mark.parametrize("pattern", [MACHINE, REGISTRY], ids=["machine", "registry"])
def test_no_file_names_a_machine_or_a_registry(pattern):
    found = {
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if (match := pattern.search(line))
    }
    assert found == set()


def test_the_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changes = re.findall(r"^## \[(\d[\d.]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    from watchkeeper.app import __version__  # noqa: PLC0415

    assert (changes[0], __version__) == (project["version"], project["version"])
