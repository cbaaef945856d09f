"""Analyzers that cry wolf, by what people said of their alerts, and the change that is proposed for each."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard import judged

HOW = (
    "Where even the upper end of the precision's 95 % interval is below a half. Nothing is changed by itself: put the "
    "Monitor among the declared files, or leave it."
)


def show(qualities: Sequence[judged.AnalyzerQuality]) -> None:
    """Show what is proposed, folded; nothing where nothing is."""
    noisy = [one for one in qualities if one.proposal is not None]
    if not noisy:
        return
    title = f"{fmt.plural(len(noisy), 'analyzer')} often told of nothing: a change is proposed"
    with st.expander(title, icon=":material/tune:"):
        st.caption(HOW)
        for one in noisy:
            if one.proposal is not None:
                st.markdown(said(one, one.proposal))
                st.code(one.proposal.monitor, language="yaml")


def said(one: judged.AnalyzerQuality, proposal: judged.Proposal) -> str:
    """Say of one analyzer what is proposed, and why.

    >>> proposal = judged.Proposal(why="1 of 10 acted on", monitor="", parameter="alpha", now=0.001, proposed=0.0001)
    >>> print(said(judged.AnalyzerQuality(analyzer="psi"), proposal))
    **psi**: 1 of 10 acted on. Proposed: alpha 0.0001 instead of 0.001.
    """
    ends = one.precision_interval
    between = f" (precision {fmt.percent(ends[0])} to {fmt.percent(ends[1])})" if ends else ""
    change = "tell nobody of what it finds"
    if proposal.parameter is not None:
        change = f"{proposal.parameter} {fmt.number(proposal.proposed)} instead of {fmt.number(proposal.now)}"
    return f"**{fmt.literal(one.analyzer)}**: {fmt.literal(proposal.why)}{between}. Proposed: {fmt.literal(change)}."
