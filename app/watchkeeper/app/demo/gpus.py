"""Four made GPUs behind a real HTTP endpoint, in dcgm-exporter's text, on the replay's clock.

Everything here is made. The idle powers follow recorded H100s: about 68 W empty, about 114 W where a model
is loaded and nobody asks. The names, units and labels are dcgm-exporter's. One thing differs from it: each
sample carries its time, which the text format allows, because the replay's clock is not the wall's.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

HOST = "gpu-node-1"
MODEL_NAME = "NVIDIA H100 80GB HBM3"
MEMORY_MIB = 81079
MAX_CLOCK_MHZ, IDLE_CLOCK_MHZ = 1980, 345
BOOTED = datetime(2020, 1, 1, tzinfo=UTC)
SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One made GPU: how busy it is by day and by night, what it holds, and who holds it.

    ``day`` and ``night`` are the shares of time in which it works from 08:00 to 20:00 UTC and otherwise.
    """

    day: float
    night: float
    memory_mib: int
    idle_w: float
    pod: str


GPUS = (
    Gpu(day=0.88, night=0.72, memory_mib=71_420, idle_w=114.0, pod="assistant-decode-0"),
    Gpu(day=0.84, night=0.70, memory_mib=70_988, idle_w=114.0, pod="assistant-decode-1"),
    Gpu(day=0.62, night=0.0, memory_mib=38_212, idle_w=110.0, pod="embeddings-0"),
    Gpu(day=0.0, night=0.0, memory_mib=63_744, idle_w=114.0, pod="notebook-7f9c"),
)
"""Two busy, one idle at night, and one that holds its memory and does nothing: idle-held."""

_FAMILIES = (
    ("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %)."),
    ("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB)."),
    ("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB)."),
    ("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W)."),
    ("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C)."),
    ("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz)."),
    ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", "Ratio of cycles the tensor pipe is active."),
    ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", "Ratio of time the graphics engine is active."),
    ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "Total energy since boot (in mJ)."),
    ("DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered."),
)


def render(at: datetime) -> str:
    """Write what a scrape at this time reads: the same time gives the same text.

    Power wavers by some per cent from minute to minute; the energy counter leaves that out.
    """
    stamp = int(at.timestamp() * 1000)
    samples = [(_labels(index, gpu), _sample(index, gpu, at)) for index, gpu in enumerate(GPUS)]
    lines: list[str] = []
    for column, (name, kind, text) in enumerate(_FAMILIES):
        lines += (f"# HELP {name} {text}", f"# TYPE {name} {kind}")
        lines += (f"{name}{{{labels}}} {values[column]} {stamp}" for labels, values in samples)
    return "\n".join(lines) + "\n"


def _labels(index: int, gpu: Gpu) -> str:
    tail = f"{zlib.crc32(gpu.pod.encode()):08x}"
    labels = {
        "gpu": str(index),
        "UUID": f"GPU-{tail}-0000-4000-8000-{index:012d}",
        "pci_bus_id": f"00000000:{0x53 + 0x11 * index:02X}:00.0",
        "device": f"nvidia{index}",
        "modelName": MODEL_NAME,
        "Hostname": HOST,
        "container": "main",
        "namespace": "ai",
        "pod": gpu.pod,
    }
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


def _sample(index: int, gpu: Gpu, at: datetime) -> tuple[str, ...]:
    """Give the values of one GPU, in the order of the families."""
    level = gpu.day if 8 <= at.astimezone(UTC).hour < 20 else gpu.night
    busy = min(1.0, max(0.0, level * (1 + 0.12 * _waver(index, at)))) if level else 0.0
    power = _power(gpu, busy)
    clock = MAX_CLOCK_MHZ if level else IDLE_CLOCK_MHZ
    return (
        f"{100 * busy:.0f}",
        f"{gpu.memory_mib}",
        f"{MEMORY_MIB - gpu.memory_mib}",
        f"{power:.3f}",
        f"{24 + power / 16:.0f}",
        f"{clock}",
        f"{0.42 * busy:.6f}",
        f"{0.97 * busy:.6f}",
        f"{_energy_mj(gpu, at):.0f}",
        "0",
    )


def _power(gpu: Gpu, busy: float) -> float:
    return gpu.idle_w + 520.0 * busy


def _energy_mj(gpu: Gpu, at: datetime) -> float:
    """Add up the mean power by day and by night since boot; never falls."""
    days, second = divmod((at - BOOTED).total_seconds(), SECONDS_A_DAY)
    daytime = days * 43_200.0 + min(max(second - 28_800.0, 0.0), 43_200.0)
    whole = days * SECONDS_A_DAY + second
    watts_day, watts_night = _power(gpu, gpu.day), _power(gpu, gpu.night)
    return 1000.0 * (daytime * watts_day + (whole - daytime) * watts_night)


def _waver(index: int, at: datetime) -> float:
    """Give -1 to 1, anew for each minute and GPU: a slow swing plus a draw fixed by the minute."""
    minute = int(at.timestamp() // 60)
    draw = zlib.crc32(f"{index}:{minute}".encode()) / 2**31 - 1
    return 0.5 * math.sin(minute / 37 + index) + 0.5 * draw


class GpuEndpoint:
    """Where a poller can scrape the made GPUs: ``url``, on 127.0.0.1 and a free port.

    The clock says at which time of the replay a scrape happens. ``start`` before use, ``stop`` after.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(clock))
        self._thread = Thread(target=self._server.serve_forever, name="demo-gpus", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/metrics"

    def start(self) -> None:
        """Answer from now on, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _handler(clock: Callable[[], datetime]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = render(clock()).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent: a scrape every few seconds is no news."""

    return Handler
