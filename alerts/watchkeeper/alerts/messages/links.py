"""Where the pages stand that messages point to."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Links:
    """The address under which people reach the dashboard.

    >>> Links("http://127.0.0.1:8091/").incident("3fa9-1")
    'http://127.0.0.1:8091/incident?id=3fa9-1'
    """

    external_url: str

    def incident(self, incident_id: str) -> str:
        """Give the evidence page of one incident."""
        return f"{self.external_url.rstrip('/')}/incident?{urlencode({'id': incident_id})}"
