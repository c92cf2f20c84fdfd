"""One SavedModel, loaded: its signatures, and calls of them with NumPy arrays. TensorFlow's sessions are here."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import threading
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from monolith_cli import errors
from monolith_cli.serving.protos import config_pb2, meta_graph_pb2
from monolith_cli.serving.server import tensors
from monolith_cli.serving.server.runtime import tensorflow
from monolith_cli.serving.server.status import StatusError, failed_precondition, from_number, invalid

DEFAULT_SIGNATURE = "serving_default"
# Signatures by which a SavedModel names its own initialization: nobody calls those.
_INTERNAL = "__saved_model_"


@dataclass(frozen=True)
class LoadOptions:
    """How SavedModels are loaded: their tags, the session's configuration (ConfigProto), libraries of ops besides our
    own.

    Where `inter_op_parallelism_threads` is 0, a call runs one op after the other in the caller's thread: requests are
    what is parallel. An op itself still uses `intra_op_parallelism_threads`.
    """

    tags: tuple[str, ...] = ("serve",)
    session: Any = field(default_factory=lambda: config_pb2.ConfigProto(allow_soft_placement=True))
    op_libraries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tensor:
    """One input or output of a signature. shape: None where the rank is unknown, -1 for a free dimension. default: an
    array or None."""

    name: str
    dtype: int
    shape: tuple[int, ...] | None
    default: Any = None

    def check(self, alias: str, array: np.ndarray, dtype: int) -> None:
        """INVALID_ARGUMENT where an array is no value of this input."""
        if dtype != self.dtype:
            raise invalid(
                f"input {alias} is expected to be {tensors.type_name(self.dtype)} but is {tensors.type_name(dtype)}"
            )
        if self.shape is None:
            return
        fits = len(array.shape) == len(self.shape)
        for have, want in zip(array.shape, self.shape):
            fits = fits and (want < 0 or have == want)
        if not fits:
            wanted = ["?" if size < 0 else size for size in self.shape]
            raise invalid(
                f"input {alias} has the shape {list(array.shape)} where {str(wanted).replace(chr(39), '')} is expected"
            )


class Signature:
    """A signature by its aliases. inputs and outputs in the order of their names, which is the order of `Call`."""

    def __init__(self, name: str, proto: meta_graph_pb2.SignatureDef):
        self.name, self.method = name, proto.method_name
        self.inputs = {
            alias: self._tensor(proto.inputs[alias], proto.defaults, alias) for alias in sorted(proto.inputs)
        }
        self.outputs = {alias: self._tensor(proto.outputs[alias], {}, alias) for alias in sorted(proto.outputs)}
        self.required = {alias for alias, tensor in self.inputs.items() if tensor.default is None}

    @staticmethod
    def _tensor(info, defaults, alias) -> Tensor:
        shape = None if info.tensor_shape.unknown_rank else tuple(d.size for d in info.tensor_shape.dim)
        default = tensors.to_array(defaults[alias], alias, 1 << 30) if alias in defaults else None
        return Tensor(info.name, info.dtype, shape, default)

    def check_inputs(self, given) -> None:
        """INVALID_ARGUMENT for an input too many or too few."""
        if given.keys() == self.inputs.keys():
            return
        extra, missing = sorted(set(given) - set(self.inputs)), sorted(self.required - set(given))
        if extra or missing:
            raise invalid(
                f"inputs do not match the signature {self.name}, which takes {{{','.join(self.inputs)}}}: "
                f"sent extra: {{{','.join(extra)}}}, missing but required: {{{','.join(missing)}}}"
            )

    def order_inputs(self, given: dict) -> list[np.ndarray]:
        """alias -> (array, DataType) as the list that `SavedModel.call` takes, defaults filled in. INVALID_ARGUMENT
        where it does not fit."""
        self.check_inputs(given)
        ordered = []
        for alias, tensor in self.inputs.items():
            if alias in given:
                array, dtype = given[alias]
                tensor.check(alias, array, dtype)
                ordered.append(array)
            else:
                ordered.append(tensor.default)
        return ordered

    def choose_outputs(self, output_filter) -> tuple[str, ...]:
        """The outputs to fetch, in the order of their names; none named means all."""
        if not output_filter:
            return tuple(self.outputs)
        for alias in output_filter:
            if alias not in self.outputs:
                raise invalid(
                    f"output tensor alias not found in signature: {alias}; there are {{{','.join(self.outputs)}}}"
                )
        if len(set(output_filter)) != len(output_filter):
            raise invalid(f"duplicate output tensor alias in output_filter: {','.join(output_filter)}")
        return tuple(sorted(output_filter))


class SavedModel:
    """A loaded SavedModel. `call` may run in many threads at once; `close` when none does any more."""

    def __init__(self, path: str, options: LoadOptions):
        """Raises StatusError, with TensorFlow's own code and message where it refuses the model."""
        tf = tensorflow()
        self.path = path
        self._lock = threading.Lock()
        self._callables: dict = {}
        graph = tf.Graph()
        self._session = None
        self._in_own_thread = options.session.inter_op_parallelism_threads == 0
        try:
            _load_missing_ops(path, options)
            with graph.as_default():
                self._session = tf.compat.v1.Session(graph=graph, config=options.session)
                meta_graph = tf.compat.v1.saved_model.loader.load(self._session, list(options.tags), path)
            self.signature_defs = dict(meta_graph.signature_def)
            self.signatures = {
                name: Signature(name, proto)
                for name, proto in self.signature_defs.items()
                if not name.startswith(_INTERNAL)
            }
        except BaseException as e:  # noqa: BLE001 - whatever stops it, the session is closed
            self.close()
            raise _status_of(e, path) from None

    def signature(self, name: str) -> Signature:
        """The signature of that name, empty for `serving_default`; FAILED_PRECONDITION where there is none."""
        found = self.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            raise failed_precondition(f'Serving signature key "{name or DEFAULT_SIGNATURE}" not found.')
        return found

    def call(self, signature: Signature, inputs: list[np.ndarray], outputs: tuple[str, ...]) -> list[np.ndarray]:
        """Values of `outputs`; inputs in the order of the signature. Errors of the graph come as StatusError."""
        run = self._callables.get((signature.name, outputs)) or self._make_callable(signature, outputs)
        try:
            return run(*inputs)
        except Exception as e:  # noqa: BLE001 - whatever a graph does to a request is answered to its caller
            raise _status_of(e, signature.name) from None

    def _make_callable(self, signature: Signature, outputs: tuple[str, ...]):
        for alias, tensor in [*signature.inputs.items(), *((o, signature.outputs[o]) for o in outputs)]:
            if not tensor.name:
                raise failed_precondition(
                    f"signature {signature.name}: {alias} is no dense tensor, and can not be called from outside"
                )
        options = config_pb2.CallableOptions(
            feed=[t.name for t in signature.inputs.values()], fetch=[signature.outputs[o].name for o in outputs]
        )
        if self._in_own_thread:
            options.run_options.inter_op_thread_pool = (
                -1
            )  # no pool: 0.1 ms less a call than handing ops over to other threads
        with self._lock:
            # The session's own feed and fetch lists: a call by names would parse them anew each time.
            made = self._callables.setdefault(
                (signature.name, outputs), self._session._make_callable_from_options(options)
            )
        return made

    def close(self) -> None:
        """Frees the session and the graph."""
        self._callables.clear()
        session, self._session = self._session, None
        if session is not None:
            session.close()
        del session
        gc.collect()  # graphs hold themselves in cycles


@functools.cache
def _load_op_library(path: str) -> None:
    tf = tensorflow()
    try:
        tf.load_op_library(path)
    except (tf.errors.OpError, OSError) as e:
        raise failed_precondition(f"--op-library {path}: {getattr(e, 'message', None) or e}") from None


def _load_missing_ops(path: str, options: LoadOptions) -> None:
    """Ops that the graph uses and this TensorFlow has not: out of --op-library files, then out of our own library."""
    for library in options.op_libraries:
        _load_op_library(library)
    file = os.path.join(path, "saved_model.pb")
    if "://" in path or not os.path.exists(file):
        return
    from google.protobuf.message import DecodeError

    from monolith_cli.serving.protos import saved_model_pb2

    with open(file, "rb") as f, contextlib.suppress(DecodeError):  # a broken file is for the loader to name
        graphs = [m.graph_def for m in saved_model_pb2.SavedModel.FromString(f.read()).meta_graphs]
        nodes = [n for g in graphs for n in [*g.node, *(n for f in g.library.function for n in f.node_def)]]
        if any(op.startswith("Monolith") for op in {n.op for n in nodes}):
            from monolith_cli.tables import ops

            ops.library()


def _status_of(error: BaseException, where: str) -> BaseException:
    tf = tensorflow()
    if isinstance(error, tf.errors.OpError):
        return from_number(error.error_code, error.message)
    if isinstance(error, errors.Error):
        return failed_precondition(str(error))
    if isinstance(error, OSError):
        missing = "does not exist" in str(error) or isinstance(error, FileNotFoundError)
        return StatusError(grpc.StatusCode.NOT_FOUND if missing else grpc.StatusCode.DATA_LOSS, f"{where}: {error}")
    if isinstance(error, (ValueError, TypeError)):
        return invalid(f"{where}: {error}")
    if isinstance(error, Exception) and not isinstance(error, StatusError):
        return StatusError(grpc.StatusCode.INTERNAL, f"{where}: {type(error).__name__}: {error}")
    return error
