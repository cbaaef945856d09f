"""For how many spans a sampled one stands, as its sender says it."""

from __future__ import annotations

from collections.abc import Mapping

from watchkeeper.collector.genai.tokens import number

MOST = 1e9
"""What a weight may be at most: as of every prediction."""
_DIGITS, _ALL = 14, 1 << 56


def weight(trace_state: str, found: Mapping[str, object]) -> float | None:
    """Give the weight: by the threshold in the trace's state, else by a rate among the fields that were found."""
    if "th:" in trace_state:
        count = adjusted_count(trace_state)
        if count is not None:
            return count
    rate = number(found["sample_rate"]) if "sample_rate" in found else None
    if rate is None or not 1 / MOST <= rate <= MOST:
        return None
    return rate if rate >= 1 else 1 / rate


def adjusted_count(trace_state: str) -> float | None:
    """Give how many spans one stands for by OpenTelemetry's rejection threshold; None where there is no sound one.

    ``ot=th:T`` says that of 2^56 random numbers those from T on were kept; T is hex, without its last zeros.
    Source: OpenTelemetry, TraceState: Probability Sampling.

    >>> adjusted_count("vendor=1,ot=rv:9b8233f7e3a151;th:8"), adjusted_count("ot=th:0"), adjusted_count("ot=th:no")
    (2.0, 1.0, None)
    """
    for member in trace_state.split(","):
        name, _, said = member.strip().partition("=")
        if name != "ot":
            continue
        threshold = next((part[3:] for part in said.split(";") if part.startswith("th:")), "")
        if not 1 <= len(threshold) <= _DIGITS or set(threshold) - set("0123456789abcdef"):
            return None
        count = _ALL / (_ALL - int(threshold.ljust(_DIGITS, "0"), 16))
        return count if count <= MOST else None
    return None
