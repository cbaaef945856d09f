"""Of how much use the alerts of each analyzer were, as the server answers it: typed frozen rows."""

from __future__ import annotations

from watchkeeper.dashboard.rows import Row


class Proposal(Row, frozen=True, kw_only=True):
    """A change that a person may make to an analyzer: nothing is ever changed by itself."""

    why: str
    monitor: str
    parameter: str | None = None
    now: float | None = None
    proposed: float | None = None


class AnalyzerQuality(Row, frozen=True, kw_only=True):
    """How useful the alerts of one analyzer were, by the last word said of each."""

    analyzer: str
    fired: int = 0
    acted_on: int = 0
    known: int = 0
    noise: int = 0
    wrong_threshold: int = 0
    precision_interval: tuple[float, float] | None = None
    proposal: Proposal | None = None


class Qualities(Row, frozen=True, kw_only=True):
    """Alert quality by analyzer."""

    analyzers: tuple[AnalyzerQuality, ...] = ()
