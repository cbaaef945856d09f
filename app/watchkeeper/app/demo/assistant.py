"""A made LLM assistant whose prompts and retries creep: the bill and the waiting grow, nothing breaks.

Every request is made, with a fixed seed. Only the sizes are anchored: prompt and answer tokens are drawn from
lognormals with the median and the mean of the conversation part of Azure's LLM inference trace of 2023
(19,366 requests: prompt median 1020, mean 1155; answer median 129, mean 211; Patel et al., "Splitwise",
ISCA 2024; CC BY). The real trace has several humps and a wider spread of prompts than such a lognormal.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import polars as pl

from watchkeeper.app.demo.flights import TimedEvent

SERVICE = "support-assistant"
PROVIDER, MODEL, MODEL_VERSION = "openai", "gpt-4o", "2024-08-06"
PROMPT, PROMPT_BEFORE, PROMPT_AFTER = "support-answer", "v7", "v8"
PROMPT_MEDIAN, PROMPT_MEAN, PROMPT_MOST = 1020, 1155, 14_050
ANSWER_MEDIAN, ANSWER_MEAN, ANSWER_MOST = 129, 211, 4096
QUIET_SHARE = 0.4
"""The share of the span before the creeps begin."""
PROMPT_GROWTH = 0.4
RETRIES = (0.01, 0.08)
"""The share of requests that are tried more than once, before the creep and at its end."""
TIMEOUT_MS = 30_000.0
WEEK = (195, 200, 200, 195, 185, 110, 95)
"""Mean requests a day, from Monday on."""
DAY = (2, 1, 1, 1, 1, 2, 4, 8, 14, 20, 24, 25, 23, 25, 27, 27, 25, 21, 16, 12, 9, 7, 5, 3)
"""How the tickets spread over the hours of a day, UTC."""
STEPS = ("classify", "draft", "answer")
STEPS_PER_TICKET = (0.5, 0.3, 0.2)
CHANNELS = ("web", "web", "web", "app", "app", "email")
LANGUAGES = ("en", "en", "en", "de", "fr")
DECISIONS = ("approved",) * 7 + ("edited", "edited", "overridden")

STATEMENT = (
    "Made: every request, its time, tokens, retries, errors, checks, reviews and thumbs (seeded).",
    "Real: median and mean of prompt and answer tokens before the creep (Azure trace, 2023).",
    "Made: from the prompt's v8 on, prompts grow evenly by 40 % and retries from 1 % to 8 %.",
    "Made: a thumb comes for 30 % of the answered requests, 5 hours later in the median.",
)

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AssistantReplay:
    """What the made assistant was asked from ``first`` to ``last`` (UTC), and when its creeps begin.

    ``requests`` holds a row a request, in time order, as drawn; the events are told from it.
    """

    creep_at: datetime
    first: datetime
    last: datetime
    counts: dict[str, int]
    statement: tuple[str, ...]
    requests: pl.DataFrame

    def events(self) -> Iterator[TimedEvent]:
        """Yield every event in time order; each call starts anew."""
        creep, end = self.creep_at.timestamp(), self.last.timestamp()
        return heapq.merge(
            [_marker(creep)],
            _predictions(self.requests, creep),
            _outcomes(_known(self.requests, "thumb_at", end)),
            _reviews(_known(self.requests, "reviewed_at", end)),
            key=itemgetter(1),
        )


def assistant(start: datetime, until: datetime, *, seed: int = 7) -> AssistantReplay:
    """Draw the made assistant's requests between two times, which carry their zones."""
    first, last = start.astimezone(UTC), until.astimezone(UTC)
    creep_at = first + QUIET_SHARE * (last - first)
    draw = np.random.default_rng(seed)
    requests = _arrivals(draw, first.timestamp(), last.timestamp())
    end = last.timestamp()
    progress = ((pl.col("ts") - creep_at.timestamp()) / (end - creep_at.timestamp())).clip(0, 1)
    requests = _answers(draw, _sizes(draw, requests.with_columns(progress.alias("progress"))))
    return AssistantReplay(
        creep_at=creep_at,
        first=first,
        last=last,
        counts={
            "predictions": requests.height,
            "outcomes": _known(requests, "thumb_at", end).height,
            "reviews": _known(requests, "reviewed_at", end).height,
            "changes": 1,
        },
        statement=STATEMENT,
        requests=requests,
    )


def _arrivals(draw: np.random.Generator, start: float, end: float) -> pl.DataFrame:
    """Draw tickets by weekday and hour, and the one to three requests that each ticket takes."""
    days = np.arange(math.floor(start / 86_400), math.floor(end / 86_400) + 1)
    a_ticket = sum((i + 1) * share for i, share in enumerate(STEPS_PER_TICKET))
    opened = draw.poisson(np.array(WEEK)[(days + 3) % 7] / a_ticket)
    count = int(opened.sum())
    hours = draw.choice(24, size=count, p=np.array(DAY) / sum(DAY)) + draw.random(count)
    begins = np.repeat(days, opened) * 86_400.0 + hours * 3600.0
    steps = draw.choice(len(STEPS), size=count, p=STEPS_PER_TICKET) + 1
    tickets = pl.DataFrame(
        {
            "begins": begins,
            "channel": draw.choice(CHANNELS, size=count),
            "language": draw.choice(LANGUAGES, size=count),
            "pause": draw.uniform(20.0, 120.0, count),
            "step": steps,
        }
    ).sort("begins")
    requests = tickets.with_row_index("ticket").with_columns(pl.int_ranges("step").alias("step")).explode("step")
    at = (pl.col("begins") + pl.col("pause") * pl.col("step")).round(3)
    requests = requests.with_columns(at.alias("ts")).filter(pl.col("ts").is_between(start, end))
    return requests.sort("ts", "ticket").with_row_index("row")


def _sizes(draw: np.random.Generator, requests: pl.DataFrame) -> pl.DataFrame:
    """Draw tokens, in disjoint classes, tries and times.

    A third of the prompts that are long enough finds most of its beginning in the provider's cache, which counts
    in steps of 128 tokens from 1024 on. A tenth of the requests that are tried again is refused three times.
    Times run from the first try.
    """
    count = requests.height
    progress = requests["progress"].to_numpy()
    prompt = _lognormal(draw, PROMPT_MEDIAN, PROMPT_MEAN, count).clip(2, PROMPT_MOST)
    prompt = np.rint(prompt * (1 + PROMPT_GROWTH * progress))
    hit = (prompt >= 1024) & (draw.random(count) < 0.35)
    cached = np.where(hit, np.floor(prompt * 0.6 / 128) * 128, 0.0)
    answer = np.rint(_lognormal(draw, ANSWER_MEDIAN, ANSWER_MEAN, count).clip(1, ANSWER_MOST))
    again = draw.random(count) < RETRIES[0] + (RETRIES[1] - RETRIES[0]) * progress
    refused = again & (draw.random(count) < 0.1)
    tries = np.where(refused, 3, 1 + again * (1 + (draw.random(count) < 0.25)))
    waited = (tries - 1) * 2000.0 * draw.lognormal(0.0, 0.3, count)
    first = (280 + 0.12 * (prompt - cached) + 0.02 * cached) * draw.lognormal(0.0, 0.25, count)
    rest = 11.0 * answer * draw.lognormal(0.0, 0.15, count)
    return requests.with_columns(
        pl.Series("input", prompt - cached).cast(pl.Int64),
        pl.Series("cached", cached).cast(pl.Int64),
        pl.Series("output", answer).cast(pl.Int64),
        pl.Series("attempts", tries),
        pl.Series("refused", refused),
        pl.Series("ttft_ms", waited + first).round(1),
        pl.Series("latency_ms", waited + np.where(refused, 0.0, first + rest)).round(1),
    )


def _answers(draw: np.random.Generator, requests: pl.DataFrame) -> pl.DataFrame:
    """Draw how each request went, and what people said of it later."""
    count = requests.height
    luck = draw.random(count)
    slow = requests["latency_ms"].to_numpy() >= TIMEOUT_MS
    error = np.full(count, "", dtype=object)
    error[luck < 0.005] = "policy_block"
    error[slow | (luck > 0.997)] = "timeout"
    error[requests["refused"].to_numpy()] = "rate_limited"
    said = draw.random(count) < 0.92
    resolved = draw.random(count) < np.where(said, 0.84, 0.3)
    ts = requests["ts"].to_numpy()
    ok = error == ""
    thumb = ok & (draw.random(count) < 0.3)
    seen = ok & (draw.random(count) < 0.02)
    return requests.with_columns(
        pl.Series("error", error.tolist(), dtype=pl.String),
        pl.Series("answered", said),
        pl.Series("resolved", resolved),
        pl.Series("flagged", draw.random(count) < 0.004),
        pl.Series("malformed", draw.random(count) < 0.012),
        pl.Series("thumb_at", _later(draw, ts, thumb, hours=5.0)),
        pl.Series("reviewed_at", _later(draw, ts, seen, hours=2.0)),
        pl.Series("decision", draw.choice(DECISIONS, size=count)),
        pl.Series("minutes", draw.lognormal(math.log(4.0), 0.5, count)).round(1),
    )


def _lognormal(draw: np.random.Generator, median: float, mean: float, count: int) -> Column:
    """Draw from the lognormal with this median and this mean."""
    return draw.lognormal(math.log(median), math.sqrt(2 * math.log(mean / median)), count)


def _later(draw: np.random.Generator, ts: Column, chosen: npt.NDArray[np.bool_], *, hours: float) -> Column:
    delay = 3600.0 * draw.lognormal(math.log(hours), 0.8, len(ts))
    return np.where(chosen, np.round(ts + delay, 3), np.inf)


def _known(requests: pl.DataFrame, at: str, end: float) -> pl.DataFrame:
    return requests.filter(pl.col(at) <= end).sort(at, "row")


def _marker(creep: float) -> TimedEvent:
    event: dict[str, object] = {
        "kind": "prompt",
        "title": f"{PROMPT} {PROMPT_AFTER}: adds the ticket's history",
        "service": SERVICE,
        "ts": creep,
        "version": PROMPT_AFTER,
    }
    return "changes", creep, event


def _identity(row: int) -> str:
    return f"chat-{row}"


_ANSWER_COLUMNS = (
    "row", "ts", "ticket", "step", "channel", "language", "attempts", "latency_ms", "ttft_ms",
    "error", "input", "cached", "output", "answered", "flagged", "malformed",
)  # fmt: skip


def _predictions(requests: pl.DataFrame, creep: float) -> Iterator[TimedEvent]:
    for row, ts, ticket, step, channel, language, attempts, latency, ttft, *answer in requests.select(
        _ANSWER_COLUMNS
    ).iter_rows():
        event: dict[str, object] = {
            "id": _identity(row),
            "service": SERVICE,
            "ts": ts,
            "provider": PROVIDER,
            "model": MODEL,
            "model_version": MODEL_VERSION,
            "prompt": PROMPT,
            "prompt_version": PROMPT_AFTER if ts >= creep else PROMPT_BEFORE,
            "segments": {"channel": channel, "language": language},
            "workflow": f"ticket-{ticket}",
            "step": STEPS[step],
            "attempts": attempts,
            "latency_ms": latency,
        }
        event.update(_answer(ttft, *answer))
        yield "predictions", ts, event


def _answer(
    ttft: float,
    error: str,
    prompt: int,
    cached: int,
    output: int,
    answered: bool,
    flagged: bool,
    malformed: bool,
) -> dict[str, object]:
    """Tell the part of a request that depends on how it went."""
    if error == "rate_limited":
        return {"status": "error", "error_class": error}
    tokens = {"input": prompt, "cache_read": cached, "output": output}
    if error == "timeout":
        tokens["output"] = 0
        return {
            "status": "error",
            "error_class": error,
            "latency_ms": TIMEOUT_MS,
            "tokens": tokens,
        }
    blocked = error == "policy_block"
    guard: dict[str, object] = {"name": "policy-guard", "kind": "policy"}
    guard |= {"passed": not (flagged or blocked), "blocked": blocked}
    told: dict[str, object] = {"ttft_ms": ttft, "tokens": tokens, "checks": [guard]}
    if blocked:
        return told | {"status": "error", "error_class": error}
    schema = {"name": "answer-schema", "kind": "schema", "passed": not malformed}
    return told | {"checks": [guard, schema], "prediction": answered}


def _outcomes(requests: pl.DataFrame) -> Iterator[TimedEvent]:
    for row, ts, known_at, resolved in requests.select("row", "ts", "thumb_at", "resolved").iter_rows():
        yield "outcomes", known_at, {
            "prediction_id": _identity(row),
            "value": resolved,
            "prediction_ts": ts,
            "known_at": known_at,
            "service": SERVICE,
            "source": "thumbs",
        }  # fmt: skip


def _reviews(requests: pl.DataFrame) -> Iterator[TimedEvent]:
    for row, ts, at, decision, minutes in requests.select(
        "row", "ts", "reviewed_at", "decision", "minutes"
    ).iter_rows():
        yield "reviews", at, {
            "prediction_id": _identity(row),
            "decision": decision,
            "ts": at,
            "prediction_ts": ts,
            "service": SERVICE,
            "minutes": minutes,
            "role": "support agent",
        }  # fmt: skip
