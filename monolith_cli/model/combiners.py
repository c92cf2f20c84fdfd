"""How the embeddings of one row of a feature become one tensor."""

from __future__ import annotations

from monolith_cli.model.errors import ModelError


class Combiner:
    """Base of the combiners. `name` is what the lookup op knows; `max_seq_length` is 0 unless a sequence is kept."""

    name = ""
    max_seq_length = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def output_shape(self, dim: int) -> tuple[int | None, ...]:
        """Static shape of a slice of `dim` floats; the first entry is the batch."""
        return (None, dim)


class ReduceSum(Combiner):
    """Sum over the ids of a row: [B, dim], zeros for an empty row."""

    name = "reduce_sum"


class ReduceMean(Combiner):
    """Mean over the ids of a row: [B, dim], zeros for an empty row."""

    name = "reduce_mean"


class FirstN(Combiner):
    """The first `max_seq_length` ids of a row: [B, max_seq_length, dim], padded with zeros, further ids dropped."""

    name = "first_n"

    def __init__(self, max_seq_length: int):
        if max_seq_length <= 0:
            raise ModelError(f"FirstN needs max_seq_length > 0, not {max_seq_length}")
        self.max_seq_length = int(max_seq_length)

    def __repr__(self) -> str:
        return f"FirstN({self.max_seq_length})"

    def output_shape(self, dim: int) -> tuple[int | None, ...]:
        return (None, self.max_seq_length, dim)


def make_combiner(combiner: str | Combiner | None, max_seq_length: int = 0) -> Combiner:
    """The combiner of a column: an object as it is, a name, or None (FirstN where max_seq_length > 0, else ReduceSum)."""
    if isinstance(combiner, Combiner):
        return combiner
    if combiner is None:
        return FirstN(max_seq_length) if max_seq_length > 0 else ReduceSum()
    if combiner == "first_n":
        return FirstN(max_seq_length)
    if combiner == "reduce_sum":
        return ReduceSum()
    if combiner == "reduce_mean":
        return ReduceMean()
    raise ModelError(f"unknown combiner {combiner!r}: use reduce_sum, reduce_mean, first_n or a combiner object")
