"""What is free and what is held, on this machine and as other systems write it."""

from __future__ import annotations

import mmap
import sys

import pytest
from VolumeSuperResolutionLib.engine.streaming import memory

MEBIBYTE = 1 << 20


def test_this_machine_has_memory_and_this_process_holds_some_of_it():
    assert MEBIBYTE < memory.free_bytes() < 1 << 50
    assert MEBIBYTE < memory.resident_bytes() <= 1.1 * memory.peak_bytes()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process reset its peak")
def test_the_peak_counts_what_was_held_and_can_be_forgotten():
    if not memory.forget_peak():
        pytest.skip("not on this kernel")
    before = memory.peak_bytes()
    # A mapping of its own: the heap may still hold as much from earlier, and hand that out.
    with mmap.mmap(-1, 64 * MEBIBYTE) as block:
        for _ in range(64):
            block.write(b"x" * MEBIBYTE)
        assert memory.peak_bytes() - before > 60 * MEBIBYTE
    assert memory.forget_peak() and memory.peak_bytes() - before < 30 * MEBIBYTE


def group(folder, limit, used, names, statistic):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, used)):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{statistic}\n")


def test_a_control_group_limits_what_is_free(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    names = ("memory.max", "memory.current")
    group(tmp_path / "fs" / "a" / "b", "max", 300, names, "inactive_file 7")
    group(tmp_path / "fs" / "a", 1000, 400, names, "inactive_file 50")
    assert list(memory._cgroups(tmp_path / "fs", own)) == [(1000, 350)]


def test_the_first_version_of_control_groups_is_read_too(tmp_path):
    own = tmp_path / "own"
    own.write_text("5:cpu:/x\n4:memory:/not/in/this/container\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group(tmp_path / "fs" / "memory", 2000, 500, names, "total_inactive_file 100")
    assert list(memory._cgroups(tmp_path / "fs", own)) == [(2000, 400)]
    group(tmp_path / "fs" / "memory", 9223372036854771712, 500, names, "total_inactive_file 100")
    assert list(memory._cgroups(tmp_path / "fs", own)) == []


def test_no_control_groups_limit_nothing(tmp_path):
    assert list(memory._cgroups(tmp_path, tmp_path / "absent")) == []


def test_a_mac_counts_the_pages_it_can_give():
    said = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               100.\n"
        "Pages active:                           90000.\n"
        "Pages inactive:                            30.\n"
        "Pages speculative:                          5.\n"
        "Pages wired down:                       80000.\n"
        "Pages purgeable:                            1.\n"
    )
    assert memory._free_on_mac(said) == 136 * 16384
