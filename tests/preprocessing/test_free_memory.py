"""Free memory: the machine's own figure, and the limits of control groups of both versions."""

from __future__ import annotations

from pathlib import Path

from autodiffseg.preprocessing.free_memory import free_memory_bytes

MIB = 2**20


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  8192 kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_control_groups_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert free_memory_bytes(write(tmp_path, {})) == 8 * MIB


def test_a_limit_of_a_control_group_counts_and_file_caches_are_free(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a/b/memory"
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        f"{group}.max": f"{5 * MIB}\n",
        f"{group}.current": f"{4 * MIB}\n",
        f"{group}.stat": f"anon 1\ninactive_file {2 * MIB}\n",
    }
    assert free_memory_bytes(write(tmp_path, files)) == 3 * MIB


def test_the_limit_of_a_parent_group_counts_too(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/memory.current": "7\n",
        "sys/fs/cgroup/a/memory.max": f"{2 * MIB}\n",
        "sys/fs/cgroup/a/memory.current": f"{MIB}\n",
    }
    assert free_memory_bytes(write(tmp_path, files)) == MIB


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/c/memory"
    files = {
        "proc/self/cgroup": "4:cpu:/c\n3:memory:/c\n0::/\n",
        f"{group}.limit_in_bytes": f"{6 * MIB}\n",
        f"{group}.usage_in_bytes": f"{3 * MIB}\n",
        f"{group}.stat": f"total_inactive_file {MIB}\n",
    }
    assert free_memory_bytes(write(tmp_path, files)) == 4 * MIB


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "10\n",
        "sys/fs/cgroup/memory.current": "20\n",
    }
    assert free_memory_bytes(write(tmp_path, files)) == 0


def test_this_machine_tells() -> None:
    free = free_memory_bytes()
    assert free is None or free > 0
