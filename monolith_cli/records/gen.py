"""Random records."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Generator:
    """What to make. The same options and seed give the same bytes.

    record_type: instance, example or example_batch. slots: of v1 fids, flat in an Instance, features `fc_slot_<n>` in an
    Example. v2_features: (name, slot). fids: least and largest number of ids of each; slots 1 and 200 always have one.
    dense: (name, size), floats in [0, 1). labels: how many, each 0 or 1; positive_rate: share of ones. learnable: labels
    follow a hidden weight of every id instead. vocab: different ids of a slot, with signatures 1 to vocab. zipf: exponent of
    their frequencies, 0 for even ones. line_id: fields to fill. start_time: req_time of the first record, seconds since 1970;
    every further one is a second later. batch_size: rows of an ExampleBatch.
    """

    record_type: str = "instance"
    records: int = 1000
    seed: int = 1
    slots: list[int] = field(default_factory=lambda: list(range(1, 11)))
    v2_features: list[tuple[str, int]] = field(default_factory=list)
    fids: tuple[int, int] = (1, 1)
    dense: list[tuple[str, int]] = field(default_factory=list)
    labels: int = 1
    positive_rate: float = 0.5
    learnable: bool = False
    vocab: int = 100_000
    zipf: float = 0.0
    line_id: list[str] = field(default_factory=lambda: ["uid", "item_id", "req_time"])
    start_time: int = 1_609_459_200
    batch_size: int = 64

    def reader(self):
        """A native reader of the records; of an example_batch, of its rows as Examples. Raises UsageError."""
        from monolith_cli._native import _core

        return _core.generator(
            type="instance" if self.record_type == "instance" else "example", records=self.records, seed=self.seed,
            slots=self.slots, v2_features=self.v2_features, fids=self.fids, dense=self.dense, labels=self.labels,
            positive_rate=self.positive_rate, learnable=self.learnable, vocab=self.vocab, zipf=self.zipf,
            line_id=self.line_id, start_time=self.start_time)

    def operators(self) -> list:
        """What the records of `reader` go through."""
        from monolith_cli.records.convert import convert_operator

        if self.record_type != "example_batch":
            return []
        return [convert_operator("example", "example_batch", batch_size=self.batch_size)]


def generate(generator: Generator, *, output: str | None = None, run=None) -> dict:
    """Writes the records as the bare wire; `records` counts rows. Returns the counters of the chain."""
    from monolith_cli.records.chain import run_chain

    return run_chain((), generator.operators(), readers=[generator.reader()], output=output, run=run)
