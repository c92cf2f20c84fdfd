"""One step of a training session: hooks around it, updates of the step before beside it, batches ahead of it."""

from __future__ import annotations

import threading

import tensorflow as tf

from monolith_cli.training.graph import BuiltGraph
from monolith_cli.training.overlap import Prefetch

_JOIN_SECONDS = 10.0


class Stepper:
    """Runs `fetches` step by step. more: what is fetched beside them where a step is asked for it.

    With post-push an update is made in the step after its own: `settle` makes those that are due, and has to come before variables or
    tables are read for good.
    """

    def __init__(self, session: tf.compat.v1.Session, built: BuiltGraph, fetches: list, more: list):
        self._session, self._built, self._fetches, self._more = session, built, fetches, more
        self._post = built.postpush
        self._due = False  # an update waits in the queue
        self._calls: dict = {}
        self._reader = Prefetcher(session, built.prefetch) if built.prefetch else None

    def step(self, with_more: bool = False) -> list:
        """What is fetched: `fetches`, and `more` behind them. Errors are those of the input (OutOfRangeError at its end) and of ops."""
        if self._reader:
            self._reader.ask()
        try:
            fetched = self._call(with_more, self._due)()
        except tf.errors.OutOfRangeError:
            if self._reader:
                self._reader.check()
            raise
        if self._post:
            if not self._due:
                self._session.run(self._post.take)
            self._due = True
        return fetched

    def settle(self) -> None:
        """Makes the updates that are due."""
        if not self._due:
            return
        tickets = self._post.tickets
        for _ in range(int(self._session.run(self._post.waiting))):
            if not self._session.run(tickets.size):
                self._session.run(tickets.put_now)
            self._session.run(self._post.push)
        self._due = False

    def close(self) -> None:
        """Ends reading ahead."""
        if self._reader:
            self._reader.close()

    def _call(self, with_more: bool, push: bool):
        key = (with_more, push)
        if key not in self._calls:
            fetches = [*self._fetches, *(self._more if with_more else [])]
            fetches += [self._post.put] if self._post else []
            self._calls[key] = self._callable(fetches + ([self._post.push] if push else []))
        return self._calls[key]

    def _callable(self, fetches: list):
        if not self._built.hooks:
            return self._session.make_callable(fetches)
        return lambda: _run_with_hooks(self._session, self._built.hooks, fetches)


class Prefetcher:
    """The thread that looks batches up ahead: `capacity` of them at first, then one for each `ask`."""

    def __init__(self, session: tf.compat.v1.Session, prefetch: Prefetch):
        self._session, self._prefetch = session, prefetch
        self._asked, self._primed = threading.Semaphore(0), threading.Event()
        self._ended = self._stopping = False
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        """One more batch; the first time also those that come first, which it waits for."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="prefetch", daemon=True)
            self._thread.start()
        self._primed.wait()
        self._asked.release()

    def check(self) -> None:
        """Raises what ended the input, where that was an error."""
        if self._error is not None and not isinstance(self._error, tf.errors.OutOfRangeError):
            raise self._error

    def close(self) -> None:
        self._stopping = True
        self._asked.release()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _read(self) -> None:
        for _ in range(self._prefetch.capacity):
            self._run(self._prefetch.prime)
        self._primed.set()
        while True:
            self._asked.acquire()
            if self._stopping:
                return
            self._run(self._prefetch.fill)
            if self._ended:
                self._session.run(self._prefetch.put_ticket)

    def _run(self, op: tf.Operation) -> None:
        if self._ended:
            return
        try:
            self._session.run(op)
        except Exception as e:  # noqa: BLE001 - it is raised where the batch is missed
            self._ended, self._error = True, e
            self._session.run(self._prefetch.close)


def _run_with_hooks(session, hooks: list, fetches: list) -> list:
    """One step with tf.compat.v1.train.SessionRunHooks around it."""
    hook_module = tf.compat.v1.train
    context = hook_module.SessionRunContext(hook_module.SessionRunArgs(fetches), session)
    asked = {i: args for i, hook in enumerate(hooks) if (args := hook.before_run(context)) is not None}
    feed = {k: v for args in asked.values() for k, v in (args.feed_dict or {}).items()}
    out = session.run({"main": fetches, "hooks": {i: args.fetches for i, args in asked.items() if args.fetches is not None}}, feed)
    for i, hook in enumerate(hooks):
        hook.after_run(context, hook_module.SessionRunValues(out["hooks"].get(i), None, None))
    return out["main"]
