"""Occurrence filters in a TensorFlow graph: an id gets a row in a table once it has occurred often enough.

Every function adds an op to the graph that is being built, or runs at once in eager mode. A filter is the handle of a resource;
equal names share one filter and its counts. `config` is a serialized SlotOccurrenceThresholdConfig: per slot, how many occurrences
an id needs (0: none); thresholds up to 15 with the sliding filter.
"""

from __future__ import annotations

import tensorflow as tf

from monolith_cli.tables import ops

DEFAULT_CAPACITY = 300_000_000
DEFAULT_SPLIT_NUM = 7
MAX_THRESHOLD = 15  # what the sliding filter counts to


class FilterType:
    """Names of the kinds of filters."""

    SLIDING_HASH_FILTER = "sliding_hash_filter"
    PROBABILISTIC_FILTER = "probabilistic_filter"
    NO_FILTER = "no_filter"
    ALL = (SLIDING_HASH_FILTER, PROBABILISTIC_FILTER, NO_FILTER)


def create_hash_filter(capacity: int, split_num: int, config: bytes = b"", name_suffix: str = "") -> tf.Tensor:
    """A sliding filter that remembers `capacity` ids (300 or more) in `split_num` splits (5 or more). Of an id with threshold T it
    keeps the first T occurrences out."""
    return ops.library().monolith_hash_filter(
        capacity=capacity, split_num=split_num, config=config, shared_name="MonolithHashFilter" + name_suffix
    )


def create_probabilistic_filter(
    equal_probability: bool, config: bytes = b"", name_suffix: str = "", seed: int = 0
) -> tf.Tensor:
    """A filter that remembers nothing: c occurrences of an absent id with threshold T get in with the chance min(1, c / T), or with
    `equal_probability` 1 - 0.05^(c / T), which is the same for c at once and for c one after the other."""
    return ops.library().monolith_probabilistic_filter(
        equal_probability=equal_probability,
        config=config,
        seed=seed,
        shared_name="MonolithProbabilisticFilter" + name_suffix,
    )


def create_dummy_hash_filter(name_suffix: str = "0") -> tf.Tensor:
    """A filter that keeps nothing out."""
    return ops.library().monolith_dummy_hash_filter(shared_name="DummyHashFilter" + name_suffix)


def create_hash_filters(
    ps_num: int,
    enable: bool,
    config: bytes = b"",
    filter_capacity: int = DEFAULT_CAPACITY,
    filter_split_num: int = DEFAULT_SPLIT_NUM,
    filter_equal_probability: bool = False,
    filter_type: str = FilterType.SLIDING_HASH_FILTER,
    seed: int = 0,
) -> list[tf.Tensor]:
    """One filter for each of `ps_num` parameter servers, named by the suffix `_<i>`; with ps_num 0 one without a suffix.

    enable: False gives dummies, whatever the rest says. seed: of the probabilistic filter. Raises ValueError for an unknown
    filter_type.
    """
    if enable and filter_type not in FilterType.ALL:
        raise ValueError(f"Invalid filter type {filter_type!r}: choose {', '.join(FilterType.ALL)}")
    suffixes = [f"_{i}" for i in range(ps_num)] or [""]
    if not enable or filter_type == FilterType.NO_FILTER:
        return [create_dummy_hash_filter(s) for s in suffixes]
    if filter_type == FilterType.PROBABILISTIC_FILTER:
        return [create_probabilistic_filter(filter_equal_probability, config, s, seed) for s in suffixes]
    return [create_hash_filter(filter_capacity, filter_split_num, config, s) for s in suffixes]


def save_hash_filter(hash_filter: tf.Tensor, basename: tf.Tensor | str, enable: bool = False) -> tf.Tensor:
    """Writes the files `<basename>-ddddd-of-ddddd`, one for each split, all or none, and returns the filter. Does nothing unless
    `enable` is True."""
    if enable is not True:
        return hash_filter
    return ops.library().monolith_hash_filter_save(handle=hash_filter, basename=basename)


def restore_hash_filter(hash_filter: tf.Tensor, basename: tf.Tensor | str, enable: bool = False) -> tf.Tensor:
    """Takes over what was saved and returns the filter; without any file it starts empty, with a warning. Does nothing unless
    `enable` is True."""
    if enable is not True:
        return hash_filter
    return ops.library().monolith_hash_filter_restore(handle=hash_filter, basename=basename)


def intercept_gradient(hash_filter: tf.Tensor, ids: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
    """The embeddings of ids [n] as they are. In their gradient, which counts each id once, the parts of ids that the filter keeps
    out are zeros."""
    return ops.library().monolith_hash_filter_intercept_gradient(
        filter_handle=hash_filter, ids=tf.cast(ids, tf.int64), embeddings=embeddings
    )


@tf.RegisterGradient("MonolithHashFilterInterceptGradient")
def _intercept(op: tf.Operation, grad: tf.Tensor) -> list:
    intercepted = ops.library().monolith_hash_filter_intercept_gradient_gradient(
        filter_handle=op.inputs[0], ids=op.inputs[1], grad=grad
    )
    return [None, None, intercepted]
