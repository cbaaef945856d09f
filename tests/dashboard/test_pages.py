"""Each page, run by Streamlit against a server that answers, has nothing, refuses, or is away."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from dashboard.conftest import Serve
from streamlit.proto.Metric_pb2 import Metric
from streamlit.testing.v1 import AppTest

from watchkeeper.dashboard import cached
from watchkeeper.dashboard.launch import ENTRY

Open = Callable[..., AppTest]
PAGES = ("fleet", "model", "incident", "objectives", "telemetry")


def _run(page: str) -> None:
    import importlib  # noqa: PLC0415  # this function is the script that Streamlit runs

    importlib.import_module(f"watchkeeper.dashboard.views.{page}").page()


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Run one page with what its URL says; nothing is kept from other tests."""
    cached.forget()

    def run(url: str, page: str, **params: str) -> AppTest:
        monkeypatch.setenv("WATCHKEEPER_URL", url)
        app = AppTest.from_function(_run, args=(page,), default_timeout=60)
        for name, value in params.items():
            app.query_params[name] = value
        return app.run()

    yield run
    cached.forget()


def texts(app: AppTest) -> str:
    kinds = (app.title, app.markdown, app.caption, app.error, app.info, app.subheader, app.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def specs(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


def test_the_entry_script_shows_fleet_health_with_all_pages(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_URL", serve().url)
    cached.forget()
    app = AppTest.from_file(str(ENTRY), default_timeout=60).run()
    assert not app.exception
    assert app.title[0].value == "Fleet health"


def test_fleet_health_in_trouble(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "fleet")
    assert not app.exception
    words = texts(app)
    assert "#### carrier of **flight\\-delay**" in words
    assert "6 services · last 7 days · data complete to 08:59 UTC (99.98\u2009% of what was sent)" in words
    assert "8 of 10 judged alerts were acted on (13 alerts in all)" in words
    assert "**Not known:**" in words
    assert "What is real in this demo" in words
    assert [metric.label for metric in app.metric] == [
        "Requests, 7 days", "p95 vs objective, worst", "Error budget left, worst", "Cost per 1k requests",
    ]  # fmt: skip
    assert app.metric[2].delta.startswith("-"), "a fall must begin with an ASCII minus"
    orange, gray = Metric.MetricColor.ORANGE, Metric.MetricColor.GRAY
    assert [metric.proto.color for metric in app.metric] == [gray, orange, orange, gray]
    table = app.dataframe[0].value
    assert list(table["service"])[:2] == ["flight-delay", "support-assistant"]
    assert table["error"].iloc[0] == "20\u2009% · 46\u2009% known"
    assert specs(app) == 2


def test_fleet_health_when_all_is_well(serve: Serve, open_page: Open) -> None:
    app = open_page(serve("healthy").url, "fleet")
    assert not app.exception
    assert "nothing unusual in the last 7 days" in texts(app)
    assert not app.error
    assert {metric.proto.color for metric in app.metric} == {Metric.MetricColor.GRAY}, "colour means trouble only"


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_server_shows_how_to_get_started(serve: Serve, open_page: Open, page: str) -> None:
    app = open_page(serve("empty").url, page)
    assert not app.exception
    words = texts(app)
    assert app.title[0].value == "Get started"
    for way in ("watchkeeper demo", "watchkeeper import FILE --service", "wk.log_prediction(", "curl "):
        assert way in words
    assert "Authorization" not in words


def test_the_ways_in_of_a_server_that_asks_for_a_key_carry_one(
    serve: Serve, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_API_KEY", "secret")
    words = texts(open_page(serve("empty").url, "fleet"))
    assert 'Authorization: Bearer $WATCHKEEPER_API_KEY"' in words
    assert "secret" not in words


def test_the_ways_in_name_the_address_that_others_reach_the_server_by(serve: Serve, open_page: Open) -> None:
    stub = serve("empty")
    made = stub.world.status
    assert f"curl {stub.url}/v1/predictions" in texts(open_page(stub.url, "fleet"))
    stub.world.status = lambda: made() | {"public_url": "https://watch.example/"}  # type: ignore[method-assign]
    words = texts(open_page(stub.url, "fleet"))
    for way in (
        'wk.init("https://watch.example",',
        "curl https://watch.example/v1/predictions",
        "to `https://watch.example` yet",
    ):
        assert way in words
    assert stub.url not in words


def test_events_that_were_all_turned_away_are_not_waited_for(serve: Serve, open_page: Open) -> None:
    stub = serve("empty")
    made, reasons = stub.world.status, [{"kind": "predictions", "field": "model", "reason": "is missing", "n": 31}]
    stub.world.status = lambda: made() | {"rejected": 31}  # type: ignore[method-assign]
    stub.world.rejects = lambda: {"reasons": reasons}  # type: ignore[method-assign]
    words = texts(open_page(stub.url, "fleet"))
    assert "31 events came and none could be used. The most frequent reason: `model`: is missing." in words
    assert "No event has come" not in words


def test_an_alert_of_another_system_is_told_before_the_first_event(serve: Serve, open_page: Open) -> None:
    stub = serve("empty")
    posted = [stub.world._flights()]
    stub.world.incidents = lambda state="open": posted if state != "resolved" else []  # type: ignore[method-assign]
    app = open_page(stub.url, "fleet")
    assert not app.exception
    assert "#### carrier of **flight\\-delay**" in texts(app)


@pytest.mark.parametrize(
    ("page", "params", "says"),
    [
        ("model", {"model": "gone/away"}, "There is no model gone\\/away"),
        ("model", {"model": "flight-delay", "feature": "gone"}, "There is no input gone in this window"),
        ("objectives", {"slo": "gone"}, "There is no objective gone"),
    ],
)
def test_an_address_that_names_what_is_not_there_says_so(
    serve: Serve, open_page: Open, page: str, params: dict[str, str], says: str
) -> None:
    app = open_page(serve().url, page, **params)
    assert not app.exception
    assert [says in warning.value for warning in app.warning] == [True]


def test_the_first_event_turns_get_started_into_the_dashboard(serve: Serve, open_page: Open) -> None:
    stub = serve("empty")
    app = open_page(stub.url, "fleet")
    assert app.title[0].value == "Get started"
    stub.world.scenario = "healthy"
    app.run()
    assert app.title[0].value == "Fleet health"


@pytest.mark.parametrize("page", PAGES)
def test_no_server_is_one_sentence(open_page: Open, page: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        app = open_page(f"http://127.0.0.1:{taken.getsockname()[1]}", page)
    assert not app.exception
    assert len(app.error) == 1
    assert "start it with `watchkeeper serve`" in app.error[0].value
    assert app.error[0].value.endswith("This page tries again by itself.")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("code", "says"), [(401, "WATCHKEEPER\\_API\\_KEY"), (422, "HTTP 422"), (500, "HTTP 500")])
def test_a_refusal_is_one_sentence(serve: Serve, open_page: Open, page: str, code: int, says: str) -> None:
    app = open_page(serve(refuse=code).url, page)
    assert not app.exception
    assert len(app.error) == 1
    assert says in app.error[0].value


def test_a_model_with_all_its_numbers(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "model", model="flight-delay/delay-gbm")
    assert not app.exception
    words = texts(app)
    assert app.title[0].value == "flight\\-delay · delay\\-gbm"
    assert [metric.value for metric in app.metric][-1] == "–", "no price is declared: the cost is not known"
    for title in ("Rate", "Errors", "Duration", "Error budget left", "Quality", "Cost per 1k requests"):
        assert f"**{title}**" in words
    assert "never seen before\\: JBU \\(958\\), JBUX \\(12\\)" in words
    assert specs(app) == 5 + 8
    assert app.button[0].label == "**carrier**", "what is in trouble comes first"


def test_gaps_between_protected_groups_stand_on_the_page_of_their_model(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "model", model="fraud-score/gbm-2026-09")
    assert not app.exception
    assert "**Protected groups**" in texts(app)
    table = app.table[0].value
    assert list(table["what"]) == ["gender=f", "gender=x"]
    assert list(table["now"]) == ["-3.0\u2009pt (-5.0\u2009pt to -1.0\u2009pt)", "too few: it takes 100"]
    assert "Protected groups" not in texts(open_page(serve().url, "model", model="flight-delay/delay-gbm"))


@pytest.mark.parametrize("window", ["28d", "90d", "all"])
def test_the_window_in_the_address_is_shown(serve: Serve, open_page: Open, window: str) -> None:
    app = open_page(serve().url, "model", model="support-assistant", window=window)
    assert not app.exception
    first = {"28d": "24 Oct", "90d": "22 Sep", "all": "22 Sep"}[window]
    assert f"{first} to 21 Nov 2026" in texts(app)


def test_choosing_another_model_changes_the_address(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "model")
    app.selectbox[0].select(("fraud-score", "gbm-2026-09")).run()
    assert not app.exception
    assert app.query_params["model"] in ("fraud-score/gbm-2026-09", ["fraud-score/gbm-2026-09"])
    assert app.title[0].value == "fraud\\-score · gbm\\-2026\\-09"


def test_one_feature_in_full_by_its_address(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "model", model="flight-delay", feature="carrier")
    assert not app.exception
    assert "**Drift of carrier**" in texts(app)
    app = open_page(serve().url, "model", model="flight-delay", feature="no-such-input")
    assert not app.exception


def test_the_evidence_of_an_incident(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "incident", id="inc-7f3a")
    assert not app.exception
    words = texts(app)
    assert app.title[0].value.startswith("carrier of **flight\\-delay**")
    for said in (
        "Grade B, beta\\-binomial over days\\: by chance practically never", "**about \\$1", "**ops\\-planning**",
        "[Runbook](<https://wiki.example/runbooks/flight-delay>)", "Fall back on", "**carrier** → **error**",
        "Candidates for a cause, not proof.", "before the onset", "HTTP 404 from the webhook", '"vanished": "B6"',
        "What is real in this demo", "came from a shifted mix of carrier, JBU above all",
    ):  # fmt: skip
        assert said in words, said
    assert specs(app) == 2
    (origin,) = [table.value for table in app.table if "mix" in table.value]
    assert origin["segment"].to_list() == [f"carrier={value}" for value in ("JBU", "B6", "UA", "AA")]
    assert origin["mix"][0] == "**+3.1\u2009pt (+2.7 to +3.5)**"


def test_why_it_was_told_and_to_whom_not(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "incident", id="inc-7f3a")
    words = "\n".join(str(one.value) for kind in (app.markdown, app.caption) for one in kind).replace("\\", "")
    for said in (
        "Told to ops-planning. Not reached: chat, planner@2.", "data.unseen/unseen_share on carrier: page",
        "all/pages → ops-planning: told first at 2026-11-18 09:50:00 UTC; escalates at 2026-11-18 10:50:00 UTC",
        "all/chat → chat: not delivered, told first",
        "it was no news beside the rest of its incident", "to chat, as it fired: refused for good",
        "HTTP 404 from the webhook", "to planner@2, as it fired: not delivered yet after 3 attempts",
        "next attempt 09:04",
        "Labels: alertname=data.unseen/unseen_share, model=delay-gbm, service=flight-delay, severity=page",
    ):  # fmt: skip
        assert said in words, said
    assert "1 notice, of which nobody is told" in [one.label for one in app.expander]


def test_why_nobody_was_told(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "incident", id="inc-19bc")
    assert not app.exception
    words = texts(app).replace("\\", "")
    until = "silenced by ada: known, ticket 4711, until 2026-11-21 11:00:00 UTC"
    assert f"Nobody was told: {until}." in words
    assert f"all → support-chat: held, {until}" in words


def test_an_incident_that_is_not_about_outcomes_has_no_split(serve: Serve, open_page: Open) -> None:
    stub = serve()
    app = open_page(stub.url, "incident", id="inc-19bc")
    assert not app.exception
    assert "Where the error comes from" not in texts(app)
    assert not [path for path in stub.asked if "/queries/split" in path]


def test_a_prediction_behind_an_incident(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "incident", id="inc-7f3a", prediction="fl-2026-11-18-B6-1103")
    assert not app.exception
    assert "JBU" in app.table[2].value.to_string()
    app.text_input[-1].set_value("no-such-id").run()
    assert not app.exception
    assert "there is no prediction no\\-such\\-id".capitalize() in texts(app)


def test_acknowledging_and_feedback_reach_the_server(serve: Serve, open_page: Open) -> None:
    stub = serve()
    app = open_page(stub.url, "incident", id="inc-7f3a")
    app.text_input(key="respond_name").set_value("kim")
    app.text_input(key="respond_reason").set_value("renamed upstream")
    app.button(key="acknowledge-inc-7f3a").click().run()
    assert not app.exception
    assert stub.world.acknowledged == {"inc-7f3a": "kim"}
    app.button(key="say-acted_on").click().run()
    assert not app.exception
    assert stub.world.feedback == [{"id": "inc-7f3a", "word": "acted_on", "reason": "renamed upstream", "by": "kim"}]
    assert "Acted on, says kim 09\\:00\\: renamed upstream" in texts(app)


def test_evidentlys_page_is_made_on_demand_and_can_be_downloaded(serve: Serve, open_page: Open) -> None:
    stub = serve()
    app = open_page(stub.url, "incident", id="inc-7f3a")
    assert not [path for path in stub.asked if "/v1/evidently" in path]
    app.button(key="evidently-make").click().run()
    assert not app.exception
    assert [path for path in stub.asked if path.startswith("/v1/evidently/page?service=flight-delay&model=")]
    assert [one.proto.label for one in app.get("download_button")] == ["Download Evidently's page"]


def test_where_evidently_is_not_installed_the_page_says_so(serve: Serve, open_page: Open) -> None:
    stub = serve()
    stub.world.evidently = False
    app = open_page(stub.url, "incident", id="inc-7f3a")
    app.button(key="evidently-make").click().run()
    assert not app.exception
    [error] = [one.value for one in app.error]
    assert "Evidently cannot be used here" in error
    assert not app.get("download_button")


def test_an_unknown_incident_is_one_sentence(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "incident", id="nope")
    assert not app.exception
    assert [info.value for info in app.info] == ["There is no incident nope."]


def test_the_inbox_lists_the_worst_first_and_opens_one(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "incident")
    assert not app.exception
    assert app.title[0].value == "Incidents"
    assert "8 of 10 judged alerts were acted on" in texts(app)
    rows = [
        element.value for element in app.markdown if "flight\\-delay" in element.value or "support" in element.value
    ]
    assert "flight\\-delay" in rows[0]
    assert "since Wed 04\\:50 UTC · noticed 5" in texts(app), "the same onset as on Fleet health and the evidence"
    app.button(key="open-inc-7f3a").click().run()
    assert not app.exception
    assert app.title[0].value.startswith("carrier of")


@pytest.mark.parametrize(("state", "many"), [("open", 2), ("resolved", 3), ("all", 5)])
def test_the_inbox_shows_the_asked_state(serve: Serve, open_page: Open, state: str, many: int) -> None:
    app = open_page(serve().url, "incident", state=state)
    assert not app.exception
    assert sum(button.key.startswith("open-") for button in app.button if button.key) == many


def test_foreign_words_are_shown_as_they_are(serve: Serve, open_page: Open) -> None:
    stub = serve()
    made = stub.world._flights

    def rude() -> dict[str, object]:
        return made() | {"title": "![x](http://evil.example/x.png) :red[now] $\\int$"}

    stub.world._flights = rude  # type: ignore[method-assign]
    app = open_page(stub.url, "incident")
    assert not app.exception
    assert not any("![x](" in element.value or "](http://evil" in element.value for element in app.markdown)


def test_what_a_prediction_carries_is_shown_as_it_is(serve: Serve, open_page: Open) -> None:
    stub = serve()
    rude = {"prediction": [{"prompt": "![x](http://evil.example/x.png)"}]}
    stub.world.prediction = lambda _: rude  # type: ignore[method-assign,assignment]
    app = open_page(stub.url, "incident", id="inc-7f3a", prediction="a")
    assert not app.exception
    assert not any("![x](" in table.value.to_string() for table in app.table)


def test_a_model_that_samples_says_what_its_numbers_rest_on(serve: Serve, open_page: Open) -> None:
    stub = serve()
    assert "samples" not in texts(open_page(stub.url, "model", model="support-assistant/gpt-4o-mini"))
    made = stub.world.query
    stub.world.query = lambda name, params: [  # type: ignore[method-assign]
        row | {"rows": 1234} if name == "overview" else row for row in made(name, params) or []
    ]
    cached.forget()
    app = open_page(stub.url, "model", model="support-assistant/gpt-4o-mini")
    assert not app.exception
    assert "The service samples: requests, failures, latency and cost are estimated from 1\u2009234 rows" in texts(app)


def test_a_model_named_like_markdown_is_named_as_it_is(serve: Serve, open_page: Open) -> None:
    stub = serve()
    made = stub.world.query
    named = "*a* $x$"
    stub.world.query = lambda name, params: [  # type: ignore[method-assign]
        row | {"model": named} if row.get("model") == "gpt-4o-mini" else row for row in made(name, params) or []
    ]
    app = open_page(stub.url, "model", model=f"support-assistant/{named}")
    assert app.title[0].value == "support\\-assistant · \\*a\\* \\$x\\$"


def test_telemetry_says_who_is_silent_what_is_lost_and_what_was_turned_away(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "telemetry")
    assert not app.exception
    words = texts(app)
    assert "1 expected sender of 2 not heard of: checkout at oslo." in words
    assert "150 dropped · 12 missing · 38 overdue · 10 pending" in words
    assert "99.98\u2009% of what was sent" in words
    expected, clients, halves, rejects = (table.value for table in app.dataframe)
    assert expected["state"].to_list() == ["Offline", "Heard"]
    assert expected["offline since"].to_list()[1] == "–"
    assert clients["missing"].to_list() == [12, 0]
    assert halves["halves"].to_list() == [3, 40, 2]
    assert rejects["events"].to_list() == [31]


def test_telemetry_when_everything_is_heard(serve: Serve, open_page: Open) -> None:
    app = open_page(serve("healthy").url, "telemetry")
    assert "What clients logged in the last day is here" in texts(app)
    assert "Nothing is open." in texts(app)
    assert "Requests and responses" not in texts(app)
    assert {metric.proto.color for metric in app.metric} == {Metric.MetricColor.GRAY}


def test_what_people_said_of_alerts_leads_to_a_proposal_on_the_inbox(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "incident")
    assert not app.exception
    assert [one.label for one in app.expander if "a change is proposed" in one.label]
    assert "Proposed: threshold 0.3 instead of 0.2." in texts(app)
    assert "kind: Monitor" in texts(app)
    calm = open_page(serve("healthy").url, "incident")
    assert not [one.label for one in calm.expander if "a change is proposed" in one.label]


def test_objectives_show_the_worst_first_and_one_in_detail(serve: Serve, open_page: Open) -> None:
    app = open_page(serve().url, "objectives", slo="flight-delay-latency")
    assert not app.exception
    words = texts(app)
    assert "burning, its budget is overspent by 14\u2009%" in words
    assert "99.9\u2009%" in list(app.dataframe[-1].value["promised"]), "no promise is rounded up to 100"
    assert [metric.label for metric in app.metric] == ["Promised", "Kept", "Error budget left", "Gate"]
    assert "Promised\\: 95 % of all events, 24 Oct to 21 Nov 2026, rolling; about 613 events an hour." in words
    assert "23.5\u2009k of 412\u2009k were bad, 20.6\u2009k may be" in words
    assert "No new model" in words
    assert "new disks (ada)" in words
    assert "Restated, as outcomes came late" in words
    wall = app.dataframe[-1].value
    assert list(wall["objective"]) == ["flight-delay-latency", "watchkeeper-evaluation", "vision-qc-errors"]
    assert wall["gate"].iloc[0] == "closed"


def test_objectives_that_are_kept_and_what_nobody_knows(serve: Serve, open_page: Open) -> None:
    app = open_page(serve("healthy").url, "objectives")
    assert not app.exception
    assert "1 of 3 objectives are kept." in texts(app)
    assert "2 of them not known" in texts(app)
    assert not app.metric, "the wall alone: nothing was chosen"
