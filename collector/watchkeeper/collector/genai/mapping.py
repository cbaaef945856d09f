"""One span as one prediction, whatever convention its attributes follow.

It never refuses: a value that cannot be used is left out, a text that is too long is cut. What a span is for, and what
its attributes mean, stands in ``aliases.toml``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec
from msgspec import Raw

from watchkeeper.collector import times
from watchkeeper.collector.genai import text
from watchkeeper.collector.genai.aliases import MAX_READINGS, Aliases, Reading, aliases, unfold
from watchkeeper.collector.genai.sampling import weight
from watchkeeper.collector.genai.span import Moment, Span
from watchkeeper.collector.genai.tokens import number, tokens
from watchkeeper.schemas.events import EMPTY, INNER_OPERATIONS, Check, Prediction
from watchkeeper.schemas.settings import Ingest

NAME, TEXT = 200, 2000
MAX_MONEY = MAX_MS = 1e12
MAX_SEGMENTS = 20
UNNAMED = "unknown_service"
"""What OpenTelemetry calls a service that has no name."""
_CONTROL = dict.fromkeys((*range(32), 127))
_NOTHING: Mapping[str, object] = {}
CHECKS = ("guardrail", "evaluation")


def mapper(ingest: Ingest) -> Mapper:
    """Make the mapper that the settings ask for."""
    table = aliases()
    segments = ingest.segment_attributes
    places = {name: table.places(name) for name in segments}
    return Mapper(table, places, table.wanted(segments), text.redactor(ingest.redact) if ingest.keep_text else None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What spans with the same attribute names, of resources with the same, are read for: worked out once for all.

    ``places`` says for each segment where its value may stand: in the resource or in the span, and under which name.
    """

    reading: Reading
    extra: Sequence[str]
    tags: Sequence[str]
    places: Sequence[tuple[str, Sequence[tuple[bool, str]]]]


@dataclass(frozen=True, slots=True)
class Mapper:
    """Turns spans into predictions by one table.

    ``places`` says for each segment where it may stand, ``wanted`` names all that is looked at beside texts; ``redact``
    is None where text is not kept.
    """

    table: Aliases
    places: Mapping[str, Sequence[str]]
    wanted: frozenset[str]
    redact: Callable[[str], str] | None = None
    _plans: dict[tuple[frozenset[str], frozenset[str]], Plan] = field(
        default_factory=dict[tuple[frozenset[str], frozenset[str]], Plan]
    )

    def prediction(self, span: Span, resource: Mapping[str, object]) -> Prediction | None:
        """Give the prediction, or None for a span that is no AI work; ``resource`` has the fields of its resource."""
        attributes = span.attributes
        plan = self._plan(span)
        operation = plan.reading.operation(attributes)
        if operation is None:
            return None
        if plan.reading.unfolded:
            unfold(attributes, plan.reading.unfolded)
            plan = self._plan(span)
        found = plan.reading.fields(attributes)
        said = found.get
        failure = self._failure(span, found)
        asked, served = _cut(said("request_model")), _cut(said("response_model"))
        inner = operation in INNER_OPERATIONS
        model = asked or served or (operation if inner else "default")
        return Prediction(
            id=span.id,
            service=_cut(resource.get("service")) or _cut(resource.get("project")) or UNNAMED,
            ts=_time(span.start_ns),
            model=model,
            model_version=served if served != model else None,
            system=_cut(resource.get("system")),
            provider=_cut(said("provider")),
            prompt=_cut(said("prompt")),
            prompt_version=_cut(said("prompt_version")),
            config_version=_cut(resource.get("config_version")) or _cut(said("config_version")),
            environment=_cut(resource.get("environment")) or _cut(said("environment")),
            segments=self._segments(span, plan),
            latency_ms=_latency(span),
            ttft_ms=_ttft(span, found),
            status="ok" if failure is None else "error",
            error_class=failure or None,
            tokens=tokens(found),
            cost=_cost(found),
            workflow=_cut(said("workflow")),
            step=_cut(said("step")) or _cut(span.name),
            tool=_cut(said("tool")),
            agent=_cut(said("agent")),
            operation=_cut(operation),
            trace_id=span.trace_id,
            parent_id=f"{span.trace_id}-{span.parent_id}" if span.parent_id else None,
            conversation=clean_id(found, "conversation"),
            finish_reason=_first(said("finish_reason")),
            service_tier=_cut(said("service_tier")),
            sample_weight=weight(span.trace_state, found),
            checks=[self.check(span, operation, failure)] if operation in CHECKS else None,
            extra=self._extra(span, found, plan),
        )

    def _plan(self, span: Span) -> Plan:
        key = self.wanted.intersection(span.attributes), self.wanted.intersection(span.resource)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_READINGS:
                self._plans.clear()
            plan = self._plans[key] = self._planned(*key)
        return plan

    def _planned(self, names: frozenset[str], resource: frozenset[str]) -> Plan:
        reading = self.table.reading(names)
        fields = {name for name, _ in reading.names}
        sides = ((True, names), (False, resource))
        places = {
            segment: [(own, place) for place in places for own, there in sides if place in there]
            for segment, places in self.places.items()
        }
        return Plan(
            reading=reading,
            extra=[name for name in self.table.extra if name in fields],
            tags=[name for name in self.table.tags if name in names],
            places=[(segment, found) for segment, found in places.items() if found],
        )

    def check(self, span: Span, operation: str, failure: str | None) -> Check:
        """Give what a guardrail or an evaluator found: of the prediction that it looked at, or of itself."""
        found = self.table.fields(span.attributes)
        label = str(found["evaluation_label"]).lower() if "evaluation_label" in found else ""
        passed = failure is None and label not in self.table.feedback["wrong"]
        name = _cut(found.get("evaluation")) or _cut(span.name) or operation
        score = number(found["evaluation_score"]) if "evaluation_score" in found else None
        kind = "policy" if operation == "guardrail" else "reasonability"
        return Check(name=name, kind=kind, passed=passed, blocked=operation == "guardrail" and not passed, score=score)

    def _failure(self, span: Span, found: Mapping[str, object]) -> str | None:
        """Give the error class of a span that failed ("" where it cannot be told), or None."""
        if not span.failed and str(found.get("level")).upper() != "ERROR" and "error.type" not in span.attributes:
            return None
        raised = next((m.attributes for m in span.moments if m.name == "exception"), _NOTHING)
        kind = str(found.get("error_class") or raised.get("exception.type") or "")
        message = span.message or str(raised.get("exception.message") or "")
        return self.table.error_class(kind, message) or kind[:NAME]

    def _segments(self, span: Span, plan: Plan) -> dict[str, str | int | bool | None] | None:
        found: dict[str, str | int | bool | None] = {}
        for name, places in plan.places:
            value = _dimension(span, places)
            if isinstance(value, bool | int):
                found[name] = value
            elif isinstance(value, str) and value:
                found[name] = value[:NAME]
        return found or None

    def _extra(self, span: Span, found: Mapping[str, object], plan: Plan) -> Raw:
        extra = {name: _bounded(found[name]) for name in plan.extra if name in found}
        tags = span.attributes[plan.tags[0]] if plan.tags else None
        if tags:
            extra["tags"] = _bounded(tags)
        if self.redact is not None:
            texts = text.content(self.table, span.attributes, span.moments, self.redact)
            if texts:
                extra["content"] = texts
        return Raw(msgspec.json.encode(extra, enc_hook=repr)) if extra else EMPTY


def _dimension(span: Span, places: Sequence[tuple[bool, str]]) -> object:
    for own, place in places:
        value = (span.attributes if own else span.resource)[place]
        if isinstance(value, str) and value[:1] == '"' == value[-1:]:  # Langfuse sends each value as JSON
            return value[1:-1]
        if value is not None:
            return value
    return None


def _bounded(value: object) -> object:
    """Cut a text; leave a list or object out that has no end."""
    if isinstance(value, str):
        return value[:TEXT]
    endless = isinstance(value, list | dict) and len(msgspec.json.encode(value, enc_hook=repr)) > text.MAX_TEXT
    return None if endless else cast("object", value)


def clean_id(found: Mapping[str, object], field: str) -> str | None:
    """Give an id without the control characters that ours must not hold."""
    text = _cut(found.get(field))
    return text.translate(_CONTROL) or None if text else None


def moment_time(moment: Moment) -> int | None:
    """Give the time of a record in ns, or None where it has none that can be meant."""
    return _time(moment.at_ns)


def _time(nanoseconds: int) -> int | None:
    return nanoseconds if times.OLDEST <= nanoseconds / 1e9 <= times.NEWEST else None


def _latency(span: Span) -> float | None:
    milliseconds = (span.end_ns - span.start_ns) / 1e6
    return milliseconds if span.start_ns > 0 and 0 <= milliseconds <= MAX_MS else None


def _ttft(span: Span, found: Mapping[str, object]) -> float | None:
    sent = found.get("ttft_ms")
    if isinstance(sent, float):
        return sent if 0 <= sent <= MAX_MS else None
    moment = found.get("first_token_at")
    if not isinstance(moment, str) or span.start_ns <= 0:
        return None
    try:
        at = times.parsed(moment.strip('"'))
    except ValueError:
        return None
    seconds = at.timestamp() - span.start_ns / 1e9
    return max(0.0, seconds * 1e3) if seconds < 1e6 else None


def _cost(found: Mapping[str, object]) -> float | None:
    """Give the cost that was sent: the whole, or the sum of both parts."""
    if "cost" in found:
        parts = [number(found["cost"])]
    else:
        parts = [number(found[name]) for name in ("cost_input", "cost_output") if name in found]
    known = [part for part in parts if part is not None]
    whole = sum(known)
    return whole if known and 0 <= whole <= MAX_MONEY else None


def _first(value: object) -> str | None:
    """Give the text, or the first of a list of them."""
    if isinstance(value, list):
        value = next((part for part in cast("list[object]", value) if part), None)
    return _cut(value)


def _cut(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value[:NAME] or None
    return str(value)[:NAME] if isinstance(value, int | float) else None
