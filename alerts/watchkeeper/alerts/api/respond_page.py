"""The page behind a signed link: what is wrong, and a form. One file, no script, nothing from elsewhere. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from watchkeeper.schemas.events import FeedbackWord

WORDS: dict[FeedbackWord, str] = {
    "acted_on": "Useful: something was done about it",
    "known": "True, but known already",
    "noise": "Noise: nothing was wrong",
    "wrong_threshold": "True, but too small to be told",
}
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.25rem}
pre{white-space:pre-wrap;background:#f4f5f7;padding:1rem;border-radius:6px;font-size:.85rem}
button{font:inherit;padding:.5rem 1rem;margin:.2rem .4rem .2rem 0;border:1px solid #555;border-radius:6px}
button:focus-visible,input:focus-visible{outline:3px solid #1565c0}
label{display:block;margin:.6rem 0 .2rem}
input{font:inherit;width:100%;max-width:24rem;padding:.4rem;box-sizing:border-box}
fieldset{border:1px solid #ccc;border-radius:6px;margin:1rem 0}
@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#14171a}pre,button,input{background:#1f2428;color:inherit}
a{color:#8ab4f8}}
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page says of one incident."""

    title: str
    state: str
    text: str
    acknowledged: str | None
    said: str | None
    incident_url: str
    evidence_url: str


def page(shown: Shown) -> str:
    """Write the page."""
    taken = f"<p>Taken on by {escape(shown.acknowledged)}.</p>" if shown.acknowledged else ""
    said = f"<p>Last feedback: {escape(shown.said)}.</p>" if shown.said else ""
    words = "".join(
        f'<button name="action" value="{word}" type="submit">{escape(label)}</button>' for word, label in WORDS.items()
    )
    take = "" if shown.acknowledged else '<p><button name="action" value="acknowledge">I take it on</button></p>'
    return _document(
        shown.title,
        f"<p>State: {escape(shown.state)}.</p>{taken}{said}"
        '<form method="post"><fieldset><legend>Your answer</legend>'
        '<label for="by">Your name</label><input id="by" name="by" maxlength="200" autocomplete="name">'
        f'<label for="reason">Why, in a few words</label><input id="reason" name="reason" maxlength="2000">{take}'
        f"<p>{words}</p></fieldset></form>"
        f"<pre>{escape(shown.text)}</pre>"
        f'<p><a rel="noreferrer" href="{escape(shown.incident_url)}">The incident on the dashboard</a> · '
        f'<a href="{escape(shown.evidence_url)}">Frozen evidence (JSON)</a></p>',
    )


def refusal(reason: str) -> str:
    """Say why the link opens nothing."""
    return _document("This link opens nothing", f"<p>{escape(reason)}</p>")


def _document(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main>"
        "</body></html>"
    )
