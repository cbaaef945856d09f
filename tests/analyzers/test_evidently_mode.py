"""Evidently's values are the oracle: the kept ones always, the real one where it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from analyzers.evidently_oracle import KEPT, categories, numbers

from watchkeeper.analyzers.evidently_mode import METHODS, compare

EXPECTED: dict[str, float] = json.loads(KEPT.read_text())
SAMPLES = {
    f"{kind}: {name}": pair for kind, cases in (("numbers", numbers()), ("categories", categories()))
    for name, pair in cases.items()
}  # fmt: skip


def test_every_method_has_a_kept_value_of_every_sample_that_it_fits() -> None:
    asked = {f"{name}: {method}" for name in SAMPLES for method, (_, kinds) in METHODS.items()
             if name.split(":")[0] in kinds}  # fmt: skip
    assert asked == EXPECTED.keys()


@pytest.mark.parametrize("case", EXPECTED)
def test_it_says_what_evidently_says(case: str) -> None:
    name, method = case.rsplit(": ", 1)
    assert compare(method, *SAMPLES[name]) == pytest.approx(EXPECTED[case], rel=1e-9, abs=0)


@pytest.mark.skipif(find_spec("evidently") is None, reason="evidently is not installed: watchkeeper[evidently]")
def test_the_kept_values_are_those_of_the_real_evidently(tmp_path: Path) -> None:
    script, out = Path(__file__).with_name("evidently_oracle.py"), tmp_path / "evidently.json"
    subprocess.run([sys.executable, "-W", "ignore", script, out], check=True, capture_output=True, timeout=280)
    assert json.loads(out.read_text()) == pytest.approx(EXPECTED, rel=1e-9, abs=0)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="psi: the current sample holds no value"):
        compare("psi", np.array([1.0]), np.array([np.nan, np.inf]))
    with pytest.raises(ValueError, match="ks does not compare categories"):
        compare("ks", np.array(["a"]), np.array(["b"]))
