"""The command that starts the dashboard."""

from __future__ import annotations

import subprocess
import sys

from watchkeeper.dashboard import launch


def test_nothing_of_streamlit_is_imported_to_build_the_command() -> None:
    code = (
        "import sys; from watchkeeper.dashboard.launch import command; command('http://127.0.0.1:1');"
        "sys.exit(any(name.split('.')[0] in {'streamlit', 'pandas', 'httpx'} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_leaves_the_machine_and_no_file_is_watched() -> None:
    argv, _ = launch.command("http://127.0.0.1:8090", environ={})
    flags = dict(zip(argv[5::2], argv[6::2], strict=True))
    assert flags["--browser.gatherUsageStats"] == "false"
    assert flags["--server.fileWatcherType"] == "none"
    assert flags["--client.toolbarMode"] == "minimal"
    assert flags["--server.address"] == "127.0.0.1"


def test_the_key_is_not_in_the_command_line() -> None:
    argv, env = launch.command("http://127.0.0.1:8090", key="wk_secret", environ={"PATH": "/bin"})
    assert not any("wk_secret" in word for word in argv)
    assert env == {"PATH": "/bin", "WATCHKEEPER_URL": "http://127.0.0.1:8090", "WATCHKEEPER_API_KEY": "wk_secret"}


def test_a_key_file_is_handed_on_by_its_path() -> None:
    _, env = launch.command("http://127.0.0.1:8090", key_file="/run/key", environ={})
    assert env["WATCHKEEPER_API_KEY_FILE"] == "/run/key"


def test_a_ca_is_handed_on() -> None:
    _, env = launch.command("https://127.0.0.1:8090", tls_ca="/run/ca.pem", environ={})
    assert env["WATCHKEEPER_TLS_CA"] == "/run/ca.pem"


def test_the_looks_lie_beside_the_entry_script() -> None:
    assert launch.ENTRY.is_file()
    assert (launch.ENTRY.parent / ".streamlit" / "config.toml").is_file()
    assert (launch.ENTRY.parent / "icon.svg").is_file()
    assert not (launch.ENTRY.parent / "pages").exists(), "Streamlit would run its files alone, without the navigation"
