"""Clipping by the global norm."""

from __future__ import annotations

import tensorflow as tf


def clip_by_global_norm(t_list: list, clip_norm: float, use_norm=None) -> tuple[list, tf.Tensor]:
    """(the tensors, their global norm): where the norm is above clip_norm each is multiplied by clip_norm / norm.

    norm: use_norm where given, else sqrt of the sum of all squares. Entries may be None and tf.IndexedSlices. No input
    is changed. A norm of infinity makes infinite entries NaN and all others 0; one of NaN leaves everything as it is.
    TypeError for what is no list; an empty list gives ([], 0).
    """
    if not isinstance(t_list, list):
        raise TypeError(f"t_list should be a list, not {type(t_list).__name__}")
    present = [t for t in t_list if t is not None]
    if not present:
        return list(t_list), tf.constant(0.0)
    norm = tf.linalg.global_norm(present) if use_norm is None else tf.convert_to_tensor(use_norm)
    above = norm > tf.cast(clip_norm, norm.dtype)
    # One comparison for all, and no NaN where 0 / 0 would make one.
    scale = tf.where(
        above, tf.cast(clip_norm, norm.dtype) / tf.where(above, norm, tf.ones_like(norm)), tf.ones_like(norm)
    )
    return [_scaled(t, scale) for t in t_list], norm


def _scaled(t, scale):
    if t is None:
        return None
    if isinstance(t, tf.IndexedSlices):
        return tf.IndexedSlices(_scaled(t.values, scale), t.indices, t.dense_shape)
    return tf.convert_to_tensor(t) * tf.cast(scale, t.dtype)
