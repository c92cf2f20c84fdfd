"""Ports for servers that tests start, and for those that nobody answers at."""

import random
import socket
from collections import deque

# Below what outgoing connections and `bind` to port 0 are given, so that a server that is started again finds its port; and below
# 28500 and what follows, which the examples of docs/serving.md use.
_FIRST, _LAST = 12000, 28000
_AT_ONCE = 200
# Bound and not listening: other test processes pass over the port, and a server that sets SO_REUSEADDR, as all do, may have it.
_held: deque[socket.socket] = deque()


def free_port() -> int:
    """A port of loopback that nobody listens on, and that no other call is given, in this process or another."""
    while len(_held) >= _AT_ONCE:
        _held.popleft().close()
    while True:
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", random.SystemRandom().randrange(_FIRST, _LAST)))
        except OSError:
            s.close()
            continue
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.append(s)
        return s.getsockname()[1]


def free_ports(n: int) -> list[int]:
    return [free_port() for _ in range(n)]
