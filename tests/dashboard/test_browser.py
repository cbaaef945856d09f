"""A real browser on the real dashboard: every page draws, no request leaves the machine, every view is a permalink."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import pytest
from dashboard.stub import Stub, serving
from dashboard.world import World
from playwright.sync_api import Browser, Page, expect, sync_playwright

from watchkeeper.dashboard.launch import command

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
SLOW = 60_000
CHART = "[data-testid=stVegaLiteChart] svg.marks, [data-testid=stVegaLiteChart] canvas"

pytestmark = [
    pytest.mark.debian,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs the Debian package chromium at /usr/bin/chromium"),
]


@dataclass
class Visit:
    """One page of the browser, and where it sent requests."""

    page: Page
    base: str
    hosts: set[str] = field(default_factory=set)

    def go(self, path: str) -> None:
        self.page.goto(self.base + path)
        expect(self.page.locator("h1").first).to_be_visible(timeout=SLOW)

    def drawn(self, charts: int) -> None:
        expect(self.page.locator(CHART)).to_have_count(charts, timeout=SLOW)
        expect(self.page.locator("[data-testid=stSkeleton]")).to_have_count(0, timeout=SLOW)
        expect(self.page.locator("[data-testid=stException], [data-testid=stAlertContentError]")).to_have_count(0)


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with serving(World("degraded")) as server:
        yield server


@pytest.fixture(scope="module")
def dashboard(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the real command, from a working directory that has nothing to do with it."""
    port = free_port()
    argv, env = command(stub.url, port=port)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    log = elsewhere / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=env, cwd=elsewhere, stdout=out, stderr=subprocess.STDOUT)
    try:
        opener = build_opener(ProxyHandler({}))
        for _ in range(600):
            try:
                with opener.open(f"http://127.0.0.1:{port}/_stcore/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, log.read_text(encoding="utf-8")
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, dashboard: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    width, scheme = getattr(request, "param", (1440, "light"))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    made = Visit(context.new_page(), dashboard)
    made.page.on("request", lambda sent: made.hosts.add(urlsplit(sent.url).hostname or "data"))
    made.page.on("websocket", lambda opened: made.hosts.add(urlsplit(opened.url).hostname or ""))
    yield made
    context.close()
    assert made.hosts <= {"127.0.0.1", "data"}, "a request left the machine"


PATHS = [
    ("/", 2),
    ("/model?model=flight-delay%2Fdelay-gbm&window=28d&feature=carrier", 14),
    ("/incident?id=inc-7f3a", 2),
    ("/incident?state=all", 0),
    ("/objectives", 0),
    ("/telemetry", 0),
    ("/get-started", 0),
]


@pytest.mark.parametrize(("path", "charts"), PATHS)
def test_every_page_draws_and_asks_nobody_else(visit: Visit, path: str, charts: int) -> None:
    visit.go(path)
    visit.drawn(charts)


@pytest.mark.parametrize("visit", [(420, "light"), (420, "dark")], indirect=True)
@pytest.mark.parametrize("path", ["/", "/model?model=flight-delay", "/incident?id=inc-7f3a"])
def test_a_phone_needs_no_sideways_scrolling(visit: Visit, path: str) -> None:
    visit.go(path)
    expect(visit.page.locator(CHART).first).to_be_visible(timeout=SLOW)
    main = visit.page.locator("[data-testid=stMain]")
    assert main.evaluate("element => element.scrollWidth - element.clientWidth") <= 0


def test_a_permalink_shows_what_it_names(visit: Visit) -> None:
    visit.go("/model?model=support-assistant%2Fgpt-4o-mini&window=28d&feature=prompt_tokens")
    expect(visit.page.locator("h1")).to_have_text("support-assistant · gpt-4o-mini")
    expect(visit.page.get_by_text("24 Oct to 21 Nov 2026")).to_be_visible()
    expect(visit.page.get_by_text("Drift of prompt_tokens")).to_be_visible()
    visit.page.get_by_role("radio", name="90 d").or_(visit.page.get_by_role("button", name="90 d")).first.click()
    expect(visit.page.get_by_text("22 Sep to 21 Nov 2026")).to_be_visible(timeout=SLOW)
    assert "window=90d" in visit.page.url
    assert "model=support-assistant" in visit.page.url


def test_back_goes_back_to_what_was_chosen_before(visit: Visit) -> None:
    visit.go("/model?model=flight-delay%2Fdelay-gbm")
    heading = visit.page.locator("h1")
    visit.page.locator("[data-testid=stSelectbox] input").first.fill("vision")
    visit.page.keyboard.press("Enter")
    expect(heading).to_have_text("vision-qc · resnet-qc", timeout=SLOW)
    visit.page.go_back()
    expect(heading).to_have_text("flight-delay · delay-gbm", timeout=SLOW)
    visit.go("/incident")
    visit.page.get_by_text("Resolved", exact=True).first.click()
    expect(visit.page.get_by_text("Scan_dpi of")).to_be_visible(timeout=SLOW)
    visit.page.go_back()
    expect(visit.page.get_by_text("makes 16 % of the rows")).to_be_visible(timeout=SLOW)


def test_from_the_sentence_to_the_evidence_and_an_acknowledgement(visit: Visit, stub: Stub) -> None:
    visit.go("/")
    visit.page.locator("[data-testid=stMain]").get_by_role("link", name="Evidence").click()
    expect(visit.page.get_by_text("Share of rows with a value never seen before")).to_be_visible(timeout=SLOW)
    assert "id=inc-7f3a" in visit.page.url
    visit.page.get_by_role("button", name="Acknowledge").click()
    expect(visit.page.get_by_text("Acknowledged by")).to_be_visible(timeout=SLOW)
    assert set(stub.world.acknowledged) == {"inc-7f3a"}


def test_the_dark_theme_is_dark_and_its_axis_labels_are_light(browser: Browser, dashboard: str) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.goto(dashboard)
        label = page.locator("[data-testid=stVegaLiteChart] svg.marks .role-axis-label text").first
        expect(label).to_be_visible(timeout=SLOW)
        background = page.locator("[data-testid=stApp]").evaluate(
            "element => getComputedStyle(element).backgroundColor"
        )
        seen[scheme] = (background, str(label.get_attribute("fill")))
        context.close()
    assert seen == {"light": ("rgb(255, 255, 255)", "#5d6672"), "dark": ("rgb(15, 19, 24)", "#9aa3b0")}
