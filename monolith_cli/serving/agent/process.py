"""Child processes: started in order, watched, restarted, stopped in order, and gone when the supervisor is."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from monolith_cli import errors
from monolith_cli.serving import addresses
from monolith_cli.serving.channel import Tls, open_channel

TICK_S = 0.1
KILL_TRIES = 3
NOT_STARTED = 127  # exit code of what could not be started, as of a shell
_WARDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "warden.py")
_PYTHON = [sys.executable, "-I", "-S", _WARDEN]


class State(StrEnum):
    """Where a child stands. EXITED and FAILED are for good: it is not started again by itself."""

    WAITING = "waiting"  # for those it comes after, or for its gate
    STARTING = "starting"  # runs, not ready yet
    READY = "ready"
    RESTARTING = "restarting"  # has ended; is started again after a pause
    EXITED = "exited"
    FAILED = "failed"  # did not start, did not become ready in time, or ended too often
    STOPPED = "stopped"  # was asked to end


ENDED = (State.EXITED, State.FAILED)


@dataclass(frozen=True)
class Restart:
    """What follows the end of a child: never, on-failure (a status other than 0) or always a new start.

    The pause before it doubles from `backoff_s` to `max_backoff_s`, and starts anew once a child was ready for
    `settled_s`. `limit`: new starts in a row before the child counts as failed; None: no limit.
    """

    policy: str = "never"
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    settled_s: float = 60.0
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.policy not in ("never", "on-failure", "always"):
            raise errors.UsageError(f"restart policy {self.policy!r}: must be never, on-failure or always")

    def wanted(self, exit_code: int) -> bool:
        return self.policy == "always" or (self.policy == "on-failure" and exit_code != 0)


@dataclass(frozen=True)
class Child:
    """One process to run.

    env: None is the supervisor's own; log_file: stdout and stderr are appended to it, None: inherited; after: names
    of children that must be ready first; gate: must be true before the first start, asked every `gate_interval_s`;
    ready: whether it serves, None: as soon as it runs.
    """

    name: str
    argv: list[str]
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    log_file: str | None = None
    after: tuple[str, ...] = ()
    gate: Callable[[], bool] | None = None
    gate_interval_s: float = 1.0
    gate_timeout_s: float = 3600.0
    ready: Callable[[], bool] | None = None
    ready_interval_s: float = 0.5
    ready_timeout_s: float = 3600.0
    restart: Restart = Restart()


@dataclass(frozen=True)
class Status:
    """A child at one moment, also what events carry. exit_code: of its last end, negative for a signal; restarts:
    since the start."""

    name: str
    state: State
    pid: int | None = None
    exit_code: int | None = None
    restarts: int = 0
    message: str = ""


def port_ready(port: int, host: str = "127.0.0.1") -> Callable[[], bool]:
    """A check that something listens at a port."""
    return lambda: addresses.port_is_open(port, host)


def health_ready(target: str, tls: Tls | None = None, service: str = "") -> Callable[[], bool]:
    """A check by gRPC's health protocol: SERVING, within a second. A server without that protocol counts as ready
    when it answers."""

    def check() -> bool:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with open_channel(target, tls) as channel:
            try:
                request = health_pb2.HealthCheckRequest(service=service)
                reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=1.0)
            except grpc.RpcError as e:
                return e.code() == grpc.StatusCode.UNIMPLEMENTED
            return reply.status == health_pb2.HealthCheckResponse.SERVING

    return check


class _Warden:
    """The process that kills what is left of the children's process groups when the supervisor is gone."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen | None = None
        self._pipe: BinaryIO | None = None

    def look_after(self, group: int) -> None:
        self._groups.add(group)
        self._tell(f"+ {group}\n")

    def forget(self, group: int) -> None:
        self._groups.discard(group)
        self._tell(f"- {group}\n")

    def keep_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.close()
            theirs, ours = os.pipe()
            self._pipe = open(ours, "wb", 0)
            try:
                # Before it is there, so that it knows the groups however soon this process is killed.
                for group in self._groups:
                    self._tell(f"+ {group}\n")
                self._process = subprocess.Popen(
                    [*_PYTHON, "watch"], stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True)
            finally:
                os.close(theirs)

    def _tell(self, line: str) -> None:
        # A warden that is gone is started anew, with all groups, by the next tick.
        with contextlib.suppress(OSError, AttributeError):
            self._pipe.write(line.encode())

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.wait()


class _Slot:
    """One child and its process."""

    def __init__(self, child: Child):
        self.child, self.state = child, State.WAITING
        self.process: subprocess.Popen | None = None
        self.exit_code: int | None = None
        self.message = ""
        self.restarts = self.in_a_row = 0
        self.since = time.monotonic()  # when it came into its state
        self.next_check = 0.0

    def status(self) -> Status:
        running = self.process is not None and self.process.returncode is None
        pid = self.process.pid if running else None
        return Status(self.child.name, self.state, pid, self.exit_code, self.restarts, self.message)

    def pause(self) -> float:
        restart = self.child.restart
        return min(restart.backoff_s * 2 ** min(self.in_a_row - 1, 30), restart.max_backoff_s)


class Supervisor:
    """Runs children on a thread of its own.

    on_event: called on that thread with a `Status` whenever a child changes its state; it must not block, and what it
    raises is told to `log` and goes no further. Children form process groups of their own: a terminal's Ctrl-C
    reaches the supervisor alone. When it is killed, the kernel kills its children and the warden what those have
    started.
    """

    def __init__(self, children: Iterable[Child], on_event: Callable[[Status], object] | None = None,
                 log: Callable[[str], object] | None = None):
        self._slots = [_Slot(c) for c in children]
        self._by_name = {s.child.name: s for s in self._slots}
        if len(self._by_name) != len(self._slots):
            raise errors.UsageError("two children have one name")
        for slot in self._slots:
            if unknown := [n for n in slot.child.after if n not in self._by_name]:
                raise errors.UsageError(f"child {slot.child.name} comes after {unknown[0]}, which there is not")
        self._on_event, self._log = on_event, log or (lambda message: None)
        self._warden = _Warden()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop_at: float | None = None  # when the grace of a stop ends
        self._thread: threading.Thread | None = None
        self._started: list[_Slot] = []  # in the order of their first start

    def start(self) -> None:
        """Starts the thread, and on it the children as their turn comes; returns at once."""
        if self._thread is not None:
            raise errors.UsageError("a supervisor is started once")
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def poll(self) -> list[Status]:
        """Where all children stand, in the order given."""
        with self._lock:
            return [s.status() for s in self._slots]

    def ended(self) -> list[Status]:
        """Those that have ended for good, though nobody asked them to."""
        return [s for s in self.poll() if s.state in ENDED]

    def wait_ready(self, timeout_s: float) -> bool:
        """Waits until all are ready; False at the time-out, or as soon as one has ended for good."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            states = [s.state for s in self.poll()]
            if all(s == State.READY for s in states):
                return True
            if any(s in (*ENDED, State.STOPPED) for s in states):
                return False
            time.sleep(TICK_S / 2)
        return False

    def stop(self, grace_s: float = 30.0) -> None:
        """Ends all children, those that started last first: SIGTERM, after `grace_s` for all of them together
        SIGKILL. Waits for their end. A second call with a shorter grace shortens it."""
        deadline = time.monotonic() + grace_s
        with self._lock:
            self._stop_at = deadline if self._stop_at is None else min(self._stop_at, deadline)
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._stop_at is None:
                self._guarded(self._warden.keep_alive, "warden")
                for slot in self._slots:
                    self._guarded(functools.partial(self._step, slot), slot.child.name)
                self._wake.wait(TICK_S)
            for slot in reversed(self._started):
                self._end(slot)
            for slot in self._slots:
                if slot.state not in (*ENDED, State.STOPPED):
                    self._enter(slot, State.STOPPED)
        finally:
            self._warden.close()

    def _enter(self, slot: _Slot, state: State, message: str = "") -> None:
        with self._lock:
            slot.state, slot.message, slot.since, slot.next_check = state, message, time.monotonic(), 0.0
            status = slot.status()
        if self._on_event:
            self._guarded(lambda: self._on_event(status), f"event of {slot.child.name}")

    def _guarded(self, function: Callable[[], object], what: str) -> object:
        try:
            return function()
        except Exception as e:  # whatever it is: this thread must live, or the kernel ends its children
            self._log(f"{what}: {type(e).__name__}: {e}")
            return None

    def _step(self, slot: _Slot) -> None:
        now = time.monotonic()
        if slot.state == State.WAITING:
            self._wait_for_turn(slot, now)
        elif slot.state == State.RESTARTING:
            if now - slot.since >= slot.pause():
                slot.restarts += 1
                self._spawn(slot)
        elif slot.state in (State.STARTING, State.READY):
            if slot.process.poll() is not None:
                self._clear_group(slot)  # nothing of it may be left before it starts again
                code = slot.process.returncode
                self._ended(slot, code, f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}")
            elif slot.state == State.STARTING:
                self._wait_until_ready(slot, now)
            elif slot.in_a_row and now - slot.since >= slot.child.restart.settled_s:
                slot.in_a_row = 0

    def _wait_for_turn(self, slot: _Slot, now: float) -> None:
        child = slot.child
        if any(self._by_name[n].state != State.READY for n in child.after):
            slot.since = now  # the time of the gate runs from when the others are ready
            return
        if child.gate is None or self._due(slot, now, child.gate_interval_s, child.gate, "gate"):
            self._spawn(slot)
        elif now - slot.since >= child.gate_timeout_s:
            self._enter(slot, State.FAILED, f"what it waits for did not come within {child.gate_timeout_s:g} s")

    def _wait_until_ready(self, slot: _Slot, now: float) -> None:
        child = slot.child
        if child.ready is None or self._due(slot, now, child.ready_interval_s, child.ready, "ready check"):
            self._enter(slot, State.READY)
        elif now - slot.since >= child.ready_timeout_s:
            self._kill(slot)
            self._enter(slot, State.FAILED, f"not ready within {child.ready_timeout_s:g} s")

    def _due(self, slot: _Slot, now: float, interval_s: float, check: Callable[[], bool], what: str) -> bool:
        if now < slot.next_check:
            return False
        slot.next_check = now + interval_s
        return bool(self._guarded(check, f"{what} of {slot.child.name}"))

    def _spawn(self, slot: _Slot) -> None:
        child = slot.child
        if not _is_program(child):
            self._ended(slot, NOT_STARTED, f"{child.argv[0]}: there is no such program")
            return
        try:
            with contextlib.ExitStack() as files:
                output = None
                if child.log_file is not None:
                    os.makedirs(os.path.dirname(child.log_file) or ".", exist_ok=True)
                    output = files.enter_context(open(child.log_file, "ab"))
                slot.process = subprocess.Popen(
                    [*_PYTHON, "exec", str(os.getpid()), *child.argv], cwd=child.cwd,
                    env=None if child.env is None else dict(child.env),
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        except (OSError, ValueError) as e:
            self._ended(slot, NOT_STARTED, f"{child.argv[0]} cannot be started: {e}")
            return
        self._warden.look_after(slot.process.pid)
        if slot not in self._started:
            self._started.append(slot)
        self._enter(slot, State.STARTING)

    def _ended(self, slot: _Slot, code: int, how: str) -> None:
        """Its process is gone, or did not come to be."""
        slot.exit_code, restart = code, slot.child.restart
        if not restart.wanted(code):
            self._enter(slot, State.FAILED if code == NOT_STARTED else State.EXITED, how)
        elif restart.limit is not None and slot.in_a_row >= restart.limit:
            self._enter(slot, State.FAILED, f"{how}, after {slot.in_a_row} new starts in a row")
        else:
            slot.in_a_row += 1
            self._enter(slot, State.RESTARTING, f"{how}; starts again in {slot.pause():g} s")

    def _end(self, slot: _Slot) -> None:
        """SIGTERM; SIGKILL when the grace is over, which a second `stop` may shorten."""
        if slot.process is None or slot.process.poll() is not None:
            return
        _signal_group(slot.process.pid, signal.SIGTERM)
        while slot.process.poll() is None and time.monotonic() < self._stop_at:
            time.sleep(TICK_S / 5)
        self._kill(slot)
        self._enter(slot, State.STOPPED)

    def _kill(self, slot: _Slot) -> None:
        for _ in range(KILL_TRIES):
            _signal_group(slot.process.pid, signal.SIGKILL)
            try:
                slot.exit_code = slot.process.wait(1.0)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            self._log(f"{slot.child.name}: process {slot.process.pid} does not end on SIGKILL")
        self._clear_group(slot)

    def _clear_group(self, slot: _Slot) -> None:
        _signal_group(slot.process.pid, signal.SIGKILL)
        self._warden.forget(slot.process.pid)


def _is_program(child: Child) -> bool:
    path = (os.environ if child.env is None else child.env).get("PATH", os.defpath)
    # A path is looked up from where the child will be.
    name = os.path.join(child.cwd or "", child.argv[0]) if "/" in child.argv[0] else child.argv[0]
    return shutil.which(name, path=path) is not None


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
