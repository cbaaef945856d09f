"""Shows how far the demo has come: a bar on a terminal, a line a step elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import rich.progress


class Progress(Protocol):
    """What the demo says while it runs."""

    def step(self, title: str) -> None:
        """Begin the next step."""
        ...

    def advance(self, share: float, detail: str) -> None:
        """Say how much of the step is done."""
        ...

    def done(self) -> None:
        """End the last step."""
        ...


class _Lines:
    def __init__(self) -> None:
        self._started = time.monotonic()
        self._told = 0.0

    def step(self, title: str) -> None:
        self._told = 0.0
        self._say(title)

    def advance(self, share: float, detail: str) -> None:
        if share - self._told >= 0.25:
            self._told = share
            self._say(f"  {share:.0%} ({detail})")

    def done(self) -> None:
        self._say("done")

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:5.1f} s] {text}", file=sys.stderr, flush=True)


class _Bars:
    def __init__(self, bars: rich.progress.Progress) -> None:
        self._bars = bars
        self._task: rich.progress.TaskID | None = None

    def step(self, title: str) -> None:
        self.done()
        self._task = self._bars.add_task(title, total=1.0, detail="")

    def advance(self, share: float, detail: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=share, detail=detail)

    def done(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=1.0, detail="")


@contextlib.contextmanager
def progress_display(*, plain: bool) -> Generator[Progress]:
    """Give the display that suits where the output goes."""
    if plain:
        yield _Lines()
        return
    from rich import progress  # noqa: PLC0415  not needed by --check

    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[detail]}"),
    )
    with progress.Progress(*columns) as bars:
        yield _Bars(bars)
