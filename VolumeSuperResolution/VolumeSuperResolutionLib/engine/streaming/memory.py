"""How much main memory is free, and how much this process holds. Standard library only."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60  # version 1 writes a number near 2**63 where there is no limit
_ASSUMED = 2 << 30  # an unknown system: little enough for any machine that can show a volume


_sharers = 1


def share(processes: int) -> None:
    """From now on this process takes no more than one of so many parts of what is free."""
    global _sharers
    _sharers = processes


def free_bytes() -> int:
    """Bytes of main memory that this process may still take without swapping or being ended."""
    return _free_bytes() // _sharers


def _free_bytes() -> int:
    if sys.platform.startswith("linux"):
        return min([_meminfo()["MemAvailable"], *(max(limit - used, 0) for limit, used in _cgroups())])
    if sys.platform == "darwin":
        return _free_on_mac(subprocess.run(["vm_stat"], capture_output=True, text=True, check=True).stdout)
    if sys.platform == "win32":
        return _free_on_windows()
    return _ASSUMED


def resident_bytes() -> int:
    """Bytes of main memory that this process holds now; its peak where the system does not tell."""
    if sys.platform.startswith("linux"):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return _held_on_windows()[0]
    return peak_bytes()


def peak_bytes() -> int:
    """The most that this process has held since it started, or since `forget_peak`."""
    if sys.platform.startswith("linux"):
        held = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        if held:
            return int(held.group(1)) * 1024
    if sys.platform == "win32":
        return _held_on_windows()[1]
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> bool:
    """Make `peak_bytes` count from now. False where the system cannot: it then counts from the start."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _meminfo() -> dict[str, int]:
    lines = re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {name: int(value) * 1024 for name, value in lines}


def _cgroups(root: Path = _CGROUP_ROOT, own: Path = Path("/proc/self/cgroup")) -> Iterator[tuple[int, int]]:
    """(limit, used) of every control group above this process that limits memory; files it can drop are not used."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit_name, used_name, dropped = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, dropped = root / "memory", "total_inactive_file"
            limit_name, used_name = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        folder = base / path.lstrip("/")
        # Inside a container the path may be the host's: then only the root of the mount is there.
        for place in [folder, *folder.parents]:
            limit, used = _number(place / limit_name), _number(place / used_name)
            if limit is not None and used is not None and limit < _UNLIMITED:
                yield limit, used - _statistic(place / "memory.stat", dropped)
            if place == base:
                break


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there, or the word "max"
        return None


def _statistic(path: Path, name: str) -> int:
    try:
        found = re.search(rf"^{name} (\d+)$", path.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


def _free_on_mac(statistics: str) -> int:
    page = re.search(r"page size of (\d+) bytes", statistics)
    pages = dict(re.findall(r"^Pages (\w+):\s+(\d+)\.", statistics, re.MULTILINE))
    reclaimable = sum(int(pages.get(name, 0)) for name in ("free", "inactive", "speculative", "purgeable"))
    return reclaimable * (int(page.group(1)) if page else 4096)


def _free_on_windows() -> int:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            ("total_physical", ctypes.c_uint64),
            ("free_physical", ctypes.c_uint64),
            ("total_page", ctypes.c_uint64),
            ("free_page", ctypes.c_uint64),
            ("total_virtual", ctypes.c_uint64),
            ("free_virtual", ctypes.c_uint64),
            ("free_extended", ctypes.c_uint64),
        )

    status = Status(length=ctypes.sizeof(Status))
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]  # there is one on Windows only
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        return _ASSUMED
    return min(status.free_physical, status.free_page)


def _held_on_windows() -> tuple[int, int]:
    """(now, peak) of the working set."""

    class Counters(ctypes.Structure):
        _fields_ = (
            ("size", ctypes.c_uint32),
            ("faults", ctypes.c_uint32),
            ("peak", ctypes.c_size_t),
            ("now", ctypes.c_size_t),
            ("others", ctypes.c_size_t * 6),
        )

    counters = Counters(size=ctypes.sizeof(Counters))
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]  # there is one on Windows only
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    if not kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.size):
        raise OSError("Windows does not tell how much memory this process holds")
    return counters.now, counters.peak
