"""Processor time and memory of a process group, from /proc (Linux only).

The group rather than the process: a server that hands work to children is to pay for them.
"""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

# Places in /proc/<pid>/stat, counted after the parenthesis that ends the program's name.
_GROUP, _USER, _SYSTEM, _RESIDENT_PAGES = 2, 11, 12, 21


def cpu_seconds(group: int) -> float:
    """User and system time of all threads of the group's living processes, in steps of 10 ms."""
    return sum((int(row[_USER]) + int(row[_SYSTEM])) / _TICKS for row in _rows(group))


def resident_bytes(group: int) -> int:
    """Resident memory of the group's processes; pages they share count for each."""
    return sum(int(row[_RESIDENT_PAGES]) * _PAGE for row in _rows(group))


def _rows(group: int) -> list[list[str]]:
    rows = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            text = Path(entry.path, "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked.
        row = text.rpartition(")")[2].split()
        if int(row[_GROUP]) == group:
            rows.append(row)
    return rows
