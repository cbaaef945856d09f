"""What importing Evidently takes: CPU seconds and memory."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    before, began = resident_mb(), time.process_time()
    import evidently
    from evidently.presets import DataDriftPreset

    assert evidently.Report([DataDriftPreset()])
    print(json.dumps({"cpu_s": round(time.process_time() - began, 2), "mb": round(resident_mb() - before, 1)}))
