"""What model_fn assigns to variables: which operations those are, and their order among the reads of the same variables."""

from __future__ import annotations

import tensorflow as tf

from monolith_cli.training.flops import ancestors

tf1 = tf.compat.v1

_ASSIGNS = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


def update_ops(graph: tf.Graph, before: set, reorder: bool = True) -> list:
    """What model_fn wants run in every step: the collection UPDATE_OPS, and assignments that layers made (moving averages,
    states of random generators). before: the operations that were there before it was called.

    reorder: has reads and assignments of a variable run in the order in which they were made. A graph runs what does not depend on
    one another in any order: a layer that reads a state and then advances it, as the random generators of Keras do, would read the
    old or the new one as threads have it.
    """
    initializers = {v.initializer for v in (*tf1.global_variables(), *tf1.local_variables())}
    made = {op: None for op in graph.get_operations() if op not in before}
    assigns = [op for op in made if op.type in _ASSIGNS and op not in initializers]
    if reorder:
        beginning = ancestors(initializers)
        for handle in dict.fromkeys(op.inputs[0] for op in assigns):
            uses = set(handle.consumers()) - beginning
            _chain([op for op in made if op in uses and op.type != "VarIsInitializedOp"])
    collected = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
    return list(dict.fromkeys([*assigns, *(getattr(op, "op", op) for op in collected)]))


def _chain(uses: list) -> None:
    """Each assignment after the uses before it, and these after the assignment before them."""
    last, since = [], []
    for op in uses:
        waits = since + last if op.type in _ASSIGNS else last
        op._add_control_inputs([w for w in waits if w not in op.control_inputs])
        if op.type in _ASSIGNS:
            last, since = [op], []
        else:
            since.append(op)
