"""What it was measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .. import _core
from .candidates import Family, version
from .results import Machine

__all__ = ["described", "machine"]


def machine(families: Sequence[Family], *, kept_pages: bool = False) -> Machine:
    """CPU, system and versions. No host name, no user, no path."""
    engine = _core.doctor()
    return Machine(
        cpu=_cpu(str(engine.get("cpu", ""))),
        cores=_cores(),
        memory=_memory(),
        system=_system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        mmh=_core.__version__,
        simd=str(engine.get("simd_used", "unknown")),
        versions={family.name: version(family) for family in families},
        kept_pages=kept_pages,
    )


def described(machine: Machine) -> str:
    """In one line."""
    memory = "" if machine.memory is None else f", {machine.memory / 2**30:.0f} GiB"
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    return (
        f"{machine.cpu}, {cores}{memory}, {machine.system}, {machine.python}, mmh-rs {machine.mmh} using {machine.simd}"
    )


def _cpu(named: str) -> str:
    """The model, as the system tells it; `named` is what the engine was told by the CPU itself."""
    if platform.system() == "Darwin":
        done = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        told = done.stdout.strip()
    else:
        try:
            told = _model(Path("/proc/cpuinfo").read_text("utf-8"))
        except OSError:
            told = ""
    return told or named or platform.processor() or platform.machine()


def _model(cpuinfo: str) -> str:
    """The model in the words of ``/proc/cpuinfo``. A name without a number, as virtual machines give it, hides how wide
    the vector units are: family and model tell."""

    def field(name: str) -> str:
        found = re.search(rf"^{name}\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
        return found[1].strip() if found else ""

    name, family, model = field("model name"), field("cpu family"), field("model")
    if name and family and model and not re.search(r"\d", name):
        return f"{name} (family {family}, model {model})"
    return name


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _system() -> str:
    name = f"{platform.system()} {platform.machine()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {name}"
    except (OSError, KeyError):
        release = platform.mac_ver()[0] or platform.win32_ver()[0]
        return f"{name} {release}".strip()
