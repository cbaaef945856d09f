"""The pages by name: their titles, places in the URL and icons, and how to get from one to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import streamlit as st
from streamlit.navigation.page import Page


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page stands: ``path`` is empty for the first one."""

    title: str
    path: str
    icon: str


FLEET = Place("Fleet health", "", ":material/monitor_heart:")
MODEL = Place("Model", "model", ":material/show_chart:")
INCIDENT = Place("Incidents", "incident", ":material/fact_check:")
TELEMETRY = Place("Telemetry", "telemetry", ":material/sensors:")
OBJECTIVES = Place("Objectives", "objectives", ":material/flag:")
START = Place("Get started", "get-started", ":material/rocket_launch:")


def page(place: Place, run: Callable[[], None]) -> Page:
    """Make the page that stands at a place."""
    return st.Page(run, title=place.title, icon=place.icon, url_path=place.path or None, default=not place.path)


def link(place: Place, label: str, params: Mapping[str, str] | None = None, icon: str | None = None) -> None:
    """Show a link to a page."""
    st.page_link(
        page(place, _elsewhere), label=label, icon=icon, icon_position="right", query_params=dict(params or {})
    )


def go(place: Place, params: Mapping[str, str]) -> None:
    """Go to a page at once."""
    st.switch_page(page(place, _elsewhere), query_params=dict(params))


def _elsewhere() -> None:
    """Stand in for the page: Streamlit finds the one that ``app.py`` registered by its place alone."""
