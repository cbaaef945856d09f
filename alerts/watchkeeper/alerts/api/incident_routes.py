"""The HTTP routes of incidents, findings and alert quality; the dashboard and the person on call read these."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from watchkeeper.alerts.api import models as shapes
from watchkeeper.alerts.api import story
from watchkeeper.alerts.incidents import feedback
from watchkeeper.alerts.incidents.proposals import Parameters, Proposal, interval, propose
from watchkeeper.alerts.messages.links import Links
from watchkeeper.schemas.access import BY_SERVICE, Caller, caller_of
from watchkeeper.schemas.errors import NotAllowed, NotFound, Unavailable
from watchkeeper.schemas.events import Feedback
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.control import findings, incidents
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Phase

STATES: dict[str, tuple[Phase, ...]] = {
    "open": (Phase.PENDING, Phase.FIRING),
    "firing": (Phase.FIRING,),
    "resolved": (Phase.RESOLVED,),
    "all": tuple(Phase),
}
Limit = Annotated[int, Query(ge=1, le=1000)]


def _caller(request: Request) -> Caller:
    return caller_of(request.scope)


Who = Annotated[Caller, Depends(_caller)]


def incident_routes(
    control: Control, clock: Callable[[], datetime], links: Links, parameters: Parameters = lambda _: {}
) -> APIRouter:
    """Give ``/v1/incidents``, ``/v1/findings`` and ``/v1/alerts/quality``; ``clock`` stamps what people do.

    ``parameters`` of each analyzer are what a proposal to change one goes by.
    """
    router = APIRouter(prefix="/v1", tags=["alerts"])

    @router.get("/incidents", tags=[BY_SERVICE])
    def list_incidents(
        who: Who,
        state: Literal["open", "firing", "resolved", "all"] = "open",
        service: str | None = None,
        limit: Limit = 200,
    ) -> shapes.Incidents:
        """List incidents: what is open (pending or firing) the most urgent first, then the others, the newest first."""
        wanted = STATES[state]
        with _as_http(), control.snapshot() as tx:
            who.reads(service)
            going_on = [one for one in wanted if one in incidents.OPEN]  # all of them: urgent is not new
            found = incidents.listed(tx, states=going_on, service=service, limit=None)
            over = [one for one in wanted if one not in incidents.OPEN]
            found += incidents.listed(tx, states=over, service=service, limit=limit)
            return shapes.Incidents(incidents=story.lines(tx, found, links, limit))

    def check(incident_id: str, who: Caller) -> None:
        with control.snapshot() as tx:
            who.reads(incidents.get(tx, incident_id).service)

    def told(incident_id: str, who: Caller) -> shapes.IncidentStory:
        with _as_http(), control.snapshot() as tx:
            incident = incidents.get(tx, incident_id)
            who.reads(incident.service)
            return story.whole(tx, incident, links)

    @router.get("/incidents/{incident_id}", tags=[BY_SERVICE])
    def get_incident(incident_id: str, who: Who) -> shapes.IncidentStory:
        """Tell everything about one incident."""
        return told(incident_id, who)

    @router.post("/incidents/{incident_id}/acknowledge", tags=[BY_SERVICE])
    def acknowledge(incident_id: str, body: shapes.AcknowledgeBody, who: Who) -> shapes.IncidentStory:
        """Note who takes it on; who was first stays."""
        with _as_http():
            check(incident_id, who)
            feedback.acknowledge(control, incident_id, body.by, clock(), who)
        return told(incident_id, who)

    @router.post("/incidents/{incident_id}/feedback", tags=[BY_SERVICE])
    def give_feedback(incident_id: str, body: shapes.FeedbackBody, who: Who) -> shapes.IncidentStory:
        """Store what someone says of it; the last word counts."""
        with _as_http():
            check(incident_id, who)
            feedback.give_feedback(control, incident_id, Feedback(body.word, body.reason, body.by), clock(), who)
        return told(incident_id, who)

    @router.get("/findings", tags=[BY_SERVICE])
    def list_findings(
        who: Who,
        service: str | None = None,
        severity: Severity | None = None,
        since: datetime | None = None,
        limit: Limit = 100,
    ) -> shapes.Findings:
        """List findings, the newest first, notices among them; their snapshots are shown with the incident."""
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        with _as_http(), control.snapshot() as tx:
            who.reads(service)
            found = findings.recent(tx, service=service, severity=severity, since=since, limit=limit)
        return shapes.Findings(findings=[shapes.FindingOut.of(finding) for finding in found])

    @router.get("/alerts/quality")
    def get_quality() -> shapes.Qualities:
        """Tell, for each analyzer, how many incidents fired and what people said of them."""
        with _as_http(), control.snapshot() as tx:
            found = feedback.quality(tx)
        return shapes.Qualities(analyzers=[_quality(item, propose(item, parameters(item.analyzer))) for item in found])

    return router


def _quality(quality: feedback.Quality, proposal: Proposal | None) -> shapes.QualityOut:
    out = shapes.QualityOut.model_validate(quality, from_attributes=True)
    judged = quality.acted_on + quality.noise + quality.wrong_threshold
    return out.model_copy(
        update={
            "precision_interval": interval(quality.acted_on, judged) if judged else None,
            "proposal": proposal and shapes.ProposalOut.model_validate(proposal, from_attributes=True),
        }
    )


@contextmanager
def _as_http() -> Generator[None]:
    try:
        yield
    except NotFound as error:
        raise HTTPException(404, str(error)) from error
    except NotAllowed as error:
        raise HTTPException(403, str(error)) from error
    except Unavailable as error:
        raise HTTPException(503, str(error), headers={"Retry-After": "2"}) from error
