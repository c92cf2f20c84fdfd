"""From the TPU era: an initializer with NumPy's random numbers, the search for embedding widths by sampling,
distillation of embeddings."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from monolith_cli.layers.base import MonolithLayer, register, shown

tf1 = tf.compat.v1

# The standard deviation of a standard normal that is cut at 2.
_CUT_DEVIATION = 0.87962566103423978


@register
class VarianceScaling(keras.initializers.Initializer):
    """A NumPy array whose variance is scale / n: n = fan_in, fan_out or their mean (mode fan_avg).

    distribution: truncated_normal, cut at two deviations; untruncated_normal; uniform on +-sqrt(3 scale / n). seed:
    None draws anew. The fans of [rows, columns] are these; with 3 to 5 dimensions those of a convolution, data_format
    channels_last or channels_first; else the root of the number of elements. ValueError for scale <= 0 and unknown
    names. keras.initializers.VarianceScaling is the same with Keras' random numbers. Paper: Glorot and Bengio, AISTATS
    2010.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        data_format: str = "channels_last",
    ):
        mode, distribution = mode.lower(), distribution.lower()
        if scale <= 0:
            raise ValueError(f"scale must be above 0, not {scale}")
        for what, value, known in (
            ("mode", mode, ("fan_in", "fan_out", "fan_avg")),
            ("distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform")),
            ("data_format", data_format, ("channels_last", "channels_first")),
        ):
            if value not in known:
                raise ValueError(f"{what} must be one of {', '.join(known)}, not {value!r}")
        self.scale, self.mode, self.distribution, self.seed, self.data_format = (
            scale,
            mode,
            distribution,
            seed,
            data_format,
        )

    def fans(self, shape) -> tuple[float, float]:
        """(fan in, fan out) of a shape."""
        shape = tuple(shape)
        if len(shape) == 2:
            return shape
        if 3 <= len(shape) <= 5:
            if self.data_format == "channels_first":
                field = math.prod(shape[2:])
                return shape[1] * field, shape[0] * field
            field = math.prod(shape[:-2])
            return shape[-2] * field, shape[-1] * field
        root = math.sqrt(math.prod(shape))
        return root, root

    def __call__(self, shape, dtype=None, **kwargs):
        fan_in, fan_out = self.fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        rng = np.random.RandomState(self.seed)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            drawn = rng.uniform(-limit, limit, shape)
        elif self.distribution == "untruncated_normal":
            drawn = rng.normal(0.0, math.sqrt(variance), shape)
        else:
            drawn = _cut_normal(rng, shape) * math.sqrt(variance) / _CUT_DEVIATION
        return drawn.astype(dtype or "float32")

    def get_config(self):
        return {k: getattr(self, k) for k in ("scale", "mode", "distribution", "seed", "data_format")}


def _cut_normal(rng, shape) -> np.ndarray:
    """Standard normal numbers, those beyond 2 drawn again."""
    drawn = rng.normal(size=shape)
    while (beyond := np.abs(drawn) > 2).any():
        drawn[beyond] = rng.normal(size=int(beyond.sum()))
    return drawn


@register
class MixedEmbedOpComb(MonolithLayer):
    """Search for the widths of embeddings: each slot offers several, of which each step samples one.

    Input [B, sum over slots of the sum of their widths], the widths of a slot side by side. For each slot p =
    softmax(w); one choice c is drawn, from equal chances while the global step is below pretraining_steps, else from p;
    the output keeps the columns of c, times 1 + p_c - p_c without gradient, so that w is trained. Where the first width
    of a slot is 0 (no embedding), its p counts from warmup_steps on alone.

    slot_names; embedding_size_choices_list: the widths of each slot. warmup_steps, pretraining_steps: in global steps.
    teacher_embedding_sizes_list, distillation_mask: kept for old models; no distillation is done here.
    Variable: arch_embedding_weights [choices of all slots] uniform on +-0.001.
    Errors: LayerError where the input is not as wide as all choices together.
    Paper: Joglekar et al., Neural Input Search for Large Scale Recommendation Models, KDD 2020.
    """

    def __init__(
        self,
        slot_names: list[str],
        embedding_size_choices_list: list[list[int]],
        warmup_steps: int,
        pretraining_steps: int,
        teacher_embedding_sizes_list: Any = None,
        distillation_mask: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.slot_names, self.embedding_size_choices_list = (
            list(slot_names),
            [list(c) for c in embedding_size_choices_list],
        )
        self.require(
            len(self.slot_names) == len(self.embedding_size_choices_list) and all(self.embedding_size_choices_list),
            f"{len(self.slot_names)} slots and {len(self.embedding_size_choices_list)} lists of widths: give "
            f"each slot its widths",
        )
        self.warmup_steps, self.pretraining_steps = warmup_steps, pretraining_steps
        self.teacher_embedding_sizes_list, self.distillation_mask = teacher_embedding_sizes_list, distillation_mask
        self._summaries: dict[str, Any] = {}

    def build(self, input_shape):
        width = sum(map(sum, self.embedding_size_choices_list))
        found = self.matrix_shape(input_shape)[-1]
        self.require(
            found == width,
            f"the input must be [batch, {width}] for widths {self.embedding_size_choices_list}, not "
            f"{shown(input_shape)}",
        )
        self.weights_of_choices = self.add_weight(
            name="arch_embedding_weights",
            shape=[sum(map(len, self.embedding_size_choices_list))],
            initializer=keras.initializers.RandomUniform(-1e-3, 1e-3),
        )

    def probabilities(self) -> list:
        """p of each slot, in which a first width of 0 counts as the others."""
        sizes = [len(c) for c in self.embedding_size_choices_list]
        return [tf.nn.softmax(w) for w in tf.split(tf.convert_to_tensor(self.weights_of_choices), sizes)]

    def call(self, inputs):
        step = tf.cast(tf1.train.get_or_create_global_step(), self.compute_dtype)
        entropies, widths, listed, masks = [], [], [], []
        for slot, choices, p in zip(self.slot_names, self.embedding_size_choices_list, self.probabilities()):
            entropies.append(-tf.reduce_sum(p * tf.math.log(p)))
            widths.append(tf.reduce_sum(p * tf.constant(choices, p.dtype)))
            if choices[0] == 0:
                p = tf.concat([p[:1] * tf.clip_by_value(step - self.warmup_steps, 0.0, 1.0), p[1:]], axis=0)
            listed += [(f"arch_embedding_weights_after_softmax/{slot}_{size}", p[i]) for i, size in enumerate(choices)]
            masks.append(self._mask(choices, p, step))
        self._summaries = {
            "arch_entropy": tf.add_n(entropies),
            "expected_emb_dims": tf.add_n(widths),
            "arch_weights_after_softmax_list": listed,
        }
        return inputs * tf.concat(masks, axis=0)

    def _mask(self, choices: list[int], p, step):
        """[sum of choices]: 1 + p_c - sg(p_c) on the columns of the drawn choice c."""
        equal = tf.fill([len(choices)], tf.constant(1.0 / len(choices), p.dtype))
        chances = tf.where(step < self.pretraining_steps, equal, p)
        drawn = tf.random.categorical(tf.math.log(chances)[tf.newaxis], 1)[0, 0]
        chosen = tf.one_hot(drawn, len(choices), dtype=p.dtype)
        return tf.repeat(chosen * (1.0 + p - tf.stop_gradient(p)), choices)

    def get_summaries(self) -> dict[str, Any]:
        """Of the last call: arch_entropy, expected_emb_dims (scalars), arch_weights_after_softmax_list [(name, p)]."""
        return self._summaries

    def get_config(self):
        plain = (
            "slot_names",
            "embedding_size_choices_list",
            "warmup_steps",
            "pretraining_steps",
            "teacher_embedding_sizes_list",
            "distillation_mask",
        )
        return {**super().get_config(), **{k: getattr(self, k) for k in plain}}


@register
class TeacherEmbeddingTransform(MonolithLayer):
    """A linear map for each slice of a teacher's embeddings: [B, sum t_i] -> [B, sum m_i], slice i times its [t_i,
    m_i], plus bias.

    max_choice_per_embedding: m_i. teacher_embedding_sizes_list: t_i.
    Variables: weight [sum m_i * t_i, 1] truncated normal of deviation 0.15; bias [sum m_i] zeros. Errors: LayerError
    for another width.
    """

    def __init__(self, max_choice_per_embedding: list[int], teacher_embedding_sizes_list: list[int], **kwargs):
        super().__init__(**kwargs)
        self.max_choice_per_embedding = list(max_choice_per_embedding)
        self.teacher_embedding_sizes_list = list(teacher_embedding_sizes_list)
        fits = len(self.max_choice_per_embedding) == len(self.teacher_embedding_sizes_list)
        self.require(fits, "max_choice_per_embedding and teacher_embedding_sizes_list must be equally long")

    def build(self, input_shape):
        width, found = sum(self.teacher_embedding_sizes_list), self.matrix_shape(input_shape)[-1]
        self.require(found == width, f"the input must be [batch, {width}], not {shown(input_shape)}")
        cells = [m * t for m, t in zip(self.max_choice_per_embedding, self.teacher_embedding_sizes_list)]
        self.weight = self.add_weight(
            name="weight", shape=[sum(cells), 1], initializer=keras.initializers.TruncatedNormal(stddev=0.15)
        )
        self.bias = self.add_weight(name="bias", shape=[sum(self.max_choice_per_embedding)], initializer="zeros")
        self._cells = cells

    def call(self, inputs):
        slices = tf.split(inputs, self.teacher_embedding_sizes_list, axis=1)
        weights = tf.split(tf.convert_to_tensor(self.weight), self._cells, axis=0)
        shapes = zip(self.teacher_embedding_sizes_list, self.max_choice_per_embedding)
        mapped = [tf.matmul(x, tf.reshape(w, shape)) for x, w, shape in zip(slices, weights, shapes)]
        return tf.concat(mapped, axis=1) + self.bias

    def get_config(self):
        plain = ("max_choice_per_embedding", "teacher_embedding_sizes_list")
        return {**super().get_config(), **{k: getattr(self, k) for k in plain}}
