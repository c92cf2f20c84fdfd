"""Learning rates that follow the training step."""

from __future__ import annotations


class LearningRateFunction:
    """A callable without arguments that gives the rate at the current global step.

    Its text names class and parameters; slices with the same text may share a segment of a table.
    """

    def __call__(self):
        raise NotImplementedError

    def __str__(self) -> str:
        params = ",".join(f"{k}={v}" for k, v in sorted(vars(self).items()))
        return f'LearningRateFunction("{type(self).__name__}",Params:{params})'


class PolynomialDecay(LearningRateFunction):
    """(initial - end) * (1 - min(step, n) / n) ^ power + end over n = decay_steps steps.

    With `cycle` n grows to the next multiple of decay_steps after each. The end may lie above the initial rate: a warm-up.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = None,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self):
        """Scalar float32 tensor."""
        import tensorflow as tf

        step = tf.cast(tf.compat.v1.train.get_or_create_global_step(), tf.float32)
        n = float(self.decay_steps)
        if self.cycle:
            n = n * tf.maximum(1.0, tf.math.ceil(step / n))
        else:
            step = tf.minimum(step, n)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * tf.pow(1.0 - step / n, self.power) + self.end_learning_rate
