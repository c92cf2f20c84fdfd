"""Shampoo: gradients preconditioned on each axis of a variable by the inverse root of its second moments."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.optimizers.base import DenseOptimizer, tf1


class ShampooOptimizer(DenseOptimizer):
    """With G the gradient, k the global step before the update (it must exist), R the rank of the variable:

    1. for each axis i: where k mod tau_2 is 0, g_i = G contracted with itself over all other axes; s_i = beta_2 s_i +
       (1 - beta_2) g_i, or s_i += g_i with beta_2 = 1;
    2. where k > warmup and k mod tau_1 is 0: the preconditioner of each axis is s_i ^ (-1 / 2R), from its eigenvectors;
    3. P = G with each axis multiplied by its preconditioner, 0 before the first;
    4. d += G^2; m = beta_1 m + (1 - beta_1) G / sqrt(d); pm = beta_1 pm + (1 - beta_1) P;
    5. var -= learning_rate * m up to warmup; behind it that moves over, from warmup to 2 warmup, to pm at the length of
    m.

    learning_rate: default 0.03; a number or tensor. beta_1, beta_2: default 0.9, 1. warmup, tau_1, tau_2: in steps;
        default 5000, 200, 20.
    eigen_head, eigen_tail: of an axis longer than both together only so many of the smallest and of the largest
        eigenvalues count (above damping_epsilon, default 0.001); the others stand in by the mean of their eigenvalues.
        Default 100, 100.
    Slots: s<i>, g<i> [n, n], pvec<i> [n, E], pval<i> [E], o<i> scalar for each axis; d, m, pm of the variable's shape.
    A scalar variable is trained by step 4 and 5 with P = G. Errors: as DenseOptimizer.
    Paper: Gupta et al., Shampoo: Preconditioned Stochastic Tensor Optimization, ICML 2018.
    """

    def __init__(
        self,
        learning_rate: Any = 0.03,
        beta_1: float = 0.9,
        beta_2: float = 1.0,
        warmup: int = 5000,
        tau_1: int = 200,
        tau_2: int = 20,
        eigen_head: int = 100,
        eigen_tail: int = 100,
        damping_epsilon: float = 1e-3,
        use_locking: bool = False,
        name: str = "Shampoo",
    ):
        super().__init__(learning_rate, use_locking, name)
        self._beta_1, self._beta_2, self._warmup, self._tau_1, self._tau_2 = beta_1, beta_2, warmup, tau_1, tau_2
        self._head, self._tail, self._damping = eigen_head, eigen_tail, damping_epsilon

    def _create_slots(self, var_list):
        for variable in var_list:
            for i, n in enumerate(variable.shape.as_list()):
                kept = min(n, self._head + self._tail)
                for slot, shape in (
                    (f"s{i}", [n, n]),
                    (f"g{i}", [n, n]),
                    (f"pvec{i}", [n, kept]),
                    (f"pval{i}", [kept]),
                    (f"o{i}", []),
                ):
                    zeros = tf.zeros(shape, variable.dtype.base_dtype)
                    self._get_or_make_slot(variable, zeros, slot, f"{self._name}/{slot}")
            for slot in ("d", "m", "pm"):
                self._zeros_slot(variable, slot, f"{self._name}/{slot}")

    def _resource_apply_dense(self, grad, handle):
        step = tf1.train.get_global_step()
        if step is None:
            raise ValueError(
                "ShampooOptimizer needs a global step: call tf.compat.v1.train.get_or_create_global_step() first"
            )
        step = tf.cast(step, tf.int64)
        pairs, preconditioned = [], grad
        for i in range(grad.shape.rank):
            changed, preconditioner = self._axis(grad, handle, i, step)
            pairs += changed
            preconditioned = _multiplied(preconditioned, *preconditioner)
        d, m, pm = (self.get_slot(handle, slot) for slot in ("d", "m", "pm"))
        new_d = d + tf.square(grad)
        new_m = self._beta_1 * m + (1.0 - self._beta_1) * grad * tf.math.rsqrt(new_d + 1e-30)
        new_pm = self._beta_1 * pm + (1.0 - self._beta_1) * preconditioned
        pairs += [(d, new_d), (m, new_m), (pm, new_pm), (handle, handle - self._update(new_m, new_pm, handle, step))]
        assigned = [v.assign(value, use_locking=self._use_locking, read_value=False) for v, value in pairs]
        return tf.group(*assigned)

    def _update(self, m, pm, handle, step):
        rate = tf.cast(self._rate, handle.dtype.base_dtype)
        plain = rate * m
        shaped = rate * tf.norm(m) / (tf.norm(pm) + 1e-10) * pm
        k = tf.cast(step, m.dtype)
        moved = tf.clip_by_value(k / max(self._warmup, 1) - 1.0, 0.0, 1.0)
        return tf.where(step <= self._warmup, plain, (1.0 - moved) * plain + moved * shaped)

    def _axis(self, grad, handle, i: int, step):
        """([(slot, value)], (vectors, values, offset)) of one axis."""
        s, g, vectors, values, offset = (
            self.get_slot(handle, f"{slot}{i}") for slot in ("s", "g", "pvec", "pval", "o")
        )
        others = [a for a in range(grad.shape.rank) if a != i]
        new_g = tf.cond(
            tf.equal(step % self._tau_2, 0), lambda: tf.tensordot(grad, grad, [others, others]), lambda: tf.identity(g)
        )
        new_s = self._beta_2 * s + (1.0 - self._beta_2) * new_g if self._beta_2 < 1 - 1e-10 else s + new_g
        due = tf.logical_and(step > self._warmup, tf.equal(step % self._tau_1, 0))
        power = 2 * grad.shape.rank
        roots = tf.cond(
            due,
            lambda: self._inverse_root(new_s, power),
            lambda: (tf.identity(vectors), tf.identity(values), tf.identity(offset)),
        )
        return [(s, new_s), (g, new_g), *zip((vectors, values, offset), roots)], roots

    def _inverse_root(self, matrix, power: int):
        """(vectors [n, E], values [E], offset): matrix ^ (-1 / power) is about vectors * values * vectors^T + offset *
        1."""
        n = matrix.shape[0]
        eigenvalues, vectors = tf.linalg.eigh(matrix)
        roots = tf.pow(tf.maximum(eigenvalues, self._damping), -1.0 / power)
        if self._head + self._tail >= n:
            return vectors, roots, tf.zeros([], matrix.dtype)
        first = tf.argmax(tf.cast(eigenvalues > self._damping, tf.int32), output_type=tf.int32)
        first = tf.minimum(first, n - self._head - self._tail)
        last = first + self._head
        chosen = tf.concat([tf.range(first, last), tf.range(n - self._tail, n)], axis=0)
        between = eigenvalues[last : n - self._tail]
        offset = tf.math.divide_no_nan(tf.reduce_sum(between), tf.cast(tf.size(between), matrix.dtype))
        kept = self._head + self._tail
        return (
            tf.ensure_shape(tf.gather(vectors, chosen, axis=1), [n, kept]),
            tf.ensure_shape(tf.gather(roots, chosen) - offset, [kept]),
            offset,
        )


def _multiplied(tensor, vectors, values, offset):
    """The first axis of `tensor` multiplied by the preconditioner, and moved to the end."""
    low = tf.tensordot(tensor, vectors, [[0], [0]]) * values
    moved = tf.transpose(tensor, [*range(1, tensor.shape.rank), 0])
    return tf.tensordot(low, vectors, [[low.shape.rank - 1], [1]]) + moved * offset
