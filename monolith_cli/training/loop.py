"""The training loop: steps, log lines, summaries, saves, and the end of it all in order."""

from __future__ import annotations

import collections
import math
import time
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from monolith_cli.errors import BadDataError
from monolith_cli.training.checkpoint import CheckpointDirectory, State
from monolith_cli.training.graph import BuiltGraph
from monolith_cli.training.metrics import Metrics, text_of
from monolith_cli.training.position import RECORDS_END
from monolith_cli.training.stepping import Stepper

_LOSSES = 100  # steps that the reported loss is the mean of
_LOG_SECONDS = 10.0


@dataclass
class Cadence:
    """When things happen. 0 or None: never."""

    max_steps: int | None = None
    save_steps: int | None = None
    save_secs: float | None = None
    log_steps: int = 0
    summary_steps: int = 100


@dataclass
class Progress:
    """Counters of one run. `seconds` of training, from the first step on; `rate_*` leave the first step out."""

    examples: int = 0
    steps: int = 0
    seconds: float = 0.0
    rate_examples: int = 0
    rate_seconds: float = 0.0
    losses: collections.deque = field(default_factory=lambda: collections.deque(maxlen=_LOSSES))

    @property
    def rate(self) -> float | None:
        return self.rate_examples / self.rate_seconds if self.rate_seconds > 0 and self.rate_examples else None

    @property
    def loss(self) -> float | None:
        return float(np.mean(self.losses)) if self.losses else None


class TrainLoop:
    """Runs the train op until the input ends, a step limit is reached or a stop is asked for.

    state: where training stands; it is advanced. position_after(records, at_end) -> the input position that a checkpoint
    keeps. insight: what takes deep-insight messages of the batches (`deep_insight.DeepInsight`), if anything does. telemetry: what is
    told of each step and checkpoint.
    """

    def __init__(self, session, built: BuiltGraph, directory: CheckpointDirectory, state: State, cadence: Cadence,
                 position_after, run, writer, insight, telemetry):  # fmt: skip
        self._session, self._built, self._directory, self._state = session, built, directory, state
        self._cadence, self._position_after, self._run, self._writer = cadence, position_after, run, writer
        self.progress = Progress()
        self._saved_step = state.global_step
        self._at_end = False
        self._consumed = state.input.get("records", 0)
        counter = built.hidden.get(RECORDS_END, built.rows)
        self._counts_up = RECORDS_END not in built.hidden
        self._metrics = built.metrics
        self._summarized: list | None = None  # the sums of the metrics at the last summary
        self._warned: set[str] = set()
        fetches = [built.loss, built.rows, counter, built.train_op, built.metrics.update]
        self._samples = {} if insight is None else insight.fetches(built)
        self._insight, self._telemetry = insight, telemetry
        fetches += self._samples.values()
        self._summary_at = len(fetches)
        self._stepper = Stepper(session, built, fetches, [] if built.summary is None else [built.summary])

    def train(self) -> None:
        """Trains, and saves what a step limit, a stop request, the end or an error of the input leaves unsaved."""
        started = time.perf_counter()
        try:
            self._train(started)
        finally:
            self._stepper.close()

    def _train(self, started: float) -> None:
        try:
            self._steps(started)
        except tf.errors.OutOfRangeError:
            self._at_end = not self._run.stop_requested()
        except tf.errors.OpError as e:
            self._metrics.explain(e)
            # What was trained before the broken record is whole.
            self._finish(started)
            self.save()
            raise
        self._finish(started)
        self.save()

    def _finish(self, started: float) -> None:
        self.progress.seconds = time.perf_counter() - started

    def _steps(self, started: float) -> None:
        p, state, cadence = self.progress, self._state, self._cadence
        limit = math.inf if cadence.max_steps is None else cadence.max_steps
        summary_steps, log_steps, save_steps = cadence.summary_steps, cadence.log_steps, cadence.save_steps
        next_save = started + cadence.save_secs if cadence.save_secs else math.inf
        next_log = started + _LOG_SECONDS if not log_steps else math.inf
        next_show = started + 1.0 if self._run.progress else math.inf
        stop_requested = self._run.stop_requested
        first_done = 0.0
        while state.global_step < limit and not stop_requested():
            with_summary = bool(summary_steps) and (state.global_step + 1) % summary_steps == 0
            fetched = self._stepper.step(with_summary)
            now = time.perf_counter()
            loss, rows = fetched[0], int(fetched[1])
            state.global_step += 1
            if not math.isfinite(loss):
                raise BadDataError(self._not_finite(float(loss)))
            self._consumed = self._consumed + int(fetched[2]) if self._counts_up else int(fetched[2])
            state.records += rows
            p.steps += 1
            p.examples += rows
            p.losses.append(loss)
            self._telemetry.trained(rows)
            if first_done:
                p.rate_examples, p.rate_seconds = p.rate_examples + rows, now - first_done
            else:
                first_done = now
            if self._samples:
                self._insight.add(dict(zip(self._samples, fetched[5:])))
            if with_summary:
                self._summarize(None if self._built.summary is None else fetched[self._summary_at])
            if now >= next_log or (log_steps and state.global_step % log_steps == 0):
                self._log(now - started)
                next_log = now + _LOG_SECONDS if not log_steps else math.inf
            if now >= next_show:
                self._show()
                next_show = now + 1.0
            if now >= next_save or (save_steps and state.global_step % save_steps == 0):
                self.save()
                next_save = time.perf_counter() + cadence.save_secs if cadence.save_secs else math.inf

    def _not_finite(self, loss: float) -> str:
        step = self._state.global_step
        where = self._directory.prefixes()
        kept = f"the last good checkpoint is {where[-1]}" if where else "there is no checkpoint yet"
        return (
            f"the loss is {loss} at step {step}; nothing of this is saved, {kept}. Lower the learning rates, set clip_norm, "
            "or look for labels and features that are no finite numbers"
        )

    def save(self) -> None:
        """Writes a checkpoint, unless there is one of this very step."""
        state = self._state
        if state.global_step == self._saved_step:
            return
        self._stepper.settle()
        state.input = self._position_after(self._consumed, self._at_end)
        with self._telemetry.saving("incremental" if self._directory.next_kind() == "delta" else "full"):
            prefix = self._directory.save(self._session, self._built, state)
        self._saved_step = state.global_step
        self._run.log.info(f"saved {prefix}")

    def _rate(self) -> str:
        rate = self.progress.rate
        return "" if rate is None else f", {rate:,.0f} examples/s"

    def heads(self) -> dict[str, Metrics]:
        """Head -> metrics over the whole run, each batch judged before it was trained on."""
        return self._results()[0]

    def _results(self, before: list | None = None) -> tuple[dict[str, Metrics], list]:
        """(head -> metrics since the reading `before`, the reading now)."""
        now = self._metrics.read(self._session)
        for name in self._metrics.misjudged(now):
            if name not in self._warned:
                self._warned.add(name)
                self._run.log.warning(f"head {name!r}: predictions below 0 or above 1 are no probabilities, so that it has no AUC; "
                                      "return tf.sigmoid(logit) as pred, or classification=False")  # fmt: skip
        return self._metrics.results(now, before), now

    def _log(self, seconds: float) -> None:
        p, heads = self.progress, self.heads()
        told = text_of(heads)
        self._run.log.summary(
            f"step {self._state.global_step}, {p.examples:,} examples{self._rate()}, loss {p.loss:.5g}{'; ' if told else ''}{told}",
            global_step=self._state.global_step, examples=p.examples, loss=p.loss, seconds=round(seconds, 2), heads=heads,
        )  # fmt: skip

    def _show(self) -> None:
        import sys

        p, told = self.progress, text_of(self.heads(), ("auc", "rmse", "accuracy"))
        sys.stderr.write(
            f"\r{self._run.prog}: step {self._state.global_step}, {p.examples:,} examples{self._rate()}, loss {p.loss:.5g}"
            f"{'; ' if told else ''}{told}\033[K"
        )
        sys.stderr.flush()

    def _summarize(self, of_model: bytes | None) -> None:
        """Writes loss, rate, the metrics of the heads since the last summary, and what model_fn summarises."""
        heads, self._summarized = self._results(self._summarized)
        values = {"loss": self.progress.loss, "examples_per_second": self.progress.rate}
        values |= {f"{head}/{name}": value for head, metrics in heads.items() for name, value in metrics.items()}
        self._writer.write(self._state.global_step, values, of_model)
