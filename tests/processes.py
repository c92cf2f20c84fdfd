"""What the kernel knows about a process, for tests that have to wait until one is ready for what comes next."""

import array
import fcntl
import os
import re
import termios
import time
from pathlib import Path

LIMIT_S = 120


def wait_until(done, what="it", limit_s=LIMIT_S):
    """The first true value of done()."""
    end = time.monotonic() + limit_s
    while not (value := done()):
        assert time.monotonic() < end, f"waited {limit_s} s for {what}"
        time.sleep(0.01)
    return value


def _has_signal(pid, sets, number) -> bool:
    masks = re.findall(rf"^(?:{sets}):\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def wait_until_caught(process, number) -> None:
    """Until it has a handler for the signal: before that it would just die of it."""
    wait_until(lambda: _has_signal(process.pid, "SigCgt", number), f"a handler of signal {number}")


def wait_until_delivered(process, number) -> None:
    """Until it has noticed a signal that was sent: a second one would be the same one before that."""
    wait_until(lambda: not _has_signal(process.pid, "SigPnd|ShdPnd", number), f"the delivery of signal {number}")


def wait_until_read(pipe) -> None:
    """Until the other side has read all that was written."""
    unread = array.array("i", [0])

    def is_empty():
        fcntl.ioctl(pipe.fileno(), termios.FIONREAD, unread)
        return unread[0] == 0

    wait_until(is_empty, "a pipe to be read")


def wait_until_locked(path) -> None:
    """Until some process holds a lock on the file."""
    inode = f":{os.stat(path).st_ino} "
    wait_until(lambda: inode in Path("/proc/locks").read_text(), f"a lock on {path}")
