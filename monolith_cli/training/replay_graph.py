"""Parts of a recorded graph, brought into the graph that is being built."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from monolith_cli.training import replay_ops

tf1 = tf.compat.v1

_SEED_MASK = 0x7FFFFFFF


def key_of(name: str) -> str:
    """The name of a tensor with its number: `a` is `a:0`."""
    return name if ":" in name else f"{name}:0"


class GraphHelper:
    """A recorded graph. `seed`: what its random operations were made with."""

    def __init__(self, graph_def, seed: int = 0):
        self.nodes = {node.name: node for node in graph_def.node}
        self._functions = {f.signature.name: f for f in graph_def.library.function}
        self._versions, self.seed = graph_def.versions, seed

    def __contains__(self, name: str) -> bool:
        return name.lstrip("^").partition(":")[0] in self.nodes

    def sub_graph(self, dest: Iterable[str], source: Iterable[str] = ()):
        """The GraphDef of the operations that `dest`, names of tensors and operations, need, in their order and with their functions; it ends at
        the tensors `source`. Devices and colocation are left out. Raises KeyError for a name that is not there."""
        stop, ends = {key_of(s) for s in source}, {s.partition(":")[0] for s in source}
        found: set[str] = set()
        waiting = [d.partition(":")[0] for d in dest]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            for given in self.nodes[name].input:
                control, given = given.startswith("^"), given.lstrip("^")
                node = given.partition(":")[0]
                if not (node in ends if control else key_of(given) in stop):
                    waiting.append(node)
        out = tf1.GraphDef(versions=self._versions)
        out.node.extend(node for name, node in self.nodes.items() if name in found)
        out.library.function.extend(self._needed_functions(out.node))
        for nodes in (out.node, *(f.node_def for f in out.library.function)):
            for node in nodes:
                node.device = ""
                node.attr.pop("_class", None)
        return out

    def _needed_functions(self, nodes) -> list:
        needed: dict[str, Any] = {}
        waiting = _called(nodes)
        while waiting:
            name = waiting.pop()
            if name in self._functions and name not in needed:
                needed[name] = self._functions[name]
                waiting += _called(needed[name].node_def)
        return list(needed.values())

    def bring_in(self, dest: Iterable[str], given: Mapping[str, Any]) -> dict[str, Any]:
        """Imports what `dest` needs into the graph at hand, under the names it was recorded with; the tensors `given` take the place of those of these
        names. Returns name -> tensor, or operation for a name without a number. Raises BadDataError for an operation that may not be
        there, KeyError for one that is not."""
        given = {key_of(name): tensor for name, tensor in given.items()}
        dest = dict.fromkeys(dest)
        out = {name: given[name] for name in dest if name in given}
        wanted = [name for name in dest if name not in out]
        if not wanted:
            return out
        graph_def = self.sub_graph(wanted, given)
        replay_ops.check(graph_def)
        seed = tf1.get_default_graph().seed
        if seed is not None and seed != self.seed:
            reseed(graph_def, self.seed, seed)
        names = _make_room(graph_def)
        elements = [names.get(name.partition(":")[0], name.partition(":")[0]) + "".join(name.partition(":")[1:]) for name in wanted]
        made = tf1.import_graph_def(graph_def, _input_map(graph_def, given), return_elements=elements, name="")
        return out | dict(zip(wanted, made))


def _called(nodes) -> list[str]:
    """Names of the functions that nodes call."""
    names = [node.op for node in nodes]
    for node in nodes:
        for value in node.attr.values():
            names += [f.name for f in (value.func, *value.list.func) if f.name]
    return names


def _input_map(graph_def, given: dict[str, Any]) -> dict[str, Any]:
    """What of `given` the graph takes in; an operation that waits for one of them waits for what stands in its place."""
    own = {node.name for node in graph_def.node}
    by_node = {name.partition(":")[0]: tensor for name, tensor in given.items()}
    out = {}
    for node in graph_def.node:
        for name in node.input:
            if name.startswith("^"):
                if name[1:] not in own:
                    out[name] = by_node[name[1:]]
            elif key_of(name) in given:
                out[key_of(name)] = given[key_of(name)]
    return out


def _make_room(graph_def) -> dict[str, str]:
    """Gives operations whose names the graph at hand has already other ones; returns old name -> new name."""
    taken = {op.name for op in tf1.get_default_graph().get_operations()}
    own = {node.name for node in graph_def.node}
    names = {}
    for node in graph_def.node:
        if node.name in taken:
            number = 1
            while f"{node.name}_{number}" in taken | own:
                number += 1
            names[node.name] = f"{node.name}_{number}"
            own.add(names[node.name])
            node.name = names[node.name]
    for node in graph_def.node if names else ():
        for i, given in enumerate(node.input):
            control, name = given[: given.startswith("^")], given.lstrip("^")
            base, colon, number = name.partition(":")
            node.input[i] = control + names.get(base, base) + colon + number
    return names


def reseed(graph_def, old: int, new: int) -> None:
    """Gives the random operations of a graph that was made with the seed `old` other numbers, by the seed `new`: those with state the ones that
    they would have had in a graph with that seed, the others and Keras' generators some that depend on both."""
    for nodes in (graph_def.node, *(f.node_def for f in graph_def.library.function)):
        by_name = {node.name: node for node in nodes}
        initial = {n.input[0]: n.input[1] for n in nodes if n.op == "AssignVariableOp" and n.name.endswith("/Assign")}
        keys: dict[str, Any] = {}
        for node in nodes:
            if "seed" in node.attr and "seed2" in node.attr and node.attr["seed"].i == old:
                node.attr["seed"].i = new
            if node.op.startswith("Stateless") and "Tseed" in node.attr:
                for name in node.input:
                    _seed_constants(by_name, initial, name, keys)
        for node in keys.values():
            _mix(node, new)


def _seed_constants(by_name: dict, initial: dict, name: str, found: dict) -> None:
    """The constants of two numbers that a seed is made of."""
    waiting, seen = [name], set()
    while waiting:
        node = by_name.get(waiting.pop().lstrip("^").partition(":")[0])
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op == "Const":
            value = node.attr["value"].tensor
            if [d.size for d in value.tensor_shape.dim] == [2] and tf.as_dtype(value.dtype).is_integer:
                found[node.name] = node
        elif node.op == "VarHandleOp":
            waiting += [initial[node.name]] if node.name in initial else []
        elif node.op in ("Cast", "Identity", "FloorMod", "Mul", "Add", "AddV2", "ReadVariableOp", "StridedSlice", "Pack", "Reshape"):
            waiting += [i for i in node.input if not i.startswith("^")]


def _mix(node, seed: int) -> None:
    import numpy as np

    value = tf.make_ndarray(node.attr["value"].tensor).copy()
    value[0] = zlib.crc32(np.array([int(value[0]), seed], np.int64).tobytes()) & _SEED_MASK
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
