"""From the loss to the updates: gradients, clipping, the dense optimizer and the fused update of the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from monolith_cli.model.errors import ModelError
from monolith_cli.model.model import ClipType
from monolith_cli.optimizers.clipping import clip_by_global_norm
from monolith_cli.training.overlap import Overlap, Postpush

tf1 = tf.compat.v1


@dataclass
class Clipping:
    """What a model says about its gradients; the fields are those of MonolithModel."""

    clip_type: ClipType = ClipType.ClipByGlobalNorm
    clip_norm: float | None = None
    sparse_clip_norm: float | None = None
    sparse_norm_warmup_steps: int | None = None


def clip_gradients(dense: list, sparse: list, clipping: Clipping, global_step) -> tuple[list, list]:
    """Both lists limited as `clipping` says. Entries may be None; the inputs are not changed."""
    kind, norm = ClipType(clipping.clip_type), clipping.clip_norm
    if kind == ClipType.ClipByDenseAndSparse:
        return _by_global_norm(dense, norm), _by_global_norm(sparse, clipping.sparse_clip_norm)
    if kind == ClipType.NoClip or norm is None:
        return dense, sparse
    if kind == ClipType.ClipByNorm:
        return tuple([None if g is None else tf.clip_by_norm(g, norm) for g in part] for part in (dense, sparse))
    if kind == ClipType.ClipByValue:
        return tuple([None if g is None else tf.clip_by_value(g, -norm, norm) for g in part] for part in (dense, sparse))
    total = tf.linalg.global_norm(dense + sparse)
    sparse_norm = norm if clipping.sparse_clip_norm is None else clipping.sparse_clip_norm
    warmup = clipping.sparse_norm_warmup_steps
    if warmup:
        sparse_norm = sparse_norm * tf.minimum(tf.cast(global_step, tf.float32) / float(warmup), 1.0)
    return _by_global_norm(dense, norm, total), _by_global_norm(sparse, sparse_norm, total)


def _by_global_norm(grads: list, limit, total=None) -> list:
    return grads if limit is None else clip_by_global_norm(list(grads), limit, total)[0]


def train_op(model, loss, optimizer, lookup, update_ops: list, batch, overlap: Overlap, forward: list, before_tables: list):
    """(one step: gradients of `loss`, then every update, then global_step + 1; what of that comes later, or None).

    lookup: `outputs`, and how their gradients get to the tables (`table_lookup.TableLookup`). batch: a tensor of the input; no variable
    changes before it is there, so that the end of the input is no half a step. forward: what the step computes of its variables and
    embeddings, before any update, those of the step before included. before_tables: what comes before a write to the tables.
    """
    step_variable = tf1.train.get_or_create_global_step()
    step = step_variable.read_value()
    variables, lookups = tf1.trainable_variables(), lookup.outputs
    slices = [(name, i) for name, tensors in lookups.items() for i in range(len(tensors))]
    grads = model._take_gradients(loss, variables, {(name, i): lookups[name][i] for name, i in slices})
    model._gradients = dict(zip([*(v.op.name for v in variables), *slices], grads))
    dense, sparse = grads[: len(variables)], grads[len(variables) :]
    if all(g is None for g in grads):
        raise ModelError("the loss depends on no variable and on no embedding: there is nothing to train")
    dense, sparse = _limited(model, dense, sparse, variables, slices, step)
    post, updates, followers = Postpush(), list(update_ops), [*forward, step, *before_tables]

    def counted(after: list) -> tf.Operation:
        with tf.control_dependencies([*after, step]):
            return step_variable.assign_add(1, read_value=False)

    def update_variables(arguments) -> tf.Operation:
        given, at = arguments
        made = _apply_dense(given, variables, optimizer)
        made += _averages(model.dense_moving_average, variables, at, made)
        return counted(made) if overlap.variable_postpush else tf.group(*made)

    # A gradient that is the same whatever was read would else be applied before the reading.
    with tf.control_dependencies([batch, *forward]):
        updates.append(post.call(update_variables, (dense, step), overlap.variable_postpush))
    if any(g is not None for g in sparse):
        by_name: dict[str, list] = {name: [None] * len(tensors) for name, tensors in lookups.items()}
        for (name, i), g in zip(slices, sparse):
            by_name[name][i] = g
        push, arguments = lookup.push_of(by_name, step)
        # They follow the global step, which an update of the step before advances.
        followers += [rate for rates in arguments["rates"].values() for rate in rates if tf.is_tensor(rate)]
        with tf.control_dependencies(forward if overlap.embedding_postpush else [*forward, *before_tables]):
            updates.append(post.call(push, arguments, overlap.embedding_postpush))
    else:
        updates += before_tables
    later = post.finish(followers)
    return (tf.group(*updates) if overlap.variable_postpush else counted(updates)), later


def _limited(model, dense: list, sparse: list, variables: list, slices: list, step) -> tuple[list, list]:
    """The gradients as they are applied: of known users, averaged, clipped, decayed."""
    dense = _of_known_users(model, dense, variables)
    if model.dense_reduce_mean:
        dense = [None if g is None else g / float(model.batch_size) for g in dense]
    clipping = Clipping(model.clip_type, model.clip_norm, model.sparse_clip_norm, model.sparse_norm_warmup_steps)
    if model.grads_and_vars_summary:
        named = [(f"{name}_{i}", g) for (name, i), g in zip(slices, sparse)]
        _summarize(clipping.clip_type, list(zip(dense, variables)), named)
    dense, sparse = clip_gradients(dense, sparse, clipping, step)
    return [_decayed(g, v, model.dense_weight_decay) for g, v in zip(dense, variables)], sparse


def _of_known_users(model, grads: list, variables: list) -> list:
    """With `ue_gradient_check` the gradients of the variables that read a user's embedding, zeros where that embedding is as
    good as none: its norm over the batch is not above `ue_euclidean_norm_threshold`."""
    if not model.ue_gradient_check:
        return grads
    if not model.ue_fc_names:
        raise ModelError("ue_gradient_check needs ue_fc_names: the features with the embeddings of users")
    return [_kept_if_known(model, g, v.op.name) for g, v in zip(grads, variables)]


def _kept_if_known(model, g, variable: str):
    names = [n for n in model.ue_fc_names if n in variable] or ([model.ue_fc_names[0]] if "uue" in variable else [])
    if g is None or not names:
        return g
    embedding = model._factory.features[names[0]]
    if not isinstance(embedding, tf.Tensor) or not embedding.dtype.is_floating:
        raise ModelError(
            f"ue_fc_names: feature {names[0]!r} is no dense tensor of floats: its norm decides on the gradient of {variable!r}"
        )
    known = tf.norm(embedding) > model.ue_euclidean_norm_threshold
    return tf.where(known, tf.convert_to_tensor(g), tf.zeros([], g.dtype))


def _summarize(clip_type: ClipType, dense: list, sparse: list) -> None:
    """TensorBoard: norms before clipping of all gradients together, norm and distribution of each variable and gradient."""
    groups = {"global_gradient_norm": [g for g, _ in dense] + [g for _, g in sparse]}
    if clip_type == ClipType.ClipByDenseAndSparse:
        groups = {
            "global_gradient_norm/dense": [g for g, _ in dense],
            "global_gradient_norm/sparse": [g for _, g in sparse],
        }
    for name, grads in groups.items():
        if any(g is not None for g in grads):
            tf1.summary.scalar(name, tf.linalg.global_norm(grads))
    for _, v in dense:
        tf1.summary.scalar(f"trainable_variable_norm/{v.op.name}", tf.norm(v))
        tf1.summary.histogram(f"trainable_variable/{v.op.name}", v)
    for name, g in [*((v.op.name, g) for g, v in dense), *sparse]:
        if g is not None:
            tf1.summary.scalar(f"gradient_norm/{name}", tf.linalg.global_norm([g]))
            tf1.summary.histogram(f"gradient/{name}", g.values if isinstance(g, tf.IndexedSlices) else g)


def moving_average(decay: float, step=None) -> tf.train.ExponentialMovingAverage:
    """average = d * average + (1 - d) * variable with d = min(decay, (1 + step) / (10 + step)), after each step."""
    return tf.train.ExponentialMovingAverage(decay, num_updates=step)


def averages_to_restore(decay: float, variables: list) -> dict:
    """Name in a checkpoint -> the variable of the graph that is read from it: of `variables` their moving averages, of others
    themselves. Parts of one variable are a list under the name of the whole."""
    found: dict = {}
    for name, variable in moving_average(decay).variables_to_restore(variables).items():
        part = variable._get_save_slice_info()
        if part is None:
            found[name] = variable
        else:
            found.setdefault(part.full_name + name.removeprefix(variable.op.name), []).append(variable)
    return found


def _averages(decay: float | None, variables: list, step, updates: list) -> list:
    if decay is None or not variables:
        return []
    if not 0 < decay < 1:
        raise ModelError(f"dense_moving_average is {decay}: it must lie between 0 and 1")
    with tf.control_dependencies(updates):
        return [moving_average(decay, step).apply(variables)]


def _decayed(g, variable, decay: float):
    return g if g is None or not decay else g + decay * variable


def _apply_dense(grads: list, variables: list, optimizer) -> list:
    """Updates of the dense variables; one with an `optimizer` attribute of its own uses that."""
    pairs = [(g, v) for g, v in zip(grads, variables) if g is not None]
    shared = [(g, v) for g, v in pairs if getattr(v, "optimizer", None) is None]
    updates = [v.optimizer.apply_gradients([(g, v)]) for g, v in pairs if getattr(v, "optimizer", None) is not None]
    if shared:
        check_optimizer(optimizer, len(shared))
        updates.append(optimizer.apply_gradients(shared))
    return updates


def check_optimizer(optimizer: Any, dense_variables: int) -> None:
    if optimizer is None:
        raise ModelError(
            f"model_fn returned no optimizer for its {dense_variables} dense variables: "
            "EstimatorSpec(optimizer=tf.compat.v1.train.AdagradOptimizer(0.05)), or self._default_dense_optimizer"
        )
    if not isinstance(optimizer, tf1.train.Optimizer):
        raise ModelError(
            f"unknown optimizer {optimizer!r}: dense variables take a tf.compat.v1.train optimizer, "
            "for example tf.compat.v1.train.AdagradOptimizer(0.05)"
        )
