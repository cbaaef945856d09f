"""TLS by configuration, with a CA and a certificate made here: every client of ours checks the server."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from e2e.running import Server, environment, run, until

from watchkeeper.app.tls import server_files
from watchkeeper.dashboard.client import Client, trusted
from watchkeeper.schemas.errors import SettingsError, Unavailable
from watchkeeper.schemas.settings import load


@dataclass(frozen=True)
class Pair:
    ca: Path
    certificate: Path
    key: Path


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_pair(folder: Path) -> Pair:
    """A CA of our own, and a server's certificate for 127.0.0.1 that it signed."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    request = ("req", *curve, "-subj", "/CN=watchkeeper test")
    ca_use = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(folder, *request, "-x509", "-days", "2", *ca_use, "-keyout", "ca.key", "-out", "ca.pem")
    openssl(folder, *request, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    signed = ("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl(folder, *signed, "-days", "2", "-copy_extensions", "copy", "-out", "server.pem")
    return Pair(folder / "ca.pem", folder / "server.pem", folder / "server.key")


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"))


class SecureServer(Server):
    """The same server, over HTTPS."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        super().__init__(
            folder,
            {
                "WATCHKEEPER_SERVER_TLS_CERT": str(pair.certificate),
                "WATCHKEEPER_SERVER_TLS_KEY": str(pair.key),
                "WATCHKEEPER_AUTH_API_KEY_FILE": str(folder / "key"),
            },
        )
        self.url = f"https://127.0.0.1:{self.port}"
        self.client.close()
        context = ssl.create_default_context(cafile=str(pair.ca))
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False, verify=context)


@pytest.fixture(scope="module")
def server(pair, tmp_path_factory):
    with SecureServer(tmp_path_factory.mktemp("secure"), pair) as secure:
        yield secure


def settings_of(server: Server, **more: str) -> dict[str, str]:
    return {"WATCHKEEPER_AUTH_API_KEY_FILE": str(server.log.parent / "key")} | more


def test_the_server_speaks_https_alone(server):
    assert server.client.get("/health").status_code == 200
    assert "listens on https://127.0.0.1" in server.log.read_text()
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.replace("https", "http") + "/health", trust_env=False)


def test_the_command_line_checks_the_server(server, pair):
    ca = settings_of(server, WATCHKEEPER_SERVER_TLS_CA=str(pair.ca))
    assert "FAIL  server" not in run("doctor", "--url", server.url, settings=ca).stdout
    unknown = run("doctor", "--url", server.url, settings=settings_of(server))
    assert unknown.returncode == 7
    assert "CERTIFICATE_VERIFY_FAILED" in unknown.stdout
    other_name = run("doctor", "--url", server.url.replace("127.0.0.1", "localhost"), settings=ca)
    assert "CERTIFICATE_VERIFY_FAILED" in other_name.stdout


def test_with_a_certificate_the_address_of_the_settings_is_https(server, pair):
    settings = settings_of(
        server,
        WATCHKEEPER_SERVER_TLS_CA=str(pair.ca),
        WATCHKEEPER_SERVER_TLS_CERT=str(pair.certificate),
        WATCHKEEPER_SERVER_PORT=str(server.port),
    )
    assert f"{server.url} answers" in run("doctor", settings=settings).stdout


def test_the_dashboard_checks_the_server(server, pair):
    key = (server.log.parent / "key").read_text().strip()
    client = Client(server.url, key, trusted(server.url, {"WATCHKEEPER_TLS_CA": str(pair.ca)}))
    assert client.status().accepted >= 0
    client.close()
    doubting = Client(server.url, key, trusted(server.url, {}))
    with pytest.raises(Unavailable):
        doubting.status()
    doubting.close()
    with pytest.raises(SettingsError, match="WATCHKEEPER_TLS_CA"):
        trusted(server.url, {"WATCHKEEPER_TLS_CA": str(pair.key)})


SEND = """
import watchkeeper_sdk as wk
client = wk.Client()
client.log_prediction(prediction=True, model="m")
client.flush(10)
"""


def test_the_sdk_checks_the_server(server, pair, tmp_path):
    """It sends where the CA is known; where it is not, nothing arrives."""
    key = (server.log.parent / "key").read_text().strip()
    said = {"WATCHKEEPER_URL": server.url, "WATCHKEEPER_API_KEY": key}

    def send(service: str, **more: str) -> None:
        spool = {"WATCHKEEPER_SPOOL_DIR": str(tmp_path / service)}
        given = environment(said | spool | {"WATCHKEEPER_SERVICE": service} | more)
        subprocess.run([sys.executable, "-c", SEND], env=given, check=True, timeout=90)

    send("known", SSL_CERT_FILE=str(pair.ca))
    send("unknown")
    headers = {"Authorization": f"Bearer {key}"}
    status = until(
        lambda: server.client.get("/v1/status", headers=headers).json(), lambda told: "known" in told["services"]
    )
    assert "unknown" not in status["services"]


def test_files_that_cannot_be_used_are_said_at_the_start(tmp_path, pair):
    settings = {"WATCHKEEPER_SERVER_TLS_CERT": str(pair.certificate), "WATCHKEEPER_SERVER_TLS_KEY": str(pair.ca)}
    refused = run("serve", "--port", "0", "--data-dir", tmp_path / "data", settings=settings)
    assert refused.returncode == 2
    assert refused.stderr.startswith("watchkeeper: ")
    assert "(server.tls_key)" in refused.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"key": "{key}"}, "server.tls_key is set, server.tls_cert is not"),
        ({"cert": "{certificate}"}, "(server.tls_cert)"),
        ({"cert": "{certificate}", "key": "{ca}"}, "(server.tls_key)"),
        ({"cert": "/nothing/here.pem"}, "No such file"),
    ],
)
def test_what_cannot_be_used_is_named(pair, settings, said):
    filled = {
        f"server.tls_{name}": value.format(ca=pair.ca, certificate=pair.certificate, key=pair.key)
        for name, value in settings.items()
    }
    with pytest.raises(SettingsError, match=re.escape(said)):
        server_files(load(None, {}, filled)[0].server)
