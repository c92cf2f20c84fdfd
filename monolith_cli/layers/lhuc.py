"""LHUCTower: an MLP each of whose outputs is scaled by a gate that another input decides."""

from __future__ import annotations

from typing import Any

import keras

from monolith_cli.layers import activations
from monolith_cli.layers.base import (
    MonolithLayer,
    get_regularizer,
    initializer_or,
    is_shape,
    register,
    serialized,
    shown,
    variable_scope,
)
from monolith_cli.layers.dense import Dense
from monolith_cli.layers.mlp import BATCH_NORM_DEFAULTS, MLP, BatchNormArguments, activation_list
from monolith_cli.layers.utils import extend_as_list

_REGULARIZERS = ("kernel_regularizer", "bias_regularizer")
_OVERRIDES = (
    "initializers",
    "use_bias",
    "use_weight_norm",
    "use_learnable_weight_norm",
    *_REGULARIZERS,
    *BATCH_NORM_DEFAULTS,
)


@register
class LHUCTower(BatchNormArguments, MonolithLayer):
    """x_(i+1) = activation_i(BN?(Dense_i(x_i))) * gate_i(lhuc_input), with gate_i an MLP that ends in 2 * sigmoid.

    Input: one tensor for both, or (dense_input, lhuc_input), each [B, m].
    output_dims: widths of the layers. lhuc_output_dims: widths of the gates: None -> [output_dims[i]] for gate i; a
        list of numbers g -> g + [output_dims[i]]; a list of lists -> as they are, the last
        of each being output_dims[i].
    activations: as of `MLP`; default relu on all but the last. initializers, use_bias, use_weight_norm,
        use_learnable_weight_norm, kernel_regularizer, bias_regularizer, the batch normalisation's: as of `MLP`. With
        batch normalisation it is on dense_input and after each Dense but the last.
    lhuc_<argument>: that argument for the gates alone; None: as the tower's.
    Call: `tower(x, training=...)`.

    Variables (i from 1): layer_i/layer_i/dense/{kernel, trainable_kernel_norm, bias}, layer_i/lhuc/dense_j/...,
    batch_norm/..., layer_i/batch_norm/....
    Errors: AssertionError for widths of gates or activations that do not fit, LayerError for anything else.
    Paper: Swietojanski and Renals, Learning Hidden Unit Contributions, SLT 2014.
    """

    keyword_prefixes = ("lhuc_",)

    @classmethod
    def extra_params(cls) -> dict:
        return {f"lhuc_{k}": None for k in _OVERRIDES}

    def __init__(
        self,
        output_dims: list[int],
        lhuc_output_dims: list | None = None,
        activations: Any = "relu",
        initializers: Any = None,
        use_bias: bool = True,
        use_weight_norm: bool = True,
        use_learnable_weight_norm: bool = True,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        enable_batch_normalization: bool = False,
        batch_normalization_momentum: float = 0.99,
        batch_normalization_renorm: bool = False,
        batch_normalization_renorm_clipping: Any = None,
        batch_normalization_renorm_momentum: float = 0.99,
        **kwargs,
    ):
        given = {k.removeprefix("lhuc_"): kwargs.pop(k) for k in list(kwargs) if k.startswith("lhuc_")}
        super().__init__(**kwargs)
        unknown = [f"lhuc_{k}" for k in given if k not in _OVERRIDES]
        self.require(
            not unknown, f"unknown arguments {', '.join(unknown)}: the gates take lhuc_{', lhuc_'.join(_OVERRIDES)}"
        )
        self.require(bool(output_dims), f"output_dims must name at least one width, not {output_dims!r}")
        self.output_dims = list(output_dims)
        self.lhuc_output_dims = self._gate_dims(lhuc_output_dims)
        count = len(self.output_dims)
        self.activations = activation_list(activations, count)
        self.initializers = _initializers(initializers, count)
        self.use_bias, self.use_weight_norm, self.use_learnable_weight_norm = (
            use_bias,
            use_weight_norm,
            use_learnable_weight_norm,
        )
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)
        self.take_batch_norm(
            enable_batch_normalization,
            batch_normalization_momentum,
            batch_normalization_renorm,
            batch_normalization_renorm_clipping,
            batch_normalization_renorm_momentum,
        )
        self._overrides = {k: v for k, v in given.items() if v is not None}
        for key in _REGULARIZERS:
            if key in self._overrides:
                self._overrides[key] = get_regularizer(self._overrides[key])
        if "initializers" in self._overrides:
            self._overrides["initializers"] = _initializers(self._overrides["initializers"], count)

    def _gate_dims(self, dims: list | None) -> list[list[int]]:
        if not dims:
            return [[n] for n in self.output_dims]
        if all(isinstance(d, int) for d in dims):
            return [[*dims, n] for n in self.output_dims]
        self.require(
            all(isinstance(d, (list, tuple)) for d in dims),
            f"lhuc_output_dims must be a list of numbers or a list of lists, not {dims}",
        )
        fits = len(dims) == len(self.output_dims) and all(len(d) and d[-1] == n for d, n in zip(dims, self.output_dims))
        assert fits, (
            f"LHUCTower {self.name!r}: each of lhuc_output_dims {dims} must end in the width of its layer, "
            f"{self.output_dims}"
        )
        return [list(d) for d in dims]

    def build(self, input_shape):
        dense, lhuc = (input_shape, input_shape) if is_shape(input_shape) else self._two(input_shape)
        dense, lhuc = self.matrix_shape(dense, "dense_input"), self.matrix_shape(lhuc, "lhuc_input")
        self._input_norm = None
        if self.enable_batch_normalization:
            self._input_norm = self.batch_norm("batch_norm")
            self._input_norm.build(dense)
        self._layers_and_gates = []
        for i, units in enumerate(self.output_dims):
            with variable_scope(f"layer_{i + 1}"):
                self._layers_and_gates.append(self._build_layer(i, units, dense, lhuc))
            dense = (dense[0], units)

    def _two(self, shapes):
        self.require(
            len(shapes) == 2, f"takes one tensor or (dense_input, lhuc_input), not {len(shapes)}: {shown(shapes)}"
        )
        return shapes

    def _build_layer(self, i: int, units: int, dense: tuple, lhuc: tuple) -> list:
        layer = self.inner(
            Dense,
            units,
            name="dense",
            use_bias=self.use_bias,
            kernel_initializer=self.initializers[i],
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            allow_kernel_norm=self.use_weight_norm,
            kernel_norm_trainable=self.use_learnable_weight_norm,
        )
        with variable_scope(f"layer_{i + 1}"):
            layer.build(dense)
        norm = None
        if self.enable_batch_normalization and i < len(self.output_dims) - 1:
            norm = self.batch_norm("batch_norm")
            norm.build((dense[0], units))
        activation = self.activations[i]
        if isinstance(activation, keras.layers.Layer) and not activation.built:
            activation.build((dense[0], units))
        gate = self._gate(i)
        gate.build(lhuc)
        return [layer, norm, activation, gate]

    def _gate(self, i: int) -> MLP:
        dims = self.lhuc_output_dims[i]
        arguments = {k: getattr(self, k) for k in _OVERRIDES if k != "initializers"} | self._overrides
        arguments["initializers"] = self._overrides.get("initializers", self.initializers)[i]
        return self.inner(MLP, dims, activations=["relu"] * (len(dims) - 1) + ["sigmoid2"], name="lhuc", **arguments)

    def call(self, inputs, training=None):
        x, lhuc = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
        if self._input_norm is not None:
            x = self._input_norm(x, training=training)
        for layer, norm, activation, gate in self._layers_and_gates:
            x = layer(x)
            if norm is not None:
                x = norm(x, training=training)
            if activation is not None:
                x = activation(x)
            x = x * gate(lhuc, training=training)
        return x

    def get_config(self):
        overrides = {f"lhuc_{k}": v for k, v in self._overrides.items()}
        for key in _REGULARIZERS:
            if f"lhuc_{key}" in overrides:
                overrides[f"lhuc_{key}"] = serialized(overrides[f"lhuc_{key}"], keras.regularizers)
        if "lhuc_initializers" in overrides:
            overrides["lhuc_initializers"] = [serialized(i, keras.initializers) for i in overrides["lhuc_initializers"]]
        return {
            **super().get_config(),
            "output_dims": self.output_dims,
            "lhuc_output_dims": self.lhuc_output_dims,
            "activations": [activations.serialize(a) for a in self.activations],
            "initializers": [serialized(i, keras.initializers) for i in self.initializers],
            "use_bias": self.use_bias,
            "use_weight_norm": self.use_weight_norm,
            "use_learnable_weight_norm": self.use_learnable_weight_norm,
            "kernel_regularizer": serialized(self.kernel_regularizer, keras.regularizers),
            "bias_regularizer": serialized(self.bias_regularizer, keras.regularizers),
            **self.batch_norm_config(),
            **overrides,
        }


def _initializers(given: Any, count: int) -> list:
    given = list(given) if isinstance(given, tuple) else given
    return [initializer_or(i, "glorot_uniform") for i in extend_as_list(given, count)[:count]]
