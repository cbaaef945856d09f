"""Templates: the operator's own text, linted when declared, harmless when broken or poisoned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from alerts.declaring import declare, receiver, stored, tell
from alerts.notes import NOTE
from alerts.samples import day, finding
from alerts.sink import Sink, sink

from watchkeeper.alerts.delivery.addresses import check_receivers
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.messages.templates import applied, problem_of
from watchkeeper.schemas.declared import Declarations, Route, Template
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Sending

POISONED = {
    "endless": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "huge": "{{ 'x' * 30000 }}",
    "enormous": "{{ ('x' * 99999).center(9999999999) }}",
    "attributes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__ }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(title) }}",
    "mutating": "{{ alerts.append(1) }}",
    "unknown": "{{ titel }}",
    "division": "{{ 1 / 0 }}",
    "syntax": "{% if title %}",
    "surrogate": r"{{ '\ud800' }}",
    "deep": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
}


@pytest.fixture
def hook() -> Iterator[Sink]:
    with sink() as running:
        yield running


def test_title_and_text_of_your_own() -> None:
    template = Template(
        title="{{ severity|upper }} at {{ service }}\nand more", text="{{ alerts[0].summary }}; {{ owner }}"
    )
    shown, note = applied(template, NOTE)
    assert (shown.title, shown.text, note) == (
        "PAGE at delays and more",
        "PAGE at delays and more\nit drifts; operations",
        "",
    )


def test_what_is_not_given_stays() -> None:
    shown, _ = applied(Template(title="T"), NOTE)
    assert shown.text == "T\n" + NOTE.text.partition("\n")[2]


def test_no_template_can_hide_that_it_is_late() -> None:
    late = dataclasses.replace(NOTE, title="[late 58 min] x", text="[late 58 min] x\nbody", late_seconds=3500)
    shown, _ = applied(Template(title="T"), late)
    assert shown.title == "[late 58 min] T"


@pytest.mark.parametrize("name", POISONED)
def test_a_poisoned_template_is_refused_when_declared_and_costs_nobody_the_message(
    control: Control, hook: Sink, name: str
) -> None:
    template = Template(text=POISONED[name])
    poisoned = receiver("hook", "webhook", url=hook.url, template=template)
    (problem,) = check_receivers(Declarations(receivers=(poisoned,)))
    assert problem.startswith("Receiver hook: template ")
    routes = declare(control, poisoned, Route(name="all", receiver="hook"))
    tell(control, routes, finding(), now=day(1))
    Sender(control).run_once(day(1))
    (message,) = stored(control)
    assert message.state is Sending.DELIVERED
    assert message.deliveries[-1].detail.startswith("the template failed (")
    assert message.deliveries[-1].detail.endswith("): sent as plain text")
    assert hook.received[0].body["commonAnnotations"]["message"] == message.payload["text"]  # type: ignore[index, call-overload]


def test_a_template_sees_no_secret_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGERDUTY_KEY", "tell-nobody")
    shown, note = applied(Template(text="{{ self._TemplateReference__context }}"), NOTE)
    assert "tell-nobody" not in shown.text + note


def test_syntax_is_said_with_its_line() -> None:
    assert (
        problem_of(Template(text="ok\n{% for %}"))
        == "template text, line 2: Expected an expression, got 'end of statement block'"
    )
    assert problem_of(Template()) == "a template has a title or a text"
    assert problem_of(Template(title="{{ title }}", text="{{ text }}")) is None
