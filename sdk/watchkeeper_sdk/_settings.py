"""What the host asked for, with the environment behind it. Nothing here raises: it complains."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping


class Options(TypedDict, total=False):
    """What ``init`` takes beside ``url`` and ``service``; times in seconds."""

    api_key: str | None
    environment: str | None
    site: str | None
    flush_interval: float
    max_batch: int
    max_queue_events: int
    max_queue_bytes: int
    exit_timeout: float
    spool_dir: str | None
    max_spool_bytes: int
    max_spool_age: float
    sample_rate: float
    keep_errors: bool


@dataclass(frozen=True)
class Settings:
    """How one client behaves.

    Without a ``url`` nothing is sent: events stay in ``spool_dir`` for a forwarder, or, without one, nowhere at all.
    """

    url: str = ""
    service: str = "unnamed"
    api_key: str | None = field(default=None, repr=False)
    environment: str | None = None
    site: str | None = None
    flush_interval: float = 1.0
    max_batch: int = 500
    max_queue_events: int = 10_000
    max_queue_bytes: int = 32 * 2**20
    exit_timeout: float = 2.0
    spool_dir: str | None = None
    max_spool_bytes: int = 2**30
    max_spool_age: float = 7 * 86400.0
    sample_rate: float = 1.0
    keep_errors: bool = False

    def but(self, changed: Mapping[str, float]) -> Settings:
        """Give the same with some numbers changed."""
        return replace(self, **changed)  # pyright: ignore[reportArgumentType]  # names and types are the caller's

    def common(self, kind: str) -> dict[str, object]:
        """Fields that each event of this kind carries unless it brings its own."""
        if kind != "predictions":
            return {"service": self.service}
        named = {"service": self.service, "environment": self.environment, "site": self.site}
        return {name: value for name, value in named.items() if value}


def resolve(
    url: str | None, service: str | None, options: Options, env: Mapping[str, str] = os.environ
) -> tuple[Settings, list[str]]:
    """Which settings hold, and what is wrong with what was asked for?

    An argument goes before the environment. Without a usable URL the client stays off, unless a spool folder is named.

    >>> resolve("localhost:8090", "checkout", {}, env={})[1]
    ["url 'localhost:8090' cannot be used (it must begin with http:// or https://): nothing is sent"]
    """
    wanted = env.get("WATCHKEEPER_URL", "") if url is None else url
    # An URL that is given empty switches the client off, whatever the environment says.
    if not (wanted or options.get("spool_dir") or (url is None and env.get("WATCHKEEPER_SPOOL_DIR"))):
        return Settings(), []
    try:
        return _resolve(wanted, service or env.get("WATCHKEEPER_SERVICE"), options, env)
    except (TypeError, ValueError, AttributeError) as error:
        return Settings(), [f"init() cannot use its arguments ({error}): nothing is sent"]


def _resolve(url: str, service: str | None, options: Options, env: Mapping[str, str]) -> tuple[Settings, list[str]]:
    wrong = url and _wrong_with(url)
    if wrong:
        return Settings(), [f"url {url!r} cannot be used ({wrong}): nothing is sent"]
    complaints: list[str] = []
    unknown = sorted(options.keys() - Options.__annotations__)
    if unknown:
        complaints.append(f"init() does not know {', '.join(unknown)}: going on without")
    if not service:
        complaints.append("no service name: pass service= to init() or set WATCHKEEPER_SERVICE")
    rate = float(options.get("sample_rate", 1.0))
    if not 0.0 < rate <= 1.0:
        complaints.append(f"sample_rate {rate} is not over 0 and at most 1: every event is sent")
        rate = 1.0
    key = options.get("api_key") or env.get("WATCHKEEPER_API_KEY")
    path = env.get("WATCHKEEPER_API_KEY_FILE")
    if not key and path:
        from pathlib import Path  # noqa: PLC0415  # few need it, and it is slow to load

        try:
            key = Path(path).read_text("ascii")
        except (OSError, ValueError) as error:
            complaints.append(f"no API key, WATCHKEEPER_API_KEY_FILE cannot be read: {error}")
    settings = Settings(
        url=url.rstrip("/"),
        service=service or Settings.service,
        api_key=key.strip() if key else None,
        environment=options.get("environment"),
        site=options.get("site"),
        flush_interval=max(0.001, float(options.get("flush_interval", Settings.flush_interval))),
        max_batch=max(1, int(options.get("max_batch", Settings.max_batch))),
        max_queue_events=max(1, int(options.get("max_queue_events", Settings.max_queue_events))),
        max_queue_bytes=int(options.get("max_queue_bytes", Settings.max_queue_bytes)),
        exit_timeout=float(options.get("exit_timeout", Settings.exit_timeout)),
        spool_dir=options.get("spool_dir", env.get("WATCHKEEPER_SPOOL_DIR")),
        max_spool_bytes=max(1, int(options.get("max_spool_bytes", Settings.max_spool_bytes))),
        max_spool_age=float(options.get("max_spool_age", Settings.max_spool_age)),
        sample_rate=rate,
        keep_errors=bool(options.get("keep_errors", False)),
    )
    return settings, complaints


def _wrong_with(url: str) -> str | None:
    from urllib.parse import urlsplit  # noqa: PLC0415  # a client that is off never pays for it

    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in {"http", "https"}:
        return "it must begin with http:// or https://"
    return None if parts.hostname else "it names no host"
