"""Writes the message to the log ``watchkeeper.alerts``: one line for machines, then the text for people."""

from __future__ import annotations

import json
import logging

from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.schemas.declared import Receiver

logger = logging.getLogger("watchkeeper.alerts")


def build(receiver: Receiver) -> Log:  # noqa: ARG001
    """Make one; it needs nothing."""
    return Log()


class Log:
    """A receiver that is always there."""

    def notify(self, notification: Notification) -> None:
        """Log it: a warning while it goes on, an information when it is over."""
        fields = {
            "incident": notification.incident_id,
            "transition": notification.transition,
            "severity": notification.severity.value,
            "service": notification.service,
            "model": notification.model,
            "subjects": ",".join(notification.subjects),
            "key": notification.key,
            "evidence": notification.evidence_url,
        }
        line = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
        level = logging.INFO if notification.transition == "resolved" else logging.WARNING
        logger.log(level, "%s\n%s", line, notification.text)
