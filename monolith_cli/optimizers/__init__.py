"""Optimizers of dense variables beyond those of tf.compat.v1.train, clipping of gradients, learning rates that follow
the step.

Importing it imports TensorFlow.
"""

from monolith_cli.optimizers.adamom import AdamomOptimizer
from monolith_cli.optimizers.clipping import clip_by_global_norm
from monolith_cli.optimizers.rmsprop import RmspropOptimizer
from monolith_cli.optimizers.shampoo import ShampooOptimizer

__all__ = ["AdamomOptimizer", "RmspropOptimizer", "ShampooOptimizer", "clip_by_global_norm"]
