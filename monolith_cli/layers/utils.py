"""Helpers that several layers and model files use: merging of outputs, shapes, layer losses, relaxed subsets."""

from __future__ import annotations

import copy
import os
import re
import socket
import weakref
from typing import Any

import tensorflow as tf

tf1 = tf.compat.v1


class MergeType:
    """The last step of a layer's output (`out_type`)."""

    CONCAT = "concat"
    STACK = "stack"
    NONE = None


class DCNType:
    """The kinds of deep & cross."""

    Vector = "vector"
    Matrix = "matrix"
    Mixed = "mixed"


def to_snake_case(name: str) -> str:
    """`DMR_U2I` -> `dmr__u2i`, `PReLU` -> `p_re_lu`; a leading `_` gets `private` in front."""
    parted = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", parted).lower()
    return f"private{snake}" if snake.startswith("_") else snake


def to_list(x: Any) -> list:
    """A list as it is, anything else in a list."""
    return x if isinstance(x, list) else [x]


def extend_as_list(x: Any, n: int) -> list | tuple:
    """n entries. A list: padded with None (as it is where it has n or more). Anything else: x, then copies of it.

    TypeError for a tuple shorter than n."""
    if isinstance(x, (list, tuple)):
        if len(x) >= n:
            return x
        if isinstance(x, tuple):
            raise TypeError(f"a tuple of {len(x)} cannot be extended to {n} entries: give a list")
        return x + [None] * (n - len(x))
    return [x] + [_copied(x) for _ in range(n - 1)]


def _copied(x: Any) -> Any:
    try:
        return copy.deepcopy(x)
    except (TypeError, ValueError, NotImplementedError, AttributeError):
        return x


def check_list(candidate: Any, length_checker=lambda n: True, could_be_none: bool = False) -> Any:
    """`candidate`, when it is a list whose length passes. TypeError for None (unless allowed) and for what is no list,
    ValueError for its length."""
    if candidate is None and could_be_none:
        return None
    if type(candidate) is not list:
        raise TypeError(f"a list is needed, not {type(candidate).__name__}: {candidate!r}")
    if not length_checker(len(candidate)):
        raise ValueError(f"a list of another length is needed, not one of {len(candidate)}: {candidate!r}")
    return candidate


def check_dim(dim: Any) -> int:
    """None -> -1, a number or a TF1 Dimension -> its value; TypeError for anything else."""
    if dim is None:
        return -1
    if isinstance(dim, tf1.Dimension):
        return check_dim(dim.value)
    if isinstance(dim, int):
        return dim
    raise TypeError(f"{dim!r} is no dimension")


def dim_size(tensor, axis: int):
    """The static size of an axis where it is known, else a scalar tensor with it. ValueError for an axis beyond the
    rank."""
    rank = tensor.shape.rank
    if rank is not None and not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor with shape {tensor.shape}")
    known = None if rank is None else tensor.shape[axis]
    return tf.shape(tensor)[axis] if known is None else known


def get_ndim(tensor) -> int | None:
    """Rank; None where it is unknown."""
    return tensor.shape.rank


def int_shape(tensor) -> tuple[int, ...] | None:
    """Static shape with -1 for what is unknown; None for an unknown rank."""
    return None if tensor.shape.rank is None else tuple(-1 if d is None else d for d in tensor.shape.as_list())


def merge_tensor_list(
    tensor_list,
    merge_type: str | None = "concat",
    num_feature: int | None = None,
    axis: int = 1,
    keep_list: bool = False,
):
    """The last step of a layer's output. A bare tensor is taken as a list of one; the caller's list is not changed.

    | input | concat | stack | None |
    |---|---|---|---|
    | one [B, n, d] | [B, n*d] | [B, n, d] | n of [B, d] |
    | one [B, E] with num_feature k > 1 | [B, E] | [B, k, E/k] | k of [B, E/k] |
    | one [B, E] | as it is | as it is | as it is |
    | m > 1 tensors | joined on axis | stacked on axis | the list |

    keep_list: one result comes in a list too. ValueError for another merge_type and for a tensor of another rank.
    """
    if merge_type not in (MergeType.CONCAT, MergeType.STACK, MergeType.NONE):
        raise ValueError(f"unknown merge type {merge_type!r}: use concat, stack or None")
    tensors = list(tensor_list) if isinstance(tensor_list, (list, tuple)) else [tensor_list]
    if len(tensors) > 1:
        if merge_type is None:
            return tensors
        merged = (tf.concat if merge_type == MergeType.CONCAT else tf.stack)(tensors, axis=axis)
    else:
        merged = _one_merged(tensors[0], merge_type, num_feature, axis)
        if isinstance(merged, list):
            return merged
    return [merged] if keep_list else merged


def _one_merged(tensor, merge_type, num_feature, axis):
    rank = tensor.shape.rank
    if rank == 2:
        if not num_feature or num_feature <= 1 or merge_type == MergeType.CONCAT:
            return tensor
        width = tensor.shape[1]
        if width is None or width % num_feature:
            raise ValueError(f"shape error: {tensor.shape} cannot be parted into {num_feature} features")
        tensor = tf.reshape(tensor, [-1, num_feature, width // num_feature])
    elif rank != 3:
        raise ValueError(f"shape error: {tensor.shape} has neither 2 nor 3 dimensions")
    elif merge_type == MergeType.CONCAT:
        n, d = tensor.shape[1:]
        return tf.reshape(tensor, [-1, n * d if None not in (n, d) else tf.shape(tensor)[1] * tf.shape(tensor)[2]])
    return tensor if merge_type == MergeType.STACK else tf.unstack(tensor, axis=axis)


# --- losses that layers leave -------------------------------------------------------------------------------------

_layer_losses: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def add_layer_loss(name: str, loss) -> None:
    """Adds `loss` to what is kept for `name` in the graph at hand."""
    losses = _layer_losses.setdefault(tf1.get_default_graph(), {})
    losses[name] = losses[name] + loss if name in losses else loss


def get_layer_loss() -> dict[str, Any]:
    """Name -> loss of the graph at hand. A model adds them: `self.add_loss(list(get_layer_loss().values()))`."""
    return _layer_losses.setdefault(tf1.get_default_graph(), {})


# --- relaxed subsets ----------------------------------------------------------------------------------------------


def gumbel_keys(w):
    """w - log(-log(u)), u uniform on (0, 1): perturbed log weights, whose k largest are a weighted sample of k."""
    uniform = tf.random.uniform(tf.shape(w), minval=w.dtype.as_numpy_dtype(_tiny(w)), maxval=1.0, dtype=w.dtype)
    return w - tf.math.log(-tf.math.log(uniform))


def continuous_topk(w, k: int, t: float, separate: bool = False):
    """A differentiable k-hot of the k largest along the last axis; as t -> 0 it becomes exact.

    k rounds of p = softmax(w / t), after each of which w += log(max(1 - p, tiny)). Returns the sum of the k p, or with
    `separate` their list. Paper: Xie and Ermon, Reparameterizable Subset Sampling via Continuous Relaxations, IJCAI
    2019.
    """
    tiny = tf.constant(_tiny(w), w.dtype)
    found, chosen = [], tf.zeros_like(w)
    for _ in range(k):
        w = w + tf.math.log(tf.maximum(1.0 - chosen, tiny))
        chosen = tf.nn.softmax(w / t, axis=-1)
        found.append(chosen)
    return found if separate else tf.add_n(found)


def sample_subset(w, k: int, t: float = 0.1):
    """A relaxed k-hot sample with log weights w: continuous_topk(gumbel_keys(w), k, t)."""
    return continuous_topk(gumbel_keys(w), k, t)


def _tiny(w) -> float:
    import numpy as np

    return float(np.finfo(w.dtype.as_numpy_dtype).tiny)


# --- graphs -------------------------------------------------------------------------------------------------------


def ps_device(i: int) -> str:
    """The device of parameter server i."""
    return f"/job:ps/task:{i}/device:CPU:0"


def propagate_back_gradients(grads_and_vars, xs, valid_var_set=None) -> list:
    """Gradients of the variables with respect to xs, each seeded with its given gradient.

    xs a dict: [(gradient, x)] grouped as {key: ...}. RuntimeError for a variable outside a non-empty valid_var_set.
    """
    pairs = list(grads_and_vars)
    for _, variable in pairs:
        if valid_var_set and not any(variable is v for v in valid_var_set):
            raise RuntimeError(f"{variable.name} is not among the variables that gradients may go back through")
    seeds, outputs = [g for g, _ in pairs], [v for _, v in pairs]
    if not isinstance(xs, dict):
        return tf1.gradients(outputs, list(xs), seeds)
    flat = [(key, x) for key, values in xs.items() for x in to_list(values)]
    found: dict = {key: [] for key in xs}
    for (key, x), g in zip(flat, tf1.gradients(outputs, [x for _, x in flat], seeds)):
        found[key].append((g, x))
    return found


def check_ops_dependence(op_names_1, op_names_2) -> None:
    """RuntimeError when an op of the second list is needed to compute one of the first."""
    graph = tf1.get_default_graph().as_graph_def()
    below = tf1.graph_util.extract_sub_graph(graph, to_list(op_names_1))
    shared = {n.name for n in below.node} & set(to_list(op_names_2))
    if shared:
        raise RuntimeError(f"{', '.join(sorted(shared))} lies below {', '.join(to_list(op_names_1))}")


def add_to_collections(names, value) -> None:
    """Adds to one or several graph collections, unless value is None or an empty list or dict."""
    if value is None or (isinstance(value, (list, tuple, dict)) and not value):
        return
    for name in to_list(names):
        tf1.add_to_collection(name, value)


def get_collection(name: str) -> list | None:
    """A graph collection; None where it is empty."""
    return tf1.get_collection(name) or None


def get_test_tmp_dir() -> str:
    """TEST_TMPDIR of the environment, else /tmp."""
    return os.environ.get("TEST_TMPDIR", "/tmp")


def get_local_host() -> str:
    """The IPv4 address of this host's name."""
    return socket.gethostbyname(socket.gethostname())
