"""Text of the operator's own in place of ours. A template that fails in any way costs nobody the message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from watchkeeper.alerts.messages.notification import Alert, Notification
from watchkeeper.alerts.messages.wording import one_line
from watchkeeper.schemas.declared import Template
from watchkeeper.schemas.findings import Severity

SECONDS = 10.0
TITLE_LENGTH = 200
WORKER = "watchkeeper.alerts.messages.template_worker"
HIDDEN = ("receipt",)
PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SYSTEMROOT")
"""What of the environment the worker sees: it holds secrets."""

_AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
SAMPLE = Notification(
    key="sample",
    receiver="sample",
    transition="fired",
    incident_id="0123456789abcdef-1",
    service="service",
    model="model",
    severity=Severity.PAGE,
    title="PAGE service: a sample",
    text="PAGE service: a sample\nThis is how a message looks.",
    subjects=("subject",),
    new=("0123456789abcdef",),
    alerts=(
        Alert(
            "0123456789abcdef", "analyzer", "metric", "subject", Severity.PAGE, "a sample", "Measured: 1.", _AT, None
        ),
    ),
    at=_AT,
    evidence_url="http://127.0.0.1/incident",
    external_url="http://127.0.0.1",
    owner="owner",
    contact="#contact",
    runbook="http://127.0.0.1/runbook",
    fallback="fallback",
)
"""What a template is tried on when it is declared."""


def applied(template: Template | None, notification: Notification) -> tuple[Notification, str]:
    """Give the message with the template's text, and what went wrong, where plain text had to do."""
    if template is None:
        return notification, ""
    rendered, problem = _render(template, notification)
    if problem:
        return notification, f"the template failed ({problem}): sent as plain text"
    head, _, body = notification.text.partition("\n")
    title = one_line(rendered.get("title", notification.title), TITLE_LENGTH) or notification.title
    if notification.late_seconds and "late" not in title:
        title = f"{head.split('] ')[0]}] {title}"  # how late it is is not the template's to leave out
    text = rendered.get("text", body).strip() or body
    return replace(notification, title=title, text=f"{title}\n{text}"), ""


def problem_of(template: Template | None) -> str | None:
    """Say why a template cannot be used, found by trying it."""
    if template is None:
        return None
    if template.title is None and template.text is None:
        return "a template has a title or a text"
    _, problem = _render(template, SAMPLE)
    return f"template {problem}" if problem else None


def _render(template: Template, notification: Notification) -> tuple[dict[str, str], str]:
    """Render in a process that may be killed without harm."""
    wanted = {name: source for name, source in (("title", template.title), ("text", template.text)) if source}
    values = {name: value for name, value in _values(notification).items() if name not in HIDDEN}
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command = [sys.executable, "-m", WORKER]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module; templates are data on its input
            command,
            input=json.dumps({"templates": wanted, "values": values}),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return {}, "it takes too long"
    except OSError as error:
        return {}, f"it could not be run: {error.strerror}"
    if done.returncode < 0:
        return {}, "it takes too long"
    try:
        answer = cast("dict[str, Any]", json.loads(done.stdout))
    except ValueError:
        return {}, "it broke its process"
    return cast("dict[str, str]", answer.get("rendered", {})), str(answer.get("error", ""))


def _values(notification: Notification) -> dict[str, Any]:
    return cast("dict[str, Any]", msgspec.to_builtins(notification))
