"""Sees to it that no child outlives a supervisor that is killed. Run as a program of its own, by its path, with
nothing but the standard library.

    warden.py watch              reads `+ GROUP` and `- GROUP` lines; when stdin ends, kills the groups that are left
    warden.py exec PARENT ARGV…  becomes ARGV, which the kernel kills when the thread that started it ends

The first reaches processes that a child started itself; the second acts without any process that could be killed
beforehand.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def watch() -> None:
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        sign, number = line.split()
        (groups.add if sign == b"+" else groups.discard)(int(number))
    for group in groups:
        kill_group(group)


def become(parent: int, argv: list[str]) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it was killed before the kernel knew what to do then
        sys.exit(1)
    # Python ignores these, and what is ignored stays so in a new program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as e:
        sys.stderr.write(f"{argv[0]}: {e.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        watch()
    else:
        become(int(sys.argv[2]), sys.argv[3:])
