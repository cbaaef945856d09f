"""The JSON of Alertmanager's API v2, as its OpenAPI document has it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str)]


class MatcherBody(BaseModel):
    """One matcher; ``isEqual`` is left out by older clients."""

    name: str
    value: str
    isRegex: bool  # noqa: N815 - the name on the wire
    isEqual: bool = True  # noqa: N815


class PostableSilence(BaseModel):
    """A silence to make, or to change where ``id`` is given."""

    id: str | None = None
    matchers: Annotated[list[MatcherBody], Field(min_length=1)]
    startsAt: datetime  # noqa: N815
    endsAt: datetime  # noqa: N815
    createdBy: str  # noqa: N815
    comment: str


class SilenceId(BaseModel):
    """The answer to a posted silence."""

    silenceID: str  # noqa: N815


class State(BaseModel):
    """The state of a silence."""

    state: Literal["expired", "active", "pending"]


class GettableSilence(BaseModel):
    """A silence as it is shown."""

    id: str
    status: State
    updatedAt: Moment  # noqa: N815
    comment: str
    createdBy: str  # noqa: N815
    startsAt: Moment  # noqa: N815
    endsAt: Moment  # noqa: N815
    matchers: list[MatcherBody]


class ReceiverName(BaseModel):
    """A receiver."""

    name: str


class AlertStatus(BaseModel):
    """What keeps an alert back; ``mutedBy`` names maintenance windows and snoozes."""

    state: Literal["unprocessed", "active", "suppressed"]
    silencedBy: list[str]  # noqa: N815
    inhibitedBy: list[str]  # noqa: N815
    mutedBy: list[str]  # noqa: N815


class GettableAlert(BaseModel):
    """An alert that fires."""

    labels: dict[str, str]
    annotations: dict[str, str]
    receivers: list[ReceiverName]
    fingerprint: str
    startsAt: Moment  # noqa: N815
    updatedAt: Moment  # noqa: N815
    endsAt: Moment  # noqa: N815
    status: AlertStatus
    generatorURL: str  # noqa: N815


class AlertGroup(BaseModel):
    """Alerts that are told together."""

    labels: dict[str, str]
    receiver: ReceiverName
    alerts: list[GettableAlert]


class VersionInfo(BaseModel):
    """Who answers."""

    version: str
    revision: str
    branch: str
    buildUser: str  # noqa: N815
    buildDate: str  # noqa: N815
    goVersion: str  # noqa: N815


class Peer(BaseModel):
    """Another node; there are none to name."""

    name: str
    address: str


class ClusterStatus(BaseModel):
    """Gossip: there is none here."""

    name: str = ""
    status: Literal["ready", "settling", "disabled"] = "disabled"
    peers: list[Peer] = Field(default_factory=list[Peer])


class Config(BaseModel):
    """What is declared, as a file of Alertmanager."""

    original: str


class AlertmanagerStatus(BaseModel):
    """The answer to ``/status``."""

    cluster: ClusterStatus
    versionInfo: VersionInfo  # noqa: N815
    config: Config
    uptime: Moment
