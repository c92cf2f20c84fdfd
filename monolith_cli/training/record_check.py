"""What a graph reads of its records, so that one that it cannot read is found before it stands in a batch."""

from __future__ import annotations

import tensorflow as tf

_TYPES = {tf.float32.as_datatype_enum: "float", tf.int64.as_datatype_enum: "int64", tf.string.as_datatype_enum: "string"}


def parsers_of(graph: tf.Graph, record_type: str) -> list:
    """A `_core.RecordParser` for each operation of the graph, or of its functions, that parses batches of such records."""
    definition = graph.as_graph_def()
    nodes = [definition.node, *(f.node_def for f in definition.library.function)]
    return [_parser(n.attr) for some in nodes for n in some if n.op == "MonolithParseRecords" and _reads(n.attr, record_type)]


def _reads(attr, record_type: str) -> bool:
    return attr["T"].type == tf.variant.as_datatype_enum and attr["record_type"].s.decode() == record_type


def _parser(attr):
    from monolith_cli._native import _core

    def texts(name):
        return [s.decode() for s in attr[name].list.s]

    types = [_TYPES[t] for t in attr["dense_types"].list.type]
    columns = list(zip(texts("dense_names"), zip(attr["dense_widths"].list.i, types)))
    dense = len(columns) - attr["num_extra"].i
    return _core.RecordParser(
        attr["record_type"].s.decode(),
        list(zip(attr["fidv1_slots"].list.i, texts("fidv1_names"))),
        texts("fidv2_names"),
        columns[:dense],
        [(name, width) for name, (width, _) in columns[dense:]],
    )
