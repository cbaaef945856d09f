"""TLS by configuration: what the server shows, and whom its clients trust."""

from __future__ import annotations

import ssl

from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.settings import Server


def server_files(server: Server) -> tuple[str | None, str | None]:
    """Give the files of certificate and key; none where no certificate is set.

    Raises:
        SettingsError: certificate or key cannot be read, or do not belong together.

    """
    if not server.tls_cert:
        if server.tls_key:
            raise SettingsError("server.tls_key is set, server.tls_cert is not: set both, or none")
        return None, None
    key = server.tls_key or None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server.tls_cert, key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        where = f"{server.tls_cert} (server.tls_cert)" + (f" with {key} (server.tls_key)" if key else "")
        raise SettingsError(f"cannot use the certificate {where}: {reason}. It needs PEM files of one pair") from None
    return server.tls_cert, key


def trusted(url: str, ca: str) -> ssl.SSLContext | bool:
    """Give what a client checks a server with: the CA file, else those that this machine trusts."""
    if not url.startswith("https:"):
        return True
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read the certificates in {ca} (server.tls_ca): {error}") from None


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is there to type its password")
