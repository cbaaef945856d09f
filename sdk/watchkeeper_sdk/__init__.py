"""Logs what an AI service predicted and what came of it, without ever harming the service.

>>> import watchkeeper_sdk as wk
>>> client = wk.init(url="", service="checkout")  # no URL: every call does nothing, silently
>>> event_id = wk.log_prediction(model="fraud", prediction=True, score=0.93)
>>> wk.log_outcome(event_id, True)
>>> wk.stats().logged
0
"""

from ._client import Client
from ._ledger import Stats
from ._request import AsyncRequest, Request
from ._version import __version__

__all__ = [
    "AsyncRequest",
    "Client",
    "Request",
    "Stats",
    "__version__",
    "arequest",
    "flush",
    "handle",
    "init",
    "log_llm",
    "log_outcome",
    "log_prediction",
    "log_review",
    "mark_change",
    "predict",
    "request",
    "shutdown",
    "stats",
]

_default = Client(url="")

init = _default.init
log_prediction = _default.log_prediction
log_llm = _default.log_llm
handle = _default.handle
log_outcome = _default.log_outcome
log_review = _default.log_review
mark_change = _default.mark_change
request = _default.request
arequest = _default.arequest
predict = _default.predict
flush = _default.flush
shutdown = _default.shutdown
stats = _default.stats
