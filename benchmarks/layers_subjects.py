"""One subject of `make bench-layers`: layers_subjects.py SUBJECT MODEL BATCH STEPS prints {"ms", "loss_first",
"loss_last"}.

DLRM: 13 numbers through an MLP 512-256-16, 26 embeddings of 16, all inner products, MLP 512-256-1. DCN: 429 inputs, 3
cross layers with matrices beside an MLP 512-256, 1 output. DIN: a target and 50 steps of 32 floats, attention MLP
80-40-1 with sigmoids and weight normalisation, MLP 200-80-1.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np

WARM_UP = 20
FIELDS, WIDTH, NUMBERS, STEPS, ITEM = 26, 16, 13, 50, 32


def batch_of(model: str, batch: int) -> dict[str, np.ndarray]:
    """The inputs by name, and the label; the same for every subject."""
    rng = np.random.default_rng(1)
    shapes = {
        "dlrm": {"numbers": (NUMBERS,), "fields": (FIELDS, WIDTH)}, "dcn": {"flat": (FIELDS * WIDTH + NUMBERS,)},
        "din": {"target": (ITEM,), "history": (STEPS, ITEM)},
    }[model]  # fmt: skip
    made = {name: rng.normal(scale=0.5, size=(batch, *shape)).astype(np.float32) for name, shape in shapes.items()}
    made["label"] = (rng.random((batch, 1)) < 0.3).astype(np.float32)
    return made


def monolith_logit(model: str, x: dict):
    import tensorflow as tf

    from monolith_cli import layers

    def mlp(dims, activations="relu"):
        return layers.MLP(dims, activations=activations, use_weight_norm=False)

    if model == "dlrm":
        bottom = mlp([512, 256, WIDTH], ["relu"] * 3)(x["numbers"])
        vectors = [bottom, *tf.unstack(x["fields"], axis=1)]
        crossed = layers.GroupInt("dot")((vectors, vectors))
        return mlp([512, 256, 1])(tf.concat([bottom, crossed], axis=1))
    if model == "dcn":
        deep = mlp([512, 256], ["relu"] * 2)(x["flat"])
        return layers.Dense(1)(tf.concat([layers.DCN(3)(x["flat"]), deep], axis=1))
    seen = layers.DIN([80, 40, 1], "sigmoid")((x["target"], x["history"]))
    return mlp([200, 80, 1])(tf.concat([x["target"], seen], axis=1))


def run_monolith(model: str, data: dict, steps: int):
    import tensorflow as tf

    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        # Variables, not constants: what depends on the batch alone must not be folded away.
        x = {k: tf.Variable(v, trainable=False, name=k).read_value() for k, v in data.items()}
        logit = monolith_logit(model, x)
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=x["label"], logits=logit))
        inputs = [v for k, v in x.items() if k != "label"]
        variables = tf1.trainable_variables()
        grads = tf1.gradients(loss, variables + inputs)
        update = tf1.train.AdagradOptimizer(0.01).apply_gradients(zip(grads, variables))
        step = [update, loss, tf.group(*grads[len(variables) :])]
        session.run(tf1.global_variables_initializer())
        return timed(lambda: session.run(step)[1], steps)


def run_keras(model: str, data: dict, steps: int, jit: bool):
    import keras
    import tensorflow as tf

    network = keras_model(model, {k: v.shape[1:] for k, v in data.items() if k != "label"})
    optimizer = keras.optimizers.Adagrad(0.01, initial_accumulator_value=0.1, epsilon=1e-7)
    optimizer.build(network.trainable_variables)
    label = tf.constant(data["label"])
    inputs = {k: tf.constant(v) for k, v in data.items() if k != "label"}

    @tf.function(jit_compile=jit)
    def step(inputs, label):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=network(inputs, training=True))
            )
        grads, of_inputs = tape.gradient(loss, (network.trainable_variables, inputs))
        optimizer.apply(grads, network.trainable_variables)
        return loss, of_inputs

    return timed(lambda: step(inputs, label)[0].numpy(), steps)


def keras_model(model: str, shapes: dict):
    import keras
    from keras import layers, ops

    x = {k: keras.Input(shape, name=k) for k, shape in shapes.items()}

    class NormedDense(layers.Dense):
        """Weight normalisation, which Keras 3 does not have."""

        def build(self, input_shape):
            super().build(input_shape)
            self.length = self.add_weight(name="length", shape=[self.units], initializer="ones")

        def call(self, inputs):
            kernel = self.kernel * ops.rsqrt(ops.maximum(ops.sum(ops.square(self.kernel), axis=0), 1e-6)) * self.length
            return self.activation(ops.add(ops.matmul(inputs, kernel), self.bias))

    def mlp(dims, inputs, last=None, hidden="relu", dense=layers.Dense):
        for i, units in enumerate(dims):
            inputs = dense(units, activation=hidden if i < len(dims) - 1 else last)(inputs)
        return inputs

    if model == "dlrm":
        bottom = mlp([512, 256, WIDTH], x["numbers"], "relu")
        vectors = ops.concatenate([ops.expand_dims(bottom, 1), x["fields"]], axis=1)
        crossed = layers.Flatten()(ops.matmul(vectors, ops.transpose(vectors, (0, 2, 1))))
        out = mlp([512, 256, 1], layers.Concatenate()([bottom, crossed]))
    elif model == "dcn":
        cross = x["flat"]
        for _ in range(3):
            cross = x["flat"] * layers.Dense(cross.shape[-1], kernel_initializer="glorot_normal")(cross) + cross
        out = layers.Dense(1)(layers.Concatenate()([cross, mlp([512, 256], x["flat"], "relu")]))
    else:
        target = ops.repeat(ops.expand_dims(x["target"], 1), STEPS, axis=1)
        history = x["history"]
        together = layers.Concatenate()([target, history, target - history, target * history])
        weights = mlp([80, 40, 1], together, hidden="sigmoid", dense=NormedDense)
        seen = ops.squeeze(ops.matmul(ops.transpose(weights, (0, 2, 1)), history), 1)
        out = mlp([200, 80, 1], layers.Concatenate()([x["target"], seen]))
    return keras.Model(x, out)


def run_torch(model: str, data: dict, steps: int):
    import torch
    from torch import nn

    torch.manual_seed(1)

    def mlp(before, dims, last=None, hidden=nn.ReLU, wrapped=lambda linear: linear):
        made = []
        for i, units in enumerate(dims):
            linear = nn.Linear(before, units)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            activation = hidden if i < len(dims) - 1 else last
            made += [wrapped(linear)] + ([activation()] if activation else [])
            before = units
        return nn.Sequential(*made)

    if model == "dlrm":
        parts = nn.ModuleList([mlp(NUMBERS, [512, 256, WIDTH], nn.ReLU), mlp(WIDTH + (FIELDS + 1) ** 2, [512, 256, 1])])

        def logit(x):
            bottom = parts[0](x["numbers"])
            vectors = torch.cat([bottom[:, None], x["fields"]], dim=1)
            return parts[1](torch.cat([bottom, torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)], dim=1))
    elif model == "dcn":
        width = data["flat"].shape[1]
        parts = nn.ModuleList(
            [*(mlp(width, [width]) for _ in range(3)), mlp(width, [512, 256], nn.ReLU), mlp(width + 256, [1])]
        )

        def logit(x):
            cross = x["flat"]
            for layer in parts[:3]:
                cross = x["flat"] * layer(cross) + cross
            return parts[4](torch.cat([cross, parts[3](x["flat"])], dim=1))
    else:
        attention = mlp(4 * ITEM, [80, 40, 1], hidden=nn.Sigmoid, wrapped=nn.utils.parametrizations.weight_norm)
        parts = nn.ModuleList([attention, mlp(2 * ITEM, [200, 80, 1])])

        def logit(x):
            history = x["history"]
            target = x["target"][:, None].expand_as(history)
            weights = parts[0](torch.cat([target, history, target - history, target * history], dim=-1))
            seen = torch.bmm(weights.transpose(1, 2), history).squeeze(1)
            return parts[1](torch.cat([x["target"], seen], dim=1))

    optimizer = torch.optim.Adagrad(parts.parameters(), 0.01, initial_accumulator_value=0.1)
    x = {k: torch.from_numpy(v).requires_grad_(k != "label") for k, v in data.items()}
    loss_of = nn.BCEWithLogitsLoss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        for k, v in x.items():
            v.grad = None
        loss = loss_of(logit(x), x["label"])
        loss.backward()
        optimizer.step()
        return loss.item()

    return timed(step, steps)


def timed(step, steps: int) -> dict:
    first = float(step())
    for _ in range(WARM_UP):
        last = step()
    times = []
    for _ in range(steps):
        begun = time.perf_counter()
        last = step()
        times.append(time.perf_counter() - begun)
    return {"ms": statistics.median(times) * 1000, "loss_first": first, "loss_last": float(last)}


def main() -> None:
    subject, model, batch, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    data = batch_of(model, batch)
    if subject == "monolith":
        result = run_monolith(model, data, steps)
    elif subject == "torch":
        result = run_torch(model, data, steps)
    else:
        result = run_keras(model, data, steps, jit=subject == "keras-jit")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
