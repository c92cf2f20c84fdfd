"""More of mangled.py: every kind of a feature, raw features, columns of an Instance with sequences, batches."""

import struct

from hypothesis import strategies as st
from mangled import (BYTES, FIXED32, FIXED64, VARINT, example, field, float_bits, instance, int64s, pieces, repeated_fixed64, repeated_floats,
                     repeated_varints, texts, unknown, v1_fids, v2_fids)

small = st.sampled_from([0, 1, 2, 3, -1, 185]) | int64s
doubles = repeated_fixed64(1, st.sampled_from([struct.unpack("<Q", struct.pack("<d", 0.5))[0], 0]))
a_text = texts.map(lambda v: field(1, BYTES, v.encode()))
# Content of one list, by member of the oneof.
LISTS = {1: repeated_fixed64(1, v1_fids), 2: repeated_fixed64(1, v2_fids), 3: repeated_floats(1), 4: doubles,
         5: repeated_varints(1, small), 6: a_text}
OF_LISTS = {16: 1, 7: 2, 8: 3, 9: 4, 10: 5, 11: 6}
members = [pieces(content, unknown.filter(lambda b: b[0] >> 3 != 1), max_size=3).map(lambda v, n=n: field(n, BYTES, v)) for n, content in LISTS.items()]
members += [pieces(LISTS[n].map(lambda v: field(1, BYTES, v)), max_size=2).map(lambda v, m=m: field(m, BYTES, v)) for m, n in OF_LISTS.items()]
members += [small.map(lambda v: field(12, VARINT, v)), st.just(field(13, FIXED32, float_bits(0.5))), st.just(field(14, FIXED64, 1 << 62)),
            texts.map(lambda v: field(15, BYTES, v.encode()))]
others = unknown.filter(lambda b: b[0] >> 3 > 16)
feature = pieces(*members, others, max_size=3)
# Half the features are of one kind that much is done to.
likely = st.one_of(*(pieces(members[i], others, max_size=2) for i in (0, 1, 4, 5)))

names = st.sampled_from([b"a", b"b", b"c", b"a_share", b"__LABEL__", b"instance_weight", b"i"])
named = st.builds(lambda name, rest: field(1, BYTES, name) + b"".join(rest), names, st.lists(st.one_of(
    likely.map(lambda v: field(2, BYTES, v)), feature.map(lambda v: field(2, BYTES, v)), names.map(lambda v: field(1, BYTES, v)),
    st.sampled_from([0, 9, -1]).map(lambda v: field(3, VARINT, v)), st.just(field(6, VARINT, 4)), unknown.filter(lambda b: b[0] >> 3 > 6)), max_size=4))
raw = st.builds(lambda name, rest: field(1, BYTES, name) + b"".join(rest), names, st.lists(st.one_of(
    st.lists(feature.map(lambda v: field(1, BYTES, v)), max_size=3).map(lambda v: field(2, BYTES, b"".join(v))),
    st.just(field(3, VARINT, 9)), unknown.filter(lambda b: b[0] >> 3 > 6)), max_size=3))


def joined(*parts):
    return st.lists(st.one_of(*parts), max_size=6).map(b"".join)


examples = joined(example, *[named.map(lambda v: field(1, BYTES, v))] * 4, raw.map(lambda v: field(2, BYTES, v)))

column = st.builds(lambda name, rest: field(1, BYTES, name) + b"".join(rest), names, st.lists(st.one_of(
    repeated_fixed64(2, v2_fids), repeated_floats(3), repeated_varints(4, small), st.sampled_from([b"", b"x", b"UE_QTZ", b"UE_QTZ\x00\x3c"]).map(lambda v: field(5, BYTES, v)),
    LISTS[2].map(lambda v: field(6, BYTES, v)), LISTS[3].map(lambda v: field(7, BYTES, v)), LISTS[5].map(lambda v: field(8, BYTES, v)),
    pieces(a_text, max_size=2).map(lambda v: field(9, BYTES, v)), names.map(lambda v: field(1, BYTES, v)), unknown.filter(lambda b: b[0] >> 3 > 9)), max_size=4))
instances = joined(instance, *[column.map(lambda v: field(9, BYTES, v))] * 3, repeated_fixed64(1, v1_fids))

batch_column = st.builds(lambda name, rest: field(1, BYTES, name) + b"".join(rest), names, st.lists(st.one_of(
    likely.map(lambda v: field(2, BYTES, v)), feature.map(lambda v: field(2, BYTES, v)), names.map(lambda v: field(1, BYTES, v)),
    st.sampled_from([0, 1]).map(lambda v: field(3, VARINT, v)), st.just(field(4, VARINT, 7)), unknown.filter(lambda b: b[0] >> 3 > 6)), max_size=5))
raw_column = names.map(lambda name: field(2, BYTES, field(2, BYTES, b"") + field(1, BYTES, name)))
batches = joined(*[batch_column.map(lambda v: field(1, BYTES, v))] * 3, raw_column, st.just(field(3, VARINT, 2)), unknown.filter(lambda b: b[0] >> 3 > 3))
RECORDS = {"instance": instances, "example": examples, "example_batch": batches}
