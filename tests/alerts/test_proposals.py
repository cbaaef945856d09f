"""What people said of alerts leads to a proposal: never to a change."""

from __future__ import annotations

import pytest
import yaml

from watchkeeper.alerts.incidents.feedback import Quality
from watchkeeper.alerts.incidents.proposals import LEAST_ANSWERS, LOW, interval, propose
from watchkeeper.analyzers.evaluation import check_monitors, settings_for
from watchkeeper.analyzers.registry import discover
from watchkeeper.schemas.declared import Declarations, Monitor, parse

ALL = discover()


def quality(analyzer: str = "data.missing", acted_on: int = 0, noise: int = 0, small: int = 0) -> Quality:
    return Quality(analyzer, acted_on + noise + small + 3, acted_on, 1, noise, small)


def test_few_answers_or_a_precision_that_may_be_fair_propose_nothing() -> None:
    assert propose(quality(noise=LEAST_ANSWERS - 1), {"alpha": 0.001}) is None
    assert propose(quality(acted_on=3, noise=6), {"alpha": 0.001}) is None
    assert interval(3, 9)[1] > LOW


def test_a_fair_analyzer_is_hardly_ever_proposed_quieter() -> None:
    """Of all ways in which 20 people judge alerts of which half are of use, those that propose are under 3 %."""
    from scipy.stats import binom  # noqa: PLC0415  # slow to import

    said = [acted for acted in range(21) if propose(quality(acted_on=acted, noise=20 - acted), {"alpha": 0.1})]
    assert sum(binom.pmf(said, 20, 0.5)) < 0.03


def test_noise_asks_for_less_chance_and_too_small_for_a_larger_effect() -> None:
    params = {"alpha": 0.001, "min_share": 0.01, "min_rows": 30}
    noise = propose(quality(acted_on=1, noise=9), params)
    small = propose(quality(acted_on=1, small=9), params)
    assert noise is not None
    assert small is not None
    assert (noise.parameter, noise.now, noise.proposed) == ("alpha", 0.001, 0.0001)
    assert (small.parameter, small.proposed) == ("min_share", 0.015)
    assert noise.why == "1 of 10 judged alerts were acted on; 9 were noise, 0 too small to be told"


def test_without_a_parameter_that_fits_it_is_no_alert() -> None:
    proposal = propose(quality("own.check", noise=12), {})
    assert proposal is not None
    assert (proposal.parameter, "severity: notice" in proposal.monitor) == (None, True)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("word", ["noise", "small"])
def test_every_proposal_can_be_declared_and_does_what_it_says(name: str, word: str) -> None:
    proposal = propose(quality(name, **{word: 12}), ALL[name].params)
    assert proposal is not None
    kind, monitor = parse(yaml.safe_load(proposal.monitor), "proposal")
    assert kind == "Monitor"
    assert isinstance(monitor, Monitor)
    check_monitors([monitor], ALL)
    settings = settings_for(ALL[name], Declarations(monitors=(monitor,)), "any", "model")
    if proposal.parameter is None:
        assert settings.severity == "notice"
    else:
        assert settings.params[proposal.parameter] == proposal.proposed
