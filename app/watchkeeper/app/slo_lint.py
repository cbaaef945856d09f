"""What is unwise or cannot be seen about objectives in files; what is wrong is refused before that."""

from __future__ import annotations

from pathlib import Path

import yaml

from watchkeeper.alerts.routing.routing import check_targets
from watchkeeper.analyzers.slo.core.policy import rows_of, seeing
from watchkeeper.schemas.objectives import READ, Objective
from watchkeeper.schemas.openslo_export import export
from watchkeeper.store.control.apply import read


def lint(folder: Path, per_hour: float | None = None) -> list[dict[str, str]]:
    """Say what is unwise of every objective: ``warning`` or ``note``. Raises SettingsError for what is wrong."""
    _, declared = read(folder, [check_targets])
    return [
        {"objective": one.name, "level": level, "says": says}
        for one in declared.objectives
        for level, says in remarks(one, per_hour)
    ]


def remarks(objective: Objective, per_hour: float | None = None) -> list[tuple[str, str]]:
    """Say what is unwise of one objective.

    >>> from watchkeeper.schemas.objectives import Sli
    >>> one = Objective(name="x", service="s", sli=Sli(measure="errors"), target=0.9, days=28)
    >>> [says for _, says in remarks(one)][1]
    'the rule on 1h needs burn 13.4, and a total outage burns only 10: it can never fire and is left out'
    """
    found: list[tuple[str, str]] = []
    if objective.fallback is None:
        found.append(("note", "no fallback is named: say what answers when it breaks"))
    if objective.target < 0.5:
        found.append(("warning", f"target {objective.target:g} is under one half: is it {1 - objective.target:g}?"))
    for row in rows_of(objective):
        if not row.can_fire(objective.budget):
            most = 1 / objective.budget
            says = f"the rule on {row.name} needs burn {row.burn:.3g}, and a total outage burns only {most:.3g}"
            found.append(("note", f"{says}: it can never fire and is left out"))
    if per_hour is not None and objective.sli.measure not in READ and objective.slice is None:
        found += [("warning", line) for line in seeing(objective, per_hour).advice]
    return found


def warnings(objectives: tuple[Objective, ...]) -> list[str]:
    """Give the remarks as ``apply`` tells them."""
    return [f"objective {one.name}: {says}" for one in objectives for _, says in remarks(one)]


def exported(folder: Path) -> str:
    """Write every objective of a folder as OpenSLO v1."""
    _, declared = read(folder)
    return yaml.safe_dump_all([export(one) for one in declared.objectives], sort_keys=False, allow_unicode=True)
