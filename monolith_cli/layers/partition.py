"""Variables in several parts, for parameter servers: each part is a variable, and a checkpoint holds the whole."""

from __future__ import annotations

import tensorflow as tf

from monolith_cli.layers.base import register

tf1 = tf.compat.v1


@register
class AxisSizePartitioner:
    """Parts of at most `max_shard_bytes` along `axis`, at most `max_shards` of them (None: as many as it takes).

    The first parts are larger by one row where the rows do not divide. What tf.compat.v1.variable_axis_size_partitioner
    decides, as an object that a layer's config can hold.
    """

    def __init__(self, max_shard_bytes: int, axis: int = 0, max_shards: int | None = None):
        self.max_shard_bytes, self.axis, self.max_shards = max_shard_bytes, axis, max_shards

    def __call__(self, shape, dtype, **kwargs) -> list[int]:
        """Number of parts along each axis of `shape`."""
        decide = tf1.variable_axis_size_partitioner(self.max_shard_bytes, self.axis, max_shards=self.max_shards)
        return decide(shape=tf.TensorShape(shape), dtype=tf.as_dtype(dtype))

    def get_config(self) -> dict:
        return {"max_shard_bytes": self.max_shard_bytes, "axis": self.axis, "max_shards": self.max_shards}

    @classmethod
    def from_config(cls, config: dict) -> "AxisSizePartitioner":
        return cls(**config)


def parts(partitioner, shape, dtype) -> list[tuple[list[int], list[int]]]:
    """[(offset, shape)] of the parts of a variable; one part without a partitioner. ValueError for a division along
    several axes."""
    shape = [int(d) for d in shape]
    if partitioner is None:
        return [([0] * len(shape), shape)]
    counts = list(partitioner(shape=tf.TensorShape(shape), dtype=tf.as_dtype(dtype)))
    split = [axis for axis, n in enumerate(counts) if n > 1]
    if not split:
        return [([0] * len(shape), shape)]
    if len(split) > 1:
        raise ValueError(f"a partitioner may divide one axis, not {counts} parts of {shape}")
    (axis,) = split
    n = min(counts[axis], shape[axis])
    sizes = [shape[axis] // n + (i < shape[axis] % n) for i in range(n)]
    found, start = [], 0
    for size in sizes:
        offset, part = [0] * len(shape), list(shape)
        offset[axis], part[axis] = start, size
        found.append((offset, part))
        start += size
    return found


def add_weight(layer, name: str, shape, initial, partitioner, regularizer=None) -> list:
    """The variables of one weight of `layer`, as its parts: `<name>`, or `<name>_part_0`, ... which a checkpoint of
    tf.compat.v1 holds as the one tensor `<layer>/<name>`. initial: tensor that they start from."""
    pieces = parts(partitioner, shape, layer.variable_dtype)
    made = []
    for i, (offset, part) in enumerate(pieces):
        single = len(pieces) == 1

        def start(_shape, dtype=None, _offset=tuple(offset), _part=tuple(part)):
            return tf.cast(tf.slice(initial, _offset, _part), dtype or initial.dtype)

        variable = layer.add_weight(
            name=name if single else f"{name}_part_{i}", shape=part, initializer=start, regularizer=regularizer
        )
        if not single:
            whole = variable.path.removesuffix(f"_part_{i}")
            info = tf1.Variable.SaveSliceInfo(whole, list(shape), offset, part)
            getattr(variable.value, "_set_save_slice_info")(info)
        made.append(variable)
    return made


def whole(parts_of_weight: list):
    """The tensor that the parts make up. They were divided along the one axis in which their sizes add up."""
    if len(parts_of_weight) == 1:
        return tf.convert_to_tensor(parts_of_weight[0])
    info = parts_of_weight[0].value._get_save_slice_info()
    axis = next(i for i, (n, d) in enumerate(zip(info.full_shape, info.var_shape)) if n != d)
    return tf.concat([tf.convert_to_tensor(v) for v in parts_of_weight], axis=axis)
