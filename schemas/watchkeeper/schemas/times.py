"""Times of the day, the week and the year, in Alertmanager's words; what routes are muted by."""

from __future__ import annotations

from msgspec import Struct

from watchkeeper.schemas.events import Name, Text


class TimeRange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A span of a day, ``09:00`` to ``17:30``; 24:00 is the day's end."""

    start_time: str
    end_time: str


class Times(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Moments that meet every field that is given, in the zone ``location`` (an IANA name; UTC where none is given).

    A range is written ``monday:friday``, ``1:15``, ``march:june``; days of the month count from the end where negative.
    """

    times: list[TimeRange] = []
    weekdays: list[Text] = []
    days_of_month: list[Text] = []
    months: list[Text] = []
    years: list[Text] = []
    location: Name = "UTC"
