# ruff: noqa: E501  # rows read better as rows
"""The numbers of a made week of six services: what each named query answers, from fixed seeds."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
FIRST = NOW - timedelta(days=60)
ONSET = datetime(2026, 11, 18, 4, 50, tzinfo=UTC)
CREEP = datetime(2026, 11, 16, 13, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

Json = dict[str, object]


@dataclass(frozen=True)
class Kind:
    service: str
    model: str
    version: str
    per_hour: float
    median_ms: float
    limit_ms: float | None
    error_share: float
    wrong_share: float | None
    cost: float | None
    features: tuple[str, ...]


KINDS = (
    Kind("flight-delay", "delay-gbm", "2013-q1", 38, 18, 60, 0.001, 0.166, None,
         ("carrier", "origin", "hour", "distance", "temp", "wind_speed", "precip", "visib")),
    Kind("support-assistant", "gpt-4o-mini", "2024-07-18", 11, 1450, 6000, 0.004, 0.11, 0.0031,
         ("channel", "language", "prompt_tokens", "retrieved_docs", "top_score")),
    Kind("invoice-extract", "layout-v3", "3.4.0", 64, 410, 1700, 0.002, 0.021, 0.0087, ("pages", "vendor_country", "scan_dpi")),
    Kind("fraud-score", "gbm-2026-09", "2026-09", 420, 22, 80, 0.0004, 0.009, 0.0002, ("amount", "merchant_type", "hour")),
    Kind("demand-forecast", "tft-small", "1.9", 12, 640, 2400, 0.0, None, None, ("sku_age", "promo", "stock")),
    Kind("vision-qc", "resnet-qc", "7", 150, 48, None, 0.003, 0.013, None, ("brightness", "line")),
)  # fmt: skip
CATEGORIES = {
    "carrier": ("UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX"),
    "origin": ("EWR", "JFK", "LGA"),
    "channel": ("web", "app", "email"),
    "language": ("en", "de", "fr"),
    "vendor_country": ("DE", "FR", "PL", "US"),
    "merchant_type": ("food", "travel", "online", "other"),
    "promo": ("no", "yes"),
    "line": ("A", "B", "C"),
}


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str | None, fallback: datetime) -> datetime:
    return fallback if not text else datetime.fromisoformat(text).astimezone(UTC)


def noise(*key: object) -> random.Random:
    return random.Random("/".join(map(str, key)))


@dataclass
class Numbers:
    scenario: str

    @property
    def degraded(self) -> bool:
        return self.scenario == "degraded"

    def query(self, name: str, params: dict[str, str]) -> list[Json] | None:
        answer = getattr(self, f"_query_{name}", None)
        if answer is None:
            return None
        if self.scenario == "empty":
            return []
        return answer(params, parse(params.get("start"), FIRST), parse(params.get("end"), NOW))

    def _kinds(self, params: dict[str, str]) -> list[Kind]:
        return [
            k
            for k in KINDS
            if params.get("service", k.service) == k.service and params.get("model", k.model) == k.model
        ]

    def _bucket(self, kind: Kind, at: datetime, step: timedelta) -> Json | None:
        """One model in one bucket; None where nothing was asked."""
        rng = noise(kind.service, at, step)
        hours = min(step, NOW - at) / HOUR
        middle = at + step / 2
        day = (
            1.0
            if step >= timedelta(days=1)
            else 1 + 0.6 * math.sin((middle.hour + middle.minute / 60 - 9) / 24 * math.tau)
        )
        requests = round(kind.per_hour * hours * day * rng.uniform(0.93, 1.07))
        if requests <= 0 or at < FIRST:
            return None
        slower = 1.0
        if self.degraded and kind.service == "support-assistant":
            slower = 1 + 0.45 * max(0.0, (middle - CREEP) / timedelta(days=5))
        p50 = kind.median_ms * slower * rng.uniform(0.97, 1.03)
        wobble = rng.uniform(0.96, 1.05)
        errors = round(requests * kind.error_share)
        return {
            "bucket": iso(at), "service": kind.service, "model": kind.model, "value": None, "rows": requests, "requests": requests,
            "errors": errors, "late": 0, "check_failures": 0, "attempts": requests, "retried": 0,
            "latency_mean_ms": p50 * 1.2, "latency_p50_ms": p50, "latency_p95_ms": p50 * 2.55 * wobble ** 2,
            "latency_p99_ms": p50 * 4.1 * wobble ** 3, "tokens_input": None, "tokens_cache_read": None,
            "tokens_output": None, "cost": None if kind.cost is None else kind.cost * requests * (1 + 0.5 * (slower - 1)),
        }  # fmt: skip

    def _query_traffic(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        step = timedelta(seconds=int(params.get("step", "3600")))
        seconds = int(step.total_seconds())
        first = datetime.fromtimestamp(int(start.timestamp()) // seconds * seconds, UTC)
        found: list[Json] = []
        for kind in self._kinds(params):
            at = first
            while at < end:
                if row := self._bucket(kind, at, step):
                    found.append(row)
                at += step
        return found

    def _query_overview(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        found: list[Json] = []
        for kind in self._kinds(params):
            start_kind = max(start, FIRST)
            if end <= start_kind:
                continue
            row = self._bucket(kind, start_kind, end - start_kind)
            if row is not None:
                row.pop("bucket")
                found.append(row | {
                    "model_version": kind.version, "provider": "openai" if "gpt" in kind.model else None,
                    "first_ts": iso(FIRST), "last_ts": iso(end),
                })  # fmt: skip
        return found

    def _query_quality(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        found: list[Json] = []
        for row in self._query_traffic(params, start, end):
            kind = next(k for k in KINDS if k.service == row["service"])
            if kind.wrong_share is None:
                continue
            at = parse(str(row["bucket"]), NOW)
            share = kind.wrong_share
            if self.degraded and kind.service == "flight-delay" and at >= ONSET:
                share += 0.035
            maturity = min(1.0, max(0.0, (NOW - at) / timedelta(days=3)))
            predictions = int(str(row["requests"]))
            known = round(predictions * maturity * 0.98)
            wrong = round(known * share * noise("q", kind.service, at).uniform(0.88, 1.12))
            found.append({
                "bucket": row["bucket"], "predictions": predictions, "known": known, "correct": known - wrong,
                "wrong": wrong, "true_positive": 0, "false_positive": wrong // 2, "false_negative": wrong - wrong // 2,
                "true_negative": 0,
            })  # fmt: skip
        return found

    def _query_quality_states(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        found: list[Json] = []
        for row in self._query_quality(params | {"step": "86400"}, start, end):
            maturity = row["known"] / row["predictions"] / 0.98
            state = "final" if maturity > 0.99 else "partial" if maturity > 0.3 else "estimated"
            wrong = row["wrong"] / max(row["known"], 1)
            found.append({
                "window_end": row["bucket"], "state": state, "wrong_share": wrong, "estimated": wrong + 0.01,
                "predictions": row["predictions"], "known": row["known"], "maturity": maturity,
                "immature": maturity < 0.8, "final_at": row["bucket"],
            })  # fmt: skip
        return found

    def _query_label_delay(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        shares = (0.3, 0.6, 0.95, 1.0)
        return [
            {"source": source, "days": days, "share": share, "outcomes": 900}
            for source in (None, "ops") for days, share in enumerate(shares, 1)
        ]  # fmt: skip

    def _psi(self, kind: Kind, feature: str, day: datetime) -> float:
        base = 0.015 + 0.02 * noise("psi", kind.service, feature, day.date()).random()
        moved = {("flight-delay", "carrier"): 0.83, ("flight-delay", "origin"): 0.08}
        creeping = {("support-assistant", "prompt_tokens"): 0.05}
        if self.degraded and day + timedelta(days=1) > ONSET:
            base += moved.get((kind.service, feature), 0.0) * min(
                1.0, (day + timedelta(days=1) - ONSET) / timedelta(days=1)
            )
        if self.degraded and day > CREEP:
            base += creeping.get((kind.service, feature), 0.0) * ((day - CREEP) / timedelta(days=1))
        return base

    def _query_readings(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        if params.get("analyzer") == "quality.fairness":
            return [row for kind in self._kinds(params) for row in self._gaps(kind)]
        metric = params.get("metric", "")
        maker = {
            "psi": self._psi_readings, "unseen_share": self._unseen_readings, "slo_budget_left": self._budget_readings,
            "error_rate": self._error_readings, "cost_per_request": self._cost_readings,
        }.get(metric)  # fmt: skip
        rows = [] if maker is None else [row for kind in self._kinds(params) for row in maker(kind, start, end)]
        return [row for row in rows if params.get("subject", row["subject"]) == row["subject"]]

    def _gaps(self, kind: Kind) -> list[Json]:
        if kind.service != "fraud-score":
            return []
        at, week = NOW - 9 * HOUR, timedelta(days=7)
        few = self._reading("error_gap_needs_rows", kind, "segment:gender=x", at, week, 100.0, n=None)
        gap = {"lower": -0.05, "upper": -0.01, "reference": -0.004, "n": 41_200}
        return [self._reading("selection_gap", kind, "segment:gender=f", at, week, -0.03, **gap), few]

    def _reading(
        self, metric: str, kind: Kind, subject: str, until: datetime, length: timedelta, value: float, **rest: object
    ) -> Json:
        return {
            "analyzer": metric, "metric": metric, "service": kind.service, "model": kind.model, "subject": subject,
            "window_start": iso(until - length), "window_end": iso(until), "as_of": iso(until + HOUR), "value": value,
            "lower": None, "upper": None, "n": 900, "maturity": None, "reference": None, **rest,
        }  # fmt: skip

    def _days(self, start: datetime, end: datetime) -> list[datetime]:
        first = start.replace(hour=0, minute=0, second=0, microsecond=0)
        days = [first + timedelta(days=n) for n in range(math.ceil((end - first) / timedelta(days=1)))]
        return [day for day in days if day >= FIRST and day + timedelta(days=1) <= end]

    def _psi_readings(self, kind: Kind, start: datetime, end: datetime) -> list[Json]:
        return [
            self._reading(
                "psi",
                kind,
                feature,
                day + timedelta(days=1),
                timedelta(days=7),
                self._psi(kind, feature, day),
                reference=0.015,
            )
            for feature in kind.features
            for day in self._days(start, end)
        ]

    def _unseen_readings(self, kind: Kind, start: datetime, end: datetime) -> list[Json]:
        if kind.service != "flight-delay":
            return []
        found: list[Json] = []
        at = max(start, FIRST).replace(minute=0, second=0, microsecond=0)
        while at + HOUR * 6 <= end:
            share = 0.16 * noise("unseen", at).uniform(0.9, 1.1) if self.degraded and at + HOUR * 5 >= ONSET else 0.0
            found.append(self._reading("unseen_share", kind, "carrier", at + HOUR * 6, HOUR * 6, share,
                                       lower=max(0.0, share - 0.02), upper=share + 0.02, reference=0.0))  # fmt: skip
            at += HOUR * 6
        return found

    def _budget_readings(self, kind: Kind, start: datetime, end: datetime) -> list[Json]:
        if kind.limit_ms is None:
            return []
        found: list[Json] = []
        at = max(start, FIRST).replace(minute=0, second=0, microsecond=0)
        base = {"fraud-score": 0.66, "invoice-extract": 0.72, "demand-forecast": 0.84}.get(kind.service, 0.9)
        while at <= end:
            left = base + 0.04 * math.sin(at.timestamp() / 86400 / 3)
            if self.degraded and kind.service == "support-assistant" and at > CREEP:
                left -= 0.155 * ((at - CREEP) / timedelta(days=1))
            found.append(
                self._reading("slo_budget_left", kind, f"{kind.service}-latency", at, timedelta(days=28), left)
            )
            found.append(self._reading("slo_budget_left", kind, f"{kind.service}-errors", at, timedelta(days=28), 0.93))
            at += HOUR * 3
        return found

    def _error_readings(self, kind: Kind, start: datetime, end: datetime) -> list[Json]:
        if kind.wrong_share is None:
            return []
        more = 0.035 if self.degraded and kind.service == "flight-delay" else 0.0
        return [
            self._reading(
                "error_rate", kind, "error", day + timedelta(days=1), timedelta(days=1),
                kind.wrong_share + (more if day >= ONSET - timedelta(days=1) else 0),
                lower=kind.wrong_share - 0.01, upper=kind.wrong_share + more + 0.01, reference=kind.wrong_share,
                maturity=min(1.0, max(0.2, (NOW - day) / timedelta(days=3))),
            )
            for day in self._days(start, end)
        ]  # fmt: skip

    def _cost_readings(self, kind: Kind, start: datetime, end: datetime) -> list[Json]:
        return []

    def _query_changes(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        made = (
            (ONSET - timedelta(hours=7), "deploy", "gate-feed 5.2: new schedule provider", "flight-delay", "5.2"),
            (CREEP, "prompt", "support-answer v8", "support-assistant", "v8"),
            (NOW - timedelta(days=20), "config", "request limit 2 s to 3 s", "flight-delay", None),
        )
        return [
            {
                "ts": iso(at),
                "kind": kind,
                "title": title,
                "service": service,
                "model": None,
                "version": version,
                "url": None,
            }
            for at, kind, title, service, version in made
            if start <= at < end and params.get("service", service) == service
        ]

    def _query_features(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        return [
            {"feature": name, "kind": "category" if name in CATEGORIES else "numeric", "rows": 6000, "missing": 12 if name == "temp" else 0,
             "nan": 0, "infinite": 0, "mismatched": 0, "unseen": 970 if self._unseen(kind, name) else 0, "below": 0,
             "above": 3, "min": 0.0, "max": 10.0}
            for kind in self._kinds(params) for name in kind.features
        ]  # fmt: skip

    def _unseen(self, kind: Kind, feature: str) -> bool:
        return self.degraded and kind.service == "flight-delay" and feature == "carrier"

    def _query_unseen(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        if not self._unseen(KINDS[0], "carrier") or params.get("service") != "flight-delay":
            return []
        return [{"feature": "carrier", "value": "JBU", "n": 958}, {"feature": "carrier", "value": "JBUX", "n": 12}]

    def _query_split(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        if not self._unseen(KINDS[0], "carrier") or params.get("service") != "flight-delay":
            return []
        values = (("JBU", "mix", 0.031), ("B6", None, 0.002), ("UA", None, 0.001), ("AA", None, 0.001))
        return [
            {"dim": "carrier", "value": value, "cause": cause, "stands_out": 0.02 if cause else 0.0, "reference_n": 900,
             "n": 700, "reference_rate": None if cause else 0.16, "rate": 0.35 if cause else 0.17, "mix": points,
             "mix_lower": points - 0.004, "mix_upper": points + 0.004, "inside": 0.0, "inside_lower": -0.003,
             "inside_upper": 0.003, "total": 0.035, "metric": "error_rate"}
            for value, cause, points in values
        ]  # fmt: skip

    def _query_histogram(self, params: dict[str, str], start: datetime, end: datetime) -> list[Json]:
        found: list[Json] = []
        for kind in self._kinds(params):
            for name in kind.features:
                if params.get("feature", name) == name:
                    found += self._bins(kind, name)
        return found

    def _bins(self, kind: Kind, name: str) -> list[Json]:
        rng = noise("bins", kind.service, name)

        def row(
            number: int, label: str | None, lower: float | None, upper: float | None, n: int, reference_n: int
        ) -> Json:
            return {"feature": name, "kind": "category" if name in CATEGORIES else "numeric", "bin": number, "label": label,
                    "lower": lower, "upper": upper, "n": n, "reference_n": reference_n}  # fmt: skip

        if name in CATEGORIES:
            values = CATEGORIES[name]
            weights = [1 / (place + 1.5) for place in range(len(values))]
            rows = []
            for place, value in enumerate(values):
                reference = round(60_000 * weights[place] / sum(weights))
                now = (
                    0 if value == "B6" and self._unseen(kind, name) else round(reference / 10 * rng.uniform(0.95, 1.05))
                )
                rows.append(row(place, value, None, None, now, reference))
            if self._unseen(kind, name):
                rows.append(row(-4, "never seen before", None, None, 970, 0))
            return rows
        shift = 0.7 if self.degraded and (kind.service, name) == ("support-assistant", "prompt_tokens") else 0.03
        middle, spread = rng.uniform(20, 400), rng.uniform(4, 60)
        rows = [row(0, None, None, middle - 3 * spread, 2, 0)]
        edges = [middle + spread * (-3 + 6 * i / 40) for i in range(41)]
        for i, (low, high) in enumerate(pairwise(edges)):
            z = (low + high) / 2
            bell = math.exp(-(((z - middle) / spread) ** 2) / 2)
            moved = math.exp(-(((z - middle) / spread - shift) ** 2) / 2)
            rows.append(row(i + 1, None, low, high, round(600 * moved * rng.uniform(0.95, 1.05)), round(6000 * bell)))
        return [*rows, row(41, None, edges[-1], None, 3 if shift > 0.5 else 0, 0)]
