"""Who is told what, and when? One incident per model: it speaks for something new or much stronger, and then is silent.

A channel counts once its chance is below the budget's share and was close to it for as many days as its family needs.
An incident opens with the first subject and closes after 28 days without any. Meanwhile each subject speaks once, and
again at two and a half times the strength it spoke with. What is near its threshold and of the same kind is named
behind it: then it has been told too, and speaks from two and a quarter times that strength on. Losses and breaks always
speak; where several inputs have moved already they have one cause (a season, most often), and a further one speaks only
if it leads them. So does a score once any input is known to have moved, for scores follow their inputs. The same holds
for segments. Losses page; a change of the inputs alone is a ticket. Misleads when two faults move the
same subject: the second one is heard once it is two and a half times the first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from watchkeeper.analyzers.verdict.core.channels import Channel, Family, Floats

HORIZON_MONTHS = 224 / 30
PERSISTENCE = {Family.BREAK: 1, Family.INPUT: 2, Family.SCORE: 2}
HARM_PERSISTENCE = 3
HOLDING = 0.85
"""How strong a channel must have been on the days before: what comes from nowhere in one day may be an odd day."""
AGAIN = 2.5
NAMED_AGAIN = 2.25
"""The same for what was named behind something else."""
NEAR = 0.7
"""From this strength on a subject is named behind those that are new."""
NAMED = 5
"""Names of an alert, unless more are new."""
SILENT_DAYS = 28
HALF_LIFE = 84.0
FEW_INPUTS = 3
FEW_BEFORE_A_SCORE = 1
FEW_SEGMENTS = 2
STRONGEST = -600.0
FEWEST_CHANNELS = 20
"""With fewer channels each gets no more than it would among so many."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject on one day: how strong (1 is the threshold), by which channel, and what kinds of channel say so."""

    name: str
    strength: float
    channel: int
    families: frozenset[Family]

    @property
    def harm(self) -> bool:
        """Whether it is a loss by itself."""
        return any(family.harm for family in self.families)


@dataclass(frozen=True, slots=True)
class Alert:
    """What is said on one day: a page for losses, a ticket for inputs; the strongest new subject first."""

    day: int
    page: bool
    subjects: tuple[Subject, ...]
    time: int
    """How often the first subject has spoken in this incident, this time included."""
    others: tuple[Subject, ...] = ()
    """What is near its threshold that day, the strongest first."""

    @property
    def names(self) -> tuple[str, ...]:
        """The ranking."""
        return tuple(one.name for one in (*self.subjects, *self.others))


@dataclass(frozen=True, slots=True)
class Spoken:
    """A subject of the open incident: at which strength it spoke (or joined silently), and how often.

    ``again`` is the strength from which on it speaks once more.
    """

    strength: float
    harm: bool
    times: int
    again: float


@dataclass(frozen=True, slots=True)
class State:
    """The incident of one model after one day."""

    known: Mapping[str, Spoken] = field(default_factory=dict[str, Spoken])
    quiet: int = 0
    last: int = 0

    @property
    def open(self) -> bool:
        """Whether there is an incident."""
        return bool(self.known)


def limit(alerts_per_month: float, channels: int) -> float:
    """Give the logarithm of the chance below which one of so many channels counts.

    The budget is an upper bound (union bound over the channels): channels that move together spend less.
    """
    return math.log(alerts_per_month * HORIZON_MONTHS / max(channels, FEWEST_CHANNELS))


def strengths(log_chances: Floats, limit_: Floats | float) -> Floats:
    """Give how strong each channel is on each day: 1 at the threshold, 2 at twice the t value."""
    return np.sqrt(np.maximum(log_chances, STRONGEST) / limit_)


def active(channels: Sequence[Channel], strength: Floats, day: int) -> list[Subject]:
    """Give the subjects that hold on a day (a column of ``strength``), the strongest first."""
    found: dict[str, list[int]] = {}
    over: list[int] = np.flatnonzero(strength[:, day] > 1).tolist()
    for place in over:
        channel = channels[place]
        need = PERSISTENCE.get(channel.family, HARM_PERSISTENCE)
        if day + 1 >= need and bool((strength[place, day + 1 - need : day] > HOLDING).all()):
            found.setdefault(channel.subject, []).append(place)
    subjects: list[Subject] = []
    for name, places in found.items():
        best = max(places, key=lambda place: float(strength[place, day]))
        families = frozenset(channels[place].family for place in places)
        subjects.append(Subject(name, float(strength[best, day]), best, families))
    return sorted(subjects, key=lambda one: (-one.strength, one.name))


def step(state: State, day: int, subjects: Sequence[Subject], *, calm: bool) -> tuple[State, tuple[Alert, ...]]:
    """Go on by one day; ``calm`` says that no channel at all is over its threshold.

    >>> drift = Subject("temp", 1.2, 0, frozenset({Family.INPUT}))
    >>> state, alerts = step(State(), 40, [drift], calm=False)
    >>> [(alert.page, alert.subjects[0].name) for alert in alerts]
    [(False, 'temp')]
    >>> step(state, 41, [drift], calm=False)[1]
    ()
    """
    if calm:
        quiet = state.quiet + 1
        return (State() if quiet >= SILENT_DAYS else State(state.known, quiet, state.last)), ()
    known, new = dict(state.known), list[Subject]()
    for one in subjects:
        before = known.get(one.name)
        speaks = one.strength >= before.again if before else _is_news(one, state, day)
        if speaks:
            new.append(one)
        elif before is None and state.open:
            known[one.name] = Spoken(one.strength, one.harm, 0, AGAIN * one.strength)
    for one in new:
        times = known[one.name].times if one.name in known else 0
        known[one.name] = Spoken(one.strength, one.harm, times + 1, AGAIN * one.strength)
    alerts = tuple(
        Alert(day, page, told, known[told[0].name].times)
        for page in (True, False)
        if (told := tuple(one for one in new if one.harm is page))
    )
    return State(known, 0, day if new else state.last), alerts


def near(channels: Sequence[Channel], strength: Floats, day: int) -> list[Subject]:
    """Give every subject that is near its threshold or over it, the strongest first; scores are named by no other."""
    best: dict[str, int] = {}
    order: list[int] = np.argsort(-strength[:, day], kind="stable").tolist()
    for place in order:
        if strength[place, day] <= NEAR:
            break
        if channels[place].family is not Family.SCORE:
            best.setdefault(channels[place].subject, place)
    return [
        Subject(name, float(strength[place, day]), place, frozenset({channels[place].family}))
        for name, place in best.items()
    ]


def with_others(state: State, alerts: Sequence[Alert], others: Sequence[Subject]) -> tuple[State, tuple[Alert, ...]]:
    """Name others of an alert's kind behind its subjects; they have been told then.

    >>> warm = Subject("temp", 1.5, 0, frozenset({Family.INPUT}))
    >>> clear = Subject("visib", 0.9, 1, frozenset({Family.INPUT}))
    >>> state, alerts = with_others(*step(State(), 40, [warm], calm=False), [warm, clear])
    >>> alerts[0].names
    ('temp', 'visib')
    >>> step(state, 41, [replace(clear, strength=1.2)], calm=False)[1]
    ()
    """
    known, named = dict(state.known), list[Alert]()
    for alert in alerts:
        told = {one.name for one in alert.subjects}
        behind = [one for one in others if one.harm is alert.page and one.name not in told]
        behind = behind[: max(NAMED - len(told), 0)]
        named.append(replace(alert, others=tuple(behind)))
        for one in behind:
            before = known.get(one.name)
            if before is None or before.times == 0:
                known[one.name] = Spoken(one.strength, one.harm, 1, NAMED_AGAIN * one.strength)
    return replace(state, known=known), tuple(named)


def _is_news(one: Subject, state: State, day: int) -> bool:
    """Say whether a subject that the incident does not know yet speaks."""
    if Family.SEGMENT in one.families and one.families <= {Family.SEGMENT, Family.BREAK}:
        others = [spoken.strength for name, spoken in state.known.items() if name.startswith("segment:")]
        return len(others) < FEW_SEGMENTS or one.strength > max(others)
    inputs = sum(not spoken.harm for spoken in state.known.values())
    few = FEW_BEFORE_A_SCORE if one.families == frozenset({Family.SCORE}) else FEW_INPUTS
    if one.harm or Family.BREAK in one.families or inputs < few:
        return True
    strongest = max(spoken.strength for spoken in state.known.values())
    return one.strength > max(1.0, strongest * 0.5 ** ((day - state.last) / HALF_LIFE))
