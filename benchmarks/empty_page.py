"""The peer of ``first_chart``: a Streamlit page that holds one Vega-Lite chart and nothing else."""

import streamlit as st

st.set_page_config(layout="wide")
st.vega_lite_chart(
    {
        "mark": "line",
        "data": {"values": [{"x": place, "y": place * 7 % 13} for place in range(168)]},
        "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
    }
)
