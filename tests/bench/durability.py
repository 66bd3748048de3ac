"""What an acknowledged request is worth: the settings in force, and what the disk charges."""

from __future__ import annotations

import os
import statistics
import time
import tomllib
from pathlib import Path

from tests.support.processes import RestateServer


def fdatasync_ms(folder: Path, writes: int = 100) -> float:
    """The median time of one 4 KiB append with fdatasync in `folder`, in milliseconds."""
    path = folder / "fdatasync-probe"
    block, times = bytes(4096), []
    with path.open("wb", buffering=0) as file:
        for _ in range(writes):
            began = time.perf_counter()
            file.write(block)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(times) * 1000


def restate_wal_settings(server: RestateServer) -> dict[str, bool]:
    """Every write-ahead-log switch of restate-server, by dotted name.

    An acknowledged request is in the log server's write-ahead log (`log-server`); while
    `log-server.rocksdb-disable-wal-fsync` is false, that log is synced to disk before the
    acknowledgement.
    """
    found: dict[str, bool] = {}
    for section, values in tomllib.loads(server.dumped_settings()).items():
        if not isinstance(values, dict):
            continue
        for name, value in values.items():
            if "disable-wal" in name and "compression" not in name:
                found[f"{section}.{name}"] = bool(value)
            if isinstance(value, dict):
                found |= {
                    f"{section}.{name}.{inner}": bool(setting)
                    for inner, setting in value.items()
                    if "disable-wal" in inner and "compression" not in inner
                }
    return found
