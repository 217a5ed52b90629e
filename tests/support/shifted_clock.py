"""Wall clocks that are wrong by so many seconds, for real processes: a library that is preloaded.

Their monotonic clock, and the clock of nats-server (which asks no library), stay as they are.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

VARIABLE = "TEST_CLOCK_SHIFT_S"
SHIFTS = "TEST_CLOCK_SHIFTS"
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int (*real)(clockid_t, struct timespec *);
static long fixed;
static const volatile long *shift = &fixed;

static void follow(const char *folder, const char *instance) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, instance);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *found = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) shift = found;
    close(file);
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("TEST_CLOCK_SHIFT_S");
    const char *folder = getenv("TEST_CLOCK_SHIFTS"), *instance = getenv("METAMCP_INSTANCE");
    fixed = text ? atol(text) : 0;
    if (folder && instance) follow(folder, instance);
    real = dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real) begin();
    int code = real(clock, now);
    if (!code && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *shift;
    return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    int code = clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return code;
}

time_t time(time_t *into) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (into) *into = found.tv_sec;
    return found.tv_sec;
}
"""


def build(folder: Path) -> Path:
    """Compile the library into this folder; skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here: a clock can't be shifted")
    source, library = folder / "shifted_clock.c", folder / "shifted_clock.so"
    source.write_text(SOURCE)
    command = (compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl")
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return library


def shifted(library: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose wall clock is to be ahead by so many seconds."""
    return {"LD_PRELOAD": str(library), VARIABLE: str(seconds)}


class Clocks:
    """The wall clocks of instances, which can be set while their processes run."""

    def __init__(self, folder: Path, instances: Iterable[str]) -> None:
        """Builds the library in this folder; skips the test where there is no C compiler."""
        self._library, self._folder = build(folder), folder / "clocks"
        self._folder.mkdir()
        for instance in instances:
            (self._folder / instance).write_bytes(struct.pack("l", 0))

    def environ(self) -> dict[str, str]:
        """What the processes are to be started with, besides METAMCP_INSTANCE."""
        return {"LD_PRELOAD": str(self._library), SHIFTS: str(self._folder)}

    def set(self, instance: str, seconds: int) -> None:
        """From now on the clock of this one is so many seconds ahead."""
        with (self._folder / instance).open("r+b") as file:
            file.write(struct.pack("l", seconds))
