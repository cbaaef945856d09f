"""The dashboard: six pages, each a file in ``views/``. Run by ``watchkeeper dashboard``."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from watchkeeper.dashboard import links
from watchkeeper.dashboard.views import fleet, incident, model, objectives, start, telemetry

ICON = str(Path(__file__).with_name("icon.svg"))


def main() -> None:
    """Show the page that the URL names."""
    st.set_page_config(page_icon=ICON, layout="wide")
    st.logo(ICON, size="large")
    pages = {
        "Watch": [
            links.page(links.FLEET, fleet.page),
            links.page(links.MODEL, model.page),
            links.page(links.OBJECTIVES, objectives.page),
            links.page(links.TELEMETRY, telemetry.page),
        ],
        "Review": [links.page(links.INCIDENT, incident.page)],
        "Set up": [links.page(links.START, start.page)],
    }
    shown = st.navigation(pages)
    st.set_page_config(page_title=f"{shown.title} · Watchkeeper")  # two tabs can be told apart
    shown.run()


if __name__ == "__main__":
    main()
