"""A storm of alerts on the real server: the short form of ``python -m benchmarks storm``, with counts for times."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path

import yaml
from benchmarks.storm import BATCH, sink
from e2e.running import Server, until

ALERTS, GROUPS, PAGES, CONNECTIONS = 600, 30, 3, 4


def storm_alert(number: int) -> dict:
    name = f"Storm{number % GROUPS}"
    labels = {"alertname": name, "service": name.lower(), "job": "storm", "instance": f"host-{number}"}
    return {"labels": labels, "annotations": {"summary": f"host {number} is away"}}


def page(number: int) -> dict:
    labels = {"alertname": f"Page{number}", "service": f"shop-{number}", "severity": "critical"}
    return {"labels": labels, "annotations": {"summary": "nobody can pay"}}


def declared(folder: Path, url: str) -> Path:
    route = {"receiver": "others", "group_by": ["alertname"], "group_wait": "1s"}
    route["routes"] = [{"matchers": ["job=storm"], "receiver": "storm"}]
    documents = [
        {"kind": "Receiver", "metadata": {"name": "storm"}, "spec": {"type": "webhook", "url": f"{url}/storm"}},
        {"kind": "Receiver", "metadata": {"name": "others"}, "spec": {"type": "webhook", "url": f"{url}/others"}},
        {"kind": "Route", "metadata": {"name": "all"}, "spec": route},
    ]
    target = folder / "watchkeeper.d"
    target.mkdir()
    (target / "all.yaml").write_text(yaml.safe_dump_all([{"apiVersion": "watchkeeper/v1"} | one for one in documents]))
    return target


def post(port: int, batches: list[list[dict]], statuses: list[int]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    for batch in batches:
        connection.request("POST", "/api/v2/alerts", json.dumps(batch), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()


def gauge(server: Server, start: str) -> int:
    lines = [line for line in server.client.get("/metrics").text.splitlines() if line.startswith(start)]
    assert lines, start
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


def test_each_group_is_told_once_and_every_alert_is_there(tmp_path: Path) -> None:
    batches = [[storm_alert(number) for number in range(at, min(at + BATCH, ALERTS))] for at in range(0, ALERTS, BATCH)]
    shares = [batches[place::CONNECTIONS] for place in range(CONNECTIONS)]
    for number in range(PAGES):
        shares[number].append([page(number)])
    statuses: list[int] = []
    with sink() as (url, heard):
        settings = {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(declared(tmp_path, url))}
        with Server(tmp_path, settings) as server:
            threads = [threading.Thread(target=post, args=(server.port, share, statuses)) for share in shares]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert set(statuses) == {200}
            assert len(server.get("/api/v2/alerts")) == ALERTS + PAGES, "what was answered for is shown"
            until(lambda: len(heard), lambda count: count >= GROUPS + PAGES, 120)
            until(lambda: gauge(server, "watchkeeper_posted_alerts_waiting"), lambda count: count == 0)
            until(lambda: gauge(server, 'watchkeeper_outbox_messages{state="waiting"}'), lambda count: count == 0)
            shown = server.get("/api/v2/alerts")
    assert Counter(one["status"]["state"] for one in shown) == {"active": ALERTS + PAGES}
    told = Counter((path, body["groupLabels"]["alertname"]) for _, path, body in heard)
    assert set(told.values()) == {1}
    assert Counter(path for path, _ in told) == {"/storm": GROUPS, "/others": PAGES}
