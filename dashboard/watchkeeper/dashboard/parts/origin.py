"""Where a change of the error comes from: a shifted mix, or segments that got worse inside."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard import rows
from watchkeeper.dashboard.parts import cards

SHOWN = 8
HOW = (
    "Kitagawa's split of the change since the reference, for every segment column. Mix: the value's share of the "
    "traffic moved. Inside: its own error moved. Over all values of a column both are the whole change, exactly. "
    "Brackets: 95 % intervals. Bold is what cannot be chance. It says where, not why."
)


def show(split: Sequence[rows.SplitRow]) -> None:
    """Show the values that matter most, of all segment columns."""
    if not split:
        return
    with st.container(border=True, gap="small"):
        cards.heading("Where the error comes from", "Has the mix shifted, or did a segment get worse inside?", HOW)
        st.markdown(fmt.literal(said(split)))
        table = [_cells(one) for one in split[:SHOWN]]
        st.table(  # pyright: ignore[reportUnknownMemberType]  # its data may be numpy's
            table, border="horizontal", hide_index=True
        )
        if len(split) > SHOWN:
            st.caption(f"{len(split) - SHOWN} more values moved it less: ask `/v1/queries/split` for them.")


def said(split: Sequence[rows.SplitRow]) -> str:
    """Say it in one sentence.

    >>> row = rows.SplitRow(dim="carrier", value="B6", cause="inside", mix=0.001, inside=0.03, total=0.035)
    >>> said([row, rows.SplitRow(dim="carrier", value="AA", mix=0.0, inside=0.004, total=0.035)])
    'Of +3.5\\u2009pt, +3.0\\u2009pt came from inside carrier=B6, +0.1\\u2009pt from a shifted mix of carrier.'
    """
    first = split[0]
    whole = _written(first, first.total)
    if first.cause is None:
        return f"Of {whole}, no segment made more than its part: it is spread over all."
    mix = _written(first, sum(one.mix for one in split if one.dim == first.dim))
    if first.cause == "mix":
        return f"Of {whole}, {mix} came from a shifted mix of {first.dim}, {first.value} above all."
    inside = _written(first, first.inside)
    return f"Of {whole}, {inside} came from inside {first.dim}={first.value}, {mix} from a shifted mix of {first.dim}."


def _cells(one: rows.SplitRow) -> dict[str, str]:
    mix = f"{_written(one, one.mix)} ({_end(one, one.mix_lower)} to {_end(one, one.mix_upper)})"
    inside = f"{_written(one, one.inside)} ({_end(one, one.inside_lower)} to {_end(one, one.inside_upper)})"
    return {
        "segment": fmt.literal(f"{one.dim}={one.value}"),
        "known outcomes": f"{fmt.number(one.n)}, reference {fmt.number(one.reference_n)}",
        "error": f"{_error(one, one.rate)}, reference {_error(one, one.reference_rate)}",
        "mix": f"**{mix}**" if one.cause == "mix" else mix,
        "inside": f"**{inside}**" if one.cause == "inside" else inside,
    }


def _error(one: rows.SplitRow, rate: float | None) -> str:
    return fmt.percent(rate) if one.share else fmt.number(rate)


def _end(one: rows.SplitRow, change: float) -> str:
    """Write an end of an interval, in the unit that the value beside it carries."""
    return f"{100 * change:+.1f}" if one.share else fmt.number(change)


def _written(one: rows.SplitRow, change: float) -> str:
    return f"{100 * change:+.1f}{fmt.THIN}pt" if one.share else fmt.number(change)
