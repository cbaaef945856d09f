"""The objective that ships with the product: its own looks are on time. It can be declared otherwise by its name."""

from __future__ import annotations

from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.objectives import Objective, Sli

OWN = Objective(
    name="watchkeeper-evaluation",
    service="watchkeeper",
    description="In 99 of 100 stretches of five minutes every window was looked at within two minutes of its end.",
    sli=Sli(measure="evaluation_lag", max=120.0),
    target=0.99,
    days=28,
    method="Timeslices",
    slice_window="5m",
    slow_burn=False,
)


def with_own(declared: Declarations) -> tuple[Objective, ...]:
    """Give the declared objectives, and our own unless it is declared too."""
    names = {one.name for one in declared.objectives}
    return declared.objectives if OWN.name in names else (*declared.objectives, OWN)
