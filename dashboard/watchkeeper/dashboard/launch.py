"""How the dashboard is started: the command line and environment of one Streamlit process.

Imports nothing of Streamlit, so that building the command costs nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ENTRY = Path(__file__).with_name("app.py")
"""The script that Streamlit runs; ``.streamlit/config.toml`` beside it holds the looks, wherever it is started."""

OPTIONS = {
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "server.fileWatcherType": "none",
    "server.headless": "true",
    "server.runOnSave": "false",
    "server.showEmailPrompt": "false",
    "logger.level": "warning",
}
"""Given as flags, because flags win over every configuration file of the machine and the working directory."""


def command(
    url: str,
    host: str = "127.0.0.1",
    port: int = 8501,
    *,
    key: str | None = None,
    key_file: str | None = None,
    tls_ca: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Give argv and environment that show the server at ``url`` on ``host``:``port``.

    The key travels in the environment, never in argv, where every user of the machine could read it.

    >>> argv, env = command("http://127.0.0.1:8090", port=8600, environ={})
    >>> argv[1:4], argv[argv.index("--server.port") + 1], env["WATCHKEEPER_URL"]
    (['-m', 'streamlit', 'run'], '8600', 'http://127.0.0.1:8090')
    """
    options = {"server.address": host, "server.port": str(port), "browser.serverAddress": host} | OPTIONS
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    env = dict(os.environ if environ is None else environ)
    env["WATCHKEEPER_URL"] = url
    if key is not None:
        env["WATCHKEEPER_API_KEY"] = key
    if key_file is not None:
        env["WATCHKEEPER_API_KEY_FILE"] = key_file
    if tls_ca is not None:
        env["WATCHKEEPER_TLS_CA"] = tls_ca
    return [sys.executable, "-m", "streamlit", "run", str(ENTRY), *flags], env
