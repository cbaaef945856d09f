"""What people and models wrote, as far as it is kept at all: under these keys of a prediction's ``extra``.

Retention lets text go before the rest of a prediction, and it is never sealed.
"""

from __future__ import annotations

TEXT_KEYS = ("content",)
