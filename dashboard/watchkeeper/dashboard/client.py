"""What the dashboard asks of the server: one HTTP client, typed answers, errors that say what to do next.

Every answer is decoded straight into the frozen rows of ``rows.py``.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar, cast
from urllib.parse import quote

import httpx
import msgspec

from watchkeeper.dashboard import judged, promises, rows, told
from watchkeeper.schemas.access import ON_BEHALF_OF
from watchkeeper.schemas.errors import InputError, NotAllowed, NotFound, SettingsError, Unavailable, WatchkeeperError

DEFAULT_URL = "http://127.0.0.1:8090"
TIMEOUT = httpx.Timeout(20.0, connect=2.0)
PAGE_TIMEOUT = httpx.Timeout(330.0, connect=2.0)
AT_ONCE = 8
"""How many questions of one page travel at the same time."""

T = TypeVar("T")
P = ParamSpec("P")


Asked = Mapping[str, str | int | datetime | None]
"""The parameters of a question; what is None is left out."""


def server_url(environ: Mapping[str, str] = os.environ) -> str:
    """Where the server is: WATCHKEEPER_URL, or the loopback default.

    >>> server_url({"WATCHKEEPER_URL": "http://127.0.0.1:9000/"})
    'http://127.0.0.1:9000'
    """
    return environ.get("WATCHKEEPER_URL", "").strip().rstrip("/") or DEFAULT_URL


def server_key(environ: Mapping[str, str] = os.environ) -> str | None:
    """Give the bearer key: WATCHKEEPER_API_KEY, else the content of the file WATCHKEEPER_API_KEY_FILE, else none."""
    key = environ.get("WATCHKEEPER_API_KEY", "").strip()
    file = environ.get("WATCHKEEPER_API_KEY_FILE", "").strip()
    if key or not file:
        return key or None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise SettingsError(
            f"WATCHKEEPER_API_KEY_FILE names {file}, which cannot be read ({error.strerror}): "
            "correct the path or unset it"
        ) from error


def trusted(url: str, environ: Mapping[str, str] = os.environ) -> ssl.SSLContext | bool:
    """Give what the server is checked with: the CA file WATCHKEEPER_TLS_CA, else those that this machine trusts."""
    file = environ.get("WATCHKEEPER_TLS_CA", "").strip()
    if not url.startswith("https:"):
        return True
    try:
        return ssl.create_default_context(cafile=file or None)
    except (OSError, ValueError) as error:
        raise SettingsError(f"WATCHKEEPER_TLS_CA names {file}, which holds no certificates: {error}") from error


class Client:
    """Ask one server. Safe to share between threads; keep it as long as the process."""

    def __init__(self, url: str, key: str | None = None, verify: ssl.SSLContext | bool = True) -> None:
        self.url = url
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False, verify=verify)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dashboard-query")

    def close(self) -> None:
        """Let the connections go."""
        self._pool.shutdown(wait=False)
        self._http.close()

    def later(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Ask beside other questions; ``result()`` waits, and raises what went wrong."""
        return self._pool.submit(call, *args, **kwargs)

    def status(self) -> rows.Status:
        """What was taken in, up to when it is complete, and the server's clock."""
        return self._get("/v1/status", rows.Status)

    def telemetry(self) -> rows.Telemetry:
        """What clients logged against what arrived, and who is silent."""
        return self._get("/v1/telemetry", rows.Telemetry)

    def slos(self) -> promises.Slos:
        """How every objective stands, the worst first."""
        return self._get("/v1/slos", promises.Slos)

    def rejects(self) -> rows.Rejects:
        """What was turned away, by reason."""
        return self._get("/v1/rejects", rows.Rejects, {"limit": 1})

    def declared(self) -> rows.Declared:
        """Systems, objectives and prices in force."""
        return self._get("/v1/declared", rows.Declared)

    def incidents(self, state: str = "open", service: str | None = None) -> tuple[rows.Incident, ...]:
        """Incidents of a state: open, resolved or all."""
        return self._get("/v1/incidents", rows.Incidents, {"state": state, "service": service}).incidents

    def incident(self, incident: str) -> rows.IncidentStory:
        """One incident with findings, timeline and deliveries; NotFound if there is none of that id."""
        return self._get(f"/v1/incidents/{quote(incident, safe='')}", rows.IncidentStory)

    def why(self, incident: str) -> told.Why:
        """Why people were told of one incident, or were not."""
        return self._get(f"/v1/incidents/{quote(incident, safe='')}/why", told.Why)

    def alert_quality(self) -> tuple[judged.AnalyzerQuality, ...]:
        """How useful the alerts of each analyzer were."""
        return self._get("/v1/alerts/quality", judged.Qualities).analyzers

    def prediction(self, prediction: str) -> dict[str, object]:
        """The whole story of one decision; NotFound if it is not (or no longer) stored."""
        return self._get(f"/v1/predictions/{quote(prediction, safe='')}", dict[str, object])

    def query(self, row: type[T], name: str, params: Asked) -> tuple[T, ...]:
        """Run one named query; its rows come back as ``row``."""
        kind: type[rows.Answer[T]] = rows.Answer[row]  # pyright: ignore[reportInvalidTypeForm]  # made at run time
        return self._get(f"/v1/queries/{name}", kind, params).rows

    def evidently_page(self, service: str, model: str, start: datetime, end: datetime) -> bytes:
        """Let the server make Evidently's page of a window: it takes up to minutes."""
        asked = {"service": service, "model": model, "start": start, "end": end}
        return self._send("GET", "/v1/evidently/page", params=asked, timeout=PAGE_TIMEOUT)

    def acknowledge(self, incident: str, by: str | None) -> None:
        """Say that someone looks after it."""
        self._send("POST", f"/v1/incidents/{quote(incident, safe='')}/acknowledge", body={"by": by}, by=by)

    def feedback(self, incident: str, word: str, reason: str | None, by: str | None) -> None:
        """Say whether it was any use: acted_on, known, noise or wrong_threshold."""
        body = {"word": word, "reason": reason, "by": by}
        self._send("POST", f"/v1/incidents/{quote(incident, safe='')}/feedback", body=body, by=by)

    def _get(self, path: str, kind: type[T], params: Asked | None = None) -> T:
        content = self._send("GET", path, params=params)
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"`{self.url}{path}` answered something that is not understood ({error}): "
                "is it a Watchkeeper server of this release?"
            ) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Asked | None = None,
        body: Mapping[str, str | None] | None = None,
        by: str | None = None,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> bytes:
        asked = {name: _text(value) for name, value in (params or {}).items() if value is not None}
        try:
            acting = {ON_BEHALF_OF: quote(by, safe="")} if by else None
            response = self._http.request(method, path, params=asked, json=body, headers=acting, timeout=timeout)
        except httpx.TimeoutException as error:
            raise Unavailable(f"the server at `{self.url}` did not answer in time: it may be busy loading") from error
        except httpx.HTTPError as error:
            raise Unavailable(
                f"no server answers at `{self.url}`: start it with `watchkeeper serve`, "
                "or set WATCHKEEPER_URL to where it runs"
            ) from error
        if response.is_success:
            return response.content
        raise _refusal(self.url, path, response)


def _text(value: str | int | datetime) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _refusal(url: str, path: str, response: httpx.Response) -> WatchkeeperError:
    """Turn an answer that is not a success into the error that tells the reader what to do."""
    said = _said(response)
    code = response.status_code
    if code in {401, 403}:
        return NotAllowed(
            f"the server at `{url}` does not take this key (HTTP {code}): "
            "set WATCHKEEPER_API_KEY or WATCHKEEPER_API_KEY_FILE for the dashboard and start it again"
        )
    if code == 404:
        return NotFound(said or f"`{path}` is not on the server at `{url}`")
    if code < 500 and code != 429:
        return InputError(f"the server at `{url}` refused `{path}` (HTTP {code}): {said or 'no reason given'}")
    return Unavailable(f"the server at `{url}` cannot answer `{path}` now (HTTP {code}): {said or 'see its log'}")


def _said(response: httpx.Response) -> str:
    """Give the server's own sentence, whichever way it is wrapped."""
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return ""
    if not isinstance(body, dict):
        return ""
    words = cast("dict[str, object]", body)
    for name in ("reason", "detail", "message", "error", "title"):
        if isinstance(said := words.get(name), str):
            return said
    return ""
