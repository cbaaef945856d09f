"""``watchkeeper serve``: one process, one port, nothing else to start."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from collections.abc import AsyncGenerator

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response

from watchkeeper.alerts.alertmanager.api import AlertmanagerRoutes
from watchkeeper.alerts.api.incident_routes import incident_routes
from watchkeeper.alerts.api.quiet_routes import quiet_routes
from watchkeeper.alerts.api.receiver_routes import receiver_routes
from watchkeeper.alerts.api.respond_routes import RespondRoutes
from watchkeeper.app import __version__, heap
from watchkeeper.app.access import is_loopback
from watchkeeper.app.api import ReadRoutes
from watchkeeper.app.evidently_routes import EvidentlyRoutes
from watchkeeper.app.gate import Gate, Needs
from watchkeeper.app.keyring import KeyRing, file_key
from watchkeeper.app.metrics import ServerCollector
from watchkeeper.app.reference_routes import ReferenceRoutes
from watchkeeper.app.rejects import RejectRoutes
from watchkeeper.app.rooms import Rooms, open_stores
from watchkeeper.app.slo_routes import slo_routes
from watchkeeper.app.slos import KeptSlos, SloReader
from watchkeeper.app.status import StatusReader
from watchkeeper.app.tls import server_files
from watchkeeper.app.upkeep_routes import UpkeepRoutes
from watchkeeper.collector.routes import IngestRoutes, refusal, words
from watchkeeper.schemas.errors import NotAllowed, NotFound, SettingsError, WatchkeeperError
from watchkeeper.schemas.settings import Settings
from watchkeeper.store.clock import wall

log = logging.getLogger("watchkeeper.server")
DRAIN_SECONDS = 10


def create_app(rooms: Rooms, key: str | None) -> FastAPI:
    """Wire the routes of every room over their stores; the rooms are started, their end is the application's.

    ``key`` is the one of the key file, where there is one.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield
        rooms.stop()  # here, because a signal ends the process as soon as the shutdown is complete

    stores, settings = rooms.stores, rooms.settings
    app = FastAPI(title="Watchkeeper", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    status = StatusReader(
        __version__,
        stores.inbox,
        stores.facts,
        rooms.clock,
        rooms.evaluated_to,
        settings.server.notes_file,
        settings.server.public_url,
    )
    slos = SloReader(rooms.reader, rooms.declarations, rooms.clock)
    collector = ServerCollector(status, rooms.alert_counts, rooms.poller.targets, KeptSlos(slos))
    alertmanager = AlertmanagerRoutes(stores.control, rooms.clock, rooms.links, __version__, wall(), rooms.alert_inlet)
    routers = (
        alertmanager.way_in(),
        alertmanager.router(),
        IngestRoutes(stores.inbox, settings.ingest, rooms.loader.known).router(),
        ReadRoutes(rooms.reader, status, rooms.clock, rooms.declarations, rooms.not_ready, collector).router(),
        slo_routes(slos),
        RejectRoutes(stores.facts, rooms.clock).router(),
        UpkeepRoutes(rooms.upkeep).router(),
        EvidentlyRoutes(rooms.reader, rooms.clock, rooms.declarations).router(),
        ReferenceRoutes(stores.facts, stores.control, rooms.upkeep, rooms.clock, rooms.declarations).router(),
        quiet_routes(stores.control, rooms.clock),
        incident_routes(stores.control, rooms.clock, rooms.links, rooms.parameters),
        receiver_routes(stores.control, wall),
        RespondRoutes(stores.control, rooms.clock, wall, rooms.links, rooms.responding).router(),
    )
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(WatchkeeperError, _known)
    ring = KeyRing(stores.control, wall, key, open_without_keys=is_loopback(settings.server.host))
    app.add_middleware(Gate, ring=ring, needs=Needs.of(routers), words=words(settings.ingest))
    return app


YOUNG_OBJECTS = 50_000
"""Objects made, less those let go, before the collector looks."""
_STATUS: dict[type[WatchkeeperError], int] = {NotFound: 404, NotAllowed: 403}


async def _known(_request: Request, error: Exception) -> Response:
    """Answer an error of ours with its reason."""
    known = error if isinstance(error, WatchkeeperError) else WatchkeeperError(str(error))
    response = refusal(known)
    response.status_code = _STATUS.get(type(known), response.status_code)
    return response


def serve(settings: Settings) -> None:
    """Serve until told to stop; then finish what is at hand."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for library in ("alembic", "httpx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it warns at every tick of a round that takes longer
    heap.share()
    key = file_key(settings)
    certificate, certificate_key = server_files(settings.server)
    config = uvicorn.Config(
        app=FastAPI(),
        host=settings.server.host,
        port=settings.server.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_SECONDS,
        lifespan="on",
        ssl_certfile=certificate,
        ssl_keyfile=certificate_key,
    )
    try:
        listening = config.bind_socket()
    except (OSError, SystemExit):
        raise SettingsError(
            f"cannot listen on {settings.server.host}:{settings.server.port}: choose another --port, "
            "or see `watchkeeper doctor`"
        ) from None
    host, port = listening.getsockname()[:2]
    known = msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, port=port))
    rooms = Rooms(known, open_stores(known))
    rooms.start()
    config.app = create_app(rooms, key)
    scheme = "https" if certificate else "http"
    log.info("watchkeeper %s listens on %s://%s:%s, data in %s", __version__, scheme, host, port, settings.data_dir)
    _spare_the_collector()
    uvicorn.Server(config).run(sockets=[listening])


def _spare_the_collector() -> None:
    """Let the garbage collector never look again at what lives as long as the process, and not at every short list.

    A body of a thousand events makes thousands of tuples for some milliseconds: with Python's own threshold the
    collector took a sixth of what taking them in cost.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
