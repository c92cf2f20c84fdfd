"""monolith-train: from a configuration to a trained model directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass, field
from typing import Any

from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, CannotCreateError, TryAgainError, UsageError
from monolith_cli.training import runtime
from monolith_cli.training.deep_insight import DeepInsight, InsightConfig
from monolith_cli.training.reading import nothing_because
from monolith_cli.training.telemetry import Telemetry, TelemetryConfig


@dataclass
class TrainConfig:
    """One run of training.

    model: FILE.py:CLASS, or a file with a ModelDump. sources: paths and patterns, empty for stdin; framing: how they are framed (records.sources).
    max_steps: global step to end at. save_every_steps, save_every_secs: at most one of them; neither saves at the end alone.
    skip_consumed: pass over the records of stdin that the checkpoint has trained on. from_start: read the sources from
    their beginning whatever the checkpoint says. drop_remainder: train on whole batches alone. use_previous: where the newest
    checkpoint is damaged, go back to the one before. incremental_checkpoints: how many checkpoints after a whole one hold only
    the rows that changed. on_bad_record: fail, skip, or the path of a file that keeps records which cannot be read. table_memory: bytes that all tables may take. restore_modes: what may differ from the checkpoint (checkpoint.RESTORE_MODES).
    insight: rows to write deep-insight messages about. model_dump: write a ModelDump into the model directory before the first step.
    variable_postpush, embedding_postpush, embedding_prefetch_capacity: see `overlap.Overlap`. telemetry: what the run tells of itself while
    it goes on.
    """

    model: str
    model_dir: str
    sources: tuple[str, ...] = ()
    record_type: str = "instance"
    framing: dict = field(default_factory=dict)
    batch_size: int = 512
    max_steps: int | None = None
    save_every_steps: int | None = None
    save_every_secs: float | None = None
    max_to_keep: int = 10
    seed: int | None = None
    skip_consumed: bool = False
    from_start: bool = False
    drop_remainder: bool = False
    on_bad_record: str = "fail"
    use_previous: bool = False
    incremental_checkpoints: int = 0
    table_memory: int | None = None
    restore_modes: tuple[str, ...] = ()
    log_every_steps: int = 0
    summary_every_steps: int = 100
    insight: InsightConfig | None = None
    model_dump: bool = False
    variable_postpush: bool = False
    embedding_postpush: bool = False
    embedding_prefetch_capacity: int = 0
    telemetry: TelemetryConfig = TelemetryConfig()


def train(config: TrainConfig, run) -> dict:
    """Trains and returns the summary: examples, steps, seconds, examples_per_second, loss, global_step, records_trained,
    bad_records, heads (name -> metrics of this run, each batch judged before it was trained on), tables.

    Raises ModelError, BadDataError, NoInputError, IoError, TryAgainError (the directory is in use).
    """
    if config.save_every_steps and config.save_every_secs:
        raise UsageError("--save-every-steps and --save-every-secs exclude each other")
    telemetry = Telemetry(config.telemetry, config.model_dir, run)
    _core.set_table_memory(config.table_memory or 0)
    runtime.import_tensorflow(run.log.verbosity > 1)
    from monolith_cli.training.checkpoint import CheckpointDirectory
    from monolith_cli.training.loop import Cadence, TrainLoop
    from monolith_cli.training.plan import empty_table_notes
    from monolith_cli.training.session import running
    from monolith_cli.training.summaries import SummaryWriter

    directory = CheckpointDirectory(config.model_dir, config.max_to_keep, config.incremental_checkpoints)
    directory.prepare()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_locked(config.model_dir))
        for prefix in directory.unlisted():
            run.log.warning(f"{prefix}: not in the list of checkpoints: an interrupted save, or set aside; it is not used")
        ready = _resume(stack, config, directory, telemetry, run)
        writer = SummaryWriter(config.model_dir, ready.built.graph)
        stack.callback(writer.close)
        cadence = Cadence(config.max_steps, config.save_every_steps, config.save_every_secs, config.log_every_steps,
                          config.summary_every_steps)  # fmt: skip
        insight = DeepInsight(config.insight, type(ready.built.model).__name__, run) if config.insight else None
        loop = TrainLoop(ready.session, ready.built, directory, ready.state, cadence, ready.source.position_after, run, writer, insight,
                         telemetry)  # fmt: skip
        with running(ready.built.model.model_file), insight or contextlib.nullcontext(), telemetry:
            ready.source.start(ready.built.graph)
            ready.session.run(ready.built.iterator_init)
            loop.train()
            for hook in ready.built.hooks:
                hook.end(ready.session)
        if not loop.progress.examples and not run.stop_requested():
            run.nothing_to_do = True
            run.log.warning("nothing to train: " + _why_nothing(ready))
        summary = _summary(ready, loop)
        if loop.progress.examples:
            for note in empty_table_notes(ready.built.model._factory, summary["tables"]):
                run.log.warning(note)
        told = {"deep_insight": {"sent": insight.sent, "lost": insight.lost}} if insight else {}
        return summary | told


@dataclass
class _Ready:
    """Everything that stands before the first step."""

    prefix: str | None
    state: Any
    source: Any
    built: Any
    session: Any


def _resume(stack: contextlib.ExitStack, config: TrainConfig, directory, telemetry: Telemetry, run) -> _Ready:
    """Stands ready at the newest checkpoint, or at the beginning; with `use_previous` at the newest whole one."""
    prefixes = directory.prefixes()
    for i, prefix in enumerate(reversed(prefixes or [None])):
        with contextlib.ExitStack() as attempt:
            try:
                ready = _prepare(attempt, config, directory, prefix, telemetry, run)
            except BadDataError as e:
                if prefix is None or i + 1 == len(prefixes):
                    raise
                if not config.use_previous:
                    raise BadDataError(f"{e}; --use-previous goes back to the checkpoint before it") from e
                run.log.warning(f"{e}; going back to the checkpoint before it")
                continue
            stack.enter_context(attempt.pop_all())
        if i:
            directory.forget_after(prefix)
        return ready
    raise AssertionError("a list that is not empty was gone through")


def _prepare(stack: contextlib.ExitStack, config: TrainConfig, directory, prefix: str | None, telemetry: Telemetry, run) -> _Ready:
    from monolith_cli.training import model_source
    from monolith_cli.training.checkpoint import State
    from monolith_cli.training.graph import TRAIN, build
    from monolith_cli.training.overlap import Overlap
    from monolith_cli.training.position import RecordInput
    from monolith_cli.training.session import make_session

    state = directory.read_state(prefix) if prefix else State(global_step=0)
    _choose_seed(config, state)
    runtime.set_seed(state.seed)
    model = model_source.load(config.model)
    telemetry.name((config.insight.name if config.insight else "") or type(model).__name__)
    model.batch_size = state.batch_size = config.batch_size
    source = stack.enter_context(RecordInput.for_training(config, state, run.log.warning))
    model.read_from(source.records, source.hidden)
    overlap = Overlap(config.variable_postpush, config.embedding_postpush, config.embedding_prefetch_capacity)
    built = build(model, TRAIN, state.seed, overlap=overlap)
    for note in built.model.notes:
        run.log.warning(note)
    if config.model_dump:
        # Before there is a session: Keras clears its state for every graph, which it refuses inside of one.
        from monolith_cli.training import dumping

        dumping.write_beside(built, config.model_dir, config, state.seed, run.log.warning)
    with built.graph.as_default():
        built.hooks += telemetry.hooks(built.loss)
        for hook in built.hooks:
            hook.begin()
    session = stack.enter_context(make_session(built.graph))
    session.run(built.init)
    if prefix is not None:
        directory.restore(session, built, prefix, run.log.warning, config.restore_modes)
        run.log.info(f"going on from {prefix}, {state.records:,} records trained")
    for hook in built.hooks:
        hook.after_create_session(session, None)
    return _Ready(prefix, state, source, built, session)


def _why_nothing(ready: _Ready) -> str:
    bad = ready.source.bad_records
    return "every record of the input was trained on" if ready.prefix and not bad else nothing_because(bad)


def _summary(ready: _Ready, loop) -> dict:
    progress = loop.progress
    return {
        "examples": progress.examples,
        "steps": progress.steps,
        "seconds": round(progress.seconds, 3),
        "examples_per_second": None if progress.rate is None else round(progress.rate, 1),
        "loss": progress.loss,
        "global_step": ready.state.global_step,
        "records_trained": ready.state.records,
        "bad_records": ready.source.bad_records,
        "heads": loop.heads(),
        "tables": ready.built.tables.sizes(ready.session) if ready.built.tables else {},
    }


@contextlib.contextmanager
def _locked(model_dir: str):
    path = os.path.join(model_dir, ".lock")
    try:
        handle = open(path, "a", encoding="utf-8")
    except OSError as e:
        raise CannotCreateError(f"{path}: {e.strerror}") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TryAgainError(f"--model-dir {model_dir}: another training writes to it") from None
        yield


def _choose_seed(config: TrainConfig, state) -> None:
    """The seed asked for, else that of the checkpoint, else one from the system."""
    if config.seed is not None:
        state.seed = config.seed
    elif not state.global_step:
        state.seed = int.from_bytes(os.urandom(4), "little") >> 1

