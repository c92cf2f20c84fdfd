"""What monolith-eval and monolith-predict share: a model at a checkpoint, and records to run it on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from monolith_cli.training import runtime
from monolith_cli.training.deep_insight import InsightConfig


@dataclass
class ReadConfig:
    """A model, one of its checkpoints (step None: the newest) and the records to read; on_bad_record: fail, skip, or the path of a file that
    keeps those which cannot be read; insight: for deep-insight messages."""

    model: str
    model_dir: str
    sources: tuple[str, ...] = ()
    record_type: str = "instance"
    framing: dict = field(default_factory=dict)
    batch_size: int = 1024
    step: int | None = None
    on_bad_record: str = "fail"
    id_fields: tuple[str, ...] = ()
    insight: InsightConfig | None = None


@contextlib.contextmanager
def opened(config: ReadConfig, mode: str, run):
    """(session, built graph, global step, input) at the checkpoint, ready to be read."""
    runtime.import_tensorflow(run.log.verbosity > 1)
    from monolith_cli.training.checkpoint import CheckpointDirectory, step_of
    from monolith_cli.training import model_source
    from monolith_cli.training.graph import build
    from monolith_cli.training.position import RecordInput
    from monolith_cli.training.session import make_session, running

    directory = CheckpointDirectory(config.model_dir)
    prefix = directory.choose(config.step)
    state = directory.read_state(prefix)
    runtime.set_seed(state.seed)
    with contextlib.ExitStack() as stack:
        model = model_source.load(config.model)
        model.batch_size = config.batch_size
        source = stack.enter_context(RecordInput.for_reading(config, run.log.warning))
        model.read_from(source.records, source.hidden)
        built = build(model, mode, state.seed)
        session = stack.enter_context(make_session(built.graph))
        session.run(built.init)
        directory.restore(session, built, prefix)
        run.log.info(f"using {prefix}")
        with running(built.model.model_file):
            source.start(built.graph)
            session.run(built.iterator_init)
            yield session, built, step_of(prefix), source


def nothing_because(bad_records: int) -> str:
    return "no record of the input could be read" if bad_records else "the input is empty"
