"""Does a number look as if it came in another unit than before?

Both mean and spread must be what a known conversion makes of them, and far from what they were: real wind halves from
one week to the next, as if it came in miles. So a small factor (inches, miles, pounds) is seen only where all values
lie far from nought. Sees nothing where only some rows changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SPREAD_OFF, MEAN_OFF = 0.1, 0.5
"""How far the spread (as a logarithm) and the mean (in spreads) may be off what the conversion says."""
LARGE, FAR = 8.0, 3.0
"""A factor that values rarely grow by, and a move of the mean, in spreads, that they rarely make."""
_SCALES = {
    "thousands": 1e3,
    "millions": 1e6,
    "billions": 1e9,
    "a share and per cent": 100.0,
    "minutes and seconds, or hours and minutes": 60.0,
    "hours and seconds": 3600.0,
    "days and hours": 24.0,
    "days and seconds": 86400.0,
    "inches and centimetres": 2.54,
    "feet and metres": 1 / 0.3048,
    "miles and kilometres": 1.609344,
    "pounds and kilograms": 1 / 0.45359237,
    "ounces and grams": 28.349523,
}


@dataclass(frozen=True, slots=True)
class Level:
    """Mean and standard deviation of some values."""

    mean: float
    spread: float

    @classmethod
    def of(cls, n: int, total: float | None, squares: float | None) -> Level | None:
        """Give those of ``n`` values by their sum and the sum of their squares; None where they do not vary.

        >>> Level.of(2, 4.0, 10.0)
        Level(mean=2.0, spread=1.0)
        """
        if n < 2 or total is None or squares is None:
            return None
        mean = total / n
        variance = squares / n - mean * mean
        usable = math.isfinite(variance) and variance > 1e-12 * mean * mean
        return cls(mean, math.sqrt(variance)) if usable else None


@dataclass(frozen=True, slots=True)
class Conversion:
    """``now = factor * before + offset``, and between which units that is usual."""

    between: str
    factor: float
    offset: float = 0.0

    def misfit(self, before: Level, now: Level) -> float:
        """Give how far the levels are off: 1 at the edge of what is taken for it."""
        spread = abs(math.log(now.spread / (abs(self.factor) * before.spread))) / SPREAD_OFF
        mean = abs(now.mean - self.factor * before.mean - self.offset) / (MEAN_OFF * now.spread)
        return max(spread, mean)


_KNOWN = (
    *(Conversion(name, factor) for name, factor in _SCALES.items()),
    *(Conversion(name, 1 / factor) for name, factor in _SCALES.items()),
    Conversion("Celsius and Fahrenheit", 1.8, 32.0),
    Conversion("Celsius and Fahrenheit", 1 / 1.8, -32 / 1.8),
    Conversion("Celsius and Kelvin", 1.0, 273.15),
    Conversion("Celsius and Kelvin", 1.0, -273.15),
)
_SAME = Conversion("", 1.0)


def conversion(before: Level, now: Level) -> Conversion | None:
    """Give the known conversion that fits best; None where none does, or values may just have moved so.

    >>> conversion(Level(20.0, 4.0), Level(68.2, 7.1))
    Conversion(between='Celsius and Fahrenheit', factor=1.8, offset=32.0)
    >>> conversion(Level(20.0, 4.0), Level(21.0, 4.1)) is None
    True
    """
    best = min(_KNOWN, key=lambda one: one.misfit(before, now))
    moved = abs(now.mean - before.mean) / now.spread
    large = max(best.factor, 1 / best.factor) >= LARGE and moved > MEAN_OFF  # around nought only the width could tell
    return best if (large or moved > FAR) and best.misfit(before, now) <= 1 else None


def moved(before: Level, now: Level) -> float:
    """Give how far values are from what they were, on the scale of ``Conversion.misfit``."""
    return _SAME.misfit(before, now)
