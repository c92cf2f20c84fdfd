"""The messages: golden bytes, numbers, packedness and defaults of the specification, and the native field numbers."""

import re

import pytest
from conftest import ROOT
from monolith_protos import data_op_config_pb2, example_pb2, feature_pb2, line_id_pb2, proto_parser_pb2

V1, V2 = (lambda s, x: s << 54 | x), (lambda s, x: s << 48 | x)

# message -> fields as "number name kind [packed]"; * stands before repeated ones.
EXPECTED = {
    feature_pb2.Fixed64List: "1 *value fixed64 packed", feature_pb2.FloatList: "1 *value float packed",
    feature_pb2.Int64List: "1 *value int64 packed", feature_pb2.BytesList: "1 *value bytes",
    feature_pb2.Feature: "1 name string, 2 *fid fixed64 packed, 3 *float_value float packed, 4 *int64_value int64 packed, 5 *bytes_value bytes, "
                         "6 *fid_list Fixed64List, 7 *float_list FloatList, 8 *int64_list Int64List, 9 *bytes_list BytesList",
    line_id_pb2.LineId: "2 uid fixed64, 3 req_time int64, 4 item_id fixed64, 6 *actions int32 packed, 19 chnid int64, 23 *pre_actions int32 packed, "
                        "27 sample_rate float, 39 *special_strategies int32, 41 device_type string, 48 cid string, 49 user_id string, "
                        "87 is_draw bool, 145 rank int32, 235 data_source_name string",
    line_id_pb2.MapStringFloatEntry: "1 key string, 2 value float",
    proto_parser_pb2.Instance: "1 *fid fixed64 packed, 2 *value float packed, 3 *label float packed, 4 instance_weight float, 5 line_id LineId, "
                               "6 *dense float packed, 7 *label_tag LabelTag, 8 *next_fid fixed64 packed, 9 *feature Feature, 100 data_source_key uint32",
    proto_parser_pb2.InstanceWrapper: "1 instance bytes, 2 data_source string", proto_parser_pb2.LabelTag: "1 key int32, 2 val float",
    proto_parser_pb2.Request: "1 req_id string, 2 ut int32, 3 uid fixed64, 4 req_time int64, 5 *instances Instance, 6 user string",
    example_pb2.FidList: "1 *value fixed64 packed", example_pb2.FloatList: "1 *value float packed", example_pb2.DoubleList: "1 *value double packed",
    example_pb2.Int64List: "1 *value int64 packed", example_pb2.BytesList: "1 *value bytes", example_pb2.FidLists: "1 *list FidList",
    example_pb2.FloatLists: "1 *list FloatList", example_pb2.DoubleLists: "1 *list DoubleList", example_pb2.Int64Lists: "1 *list Int64List",
    example_pb2.BytesLists: "1 *list BytesList",
    example_pb2.Feature: "1 fid_v1_list FidList, 2 fid_v2_list FidList, 3 float_list FloatList, 4 double_list DoubleList, 5 int64_list Int64List, "
                         "6 bytes_list BytesList, 7 fid_v2_lists FidLists, 8 float_lists FloatLists, 9 double_lists DoubleLists, 10 int64_lists Int64Lists, "
                         "11 bytes_lists BytesLists, 12 int64_value int64, 13 float_value float, 14 double_value double, 15 bytes_value bytes, 16 fid_v1_lists FidLists",
    example_pb2.FeatureMap: "1 *feature_map FeatureMapEntry", example_pb2.RawFeature: "1 *feature Feature",
    example_pb2.NamedFeatureList: "1 name string, 2 *feature Feature, 3 type enum, 4 id int32",
    example_pb2.NamedRawFeatureList: "1 name string, 2 *raw_feature RawFeature, 3 type enum, 4 id int32",
    example_pb2.ExampleBatch: "1 *named_feature_list NamedFeatureList, 2 *named_raw_feature_list NamedRawFeatureList, 3 batch_size int32, 100 data_source_key uint32",
    example_pb2.NamedFeature: "1 name string, 2 feature Feature, 3 id int32, 6 sorted_id int32",
    example_pb2.NamedRawFeature: "1 name string, 2 raw_feature RawFeature, 3 id int32",
    example_pb2.Example: "1 *named_feature NamedFeature, 2 *named_raw_feature NamedRawFeature, 100 line_id LineId, 101 *label float packed, "
                         "102 instance_weight float, 103 data_source_key uint32",
    example_pb2.ExampleBatchRowMajor: "1 *shared_feature NamedFeature, 2 *shared_raw_feature NamedRawFeature, 3 *example Example",
    example_pb2.FeatureData: "1 gid int64, 2 *fids int64 packed, 3 *feature_columns NamedFeature, 4 origin_cnt int64, 5 sample_cnt int64",
    example_pb2.ChannelCache: "1 channel_id int64, 2 *feature_datas FeatureData",
    example_pb2.FilterValues: "1 float_list FloatList, 2 int64_list Int64List, 3 bytes_list BytesList",
    example_pb2.SliceConfig: "1 feature_name string, 2 start int32, 3 end int32, 4 feature_idx int32, 5 slice_idx int32, 10 pooling_type enum, 11 max_sequence_length int32",
    example_pb2.TensorShape: "1 *dims int32 packed", example_pb2.OutConfig: "1 *slice_configs SliceConfig, 2 out_type enum, 3 *shape TensorShape",
    example_pb2.FeatureConfig: "1 table string, 2 pooling_type enum, 3 *slice_dims int32 packed, 4 max_sequence_length int32",
    example_pb2.FeatureConfigs: "1 *feature_configs FeatureConfigsEntry, 2 *out_configs OutConfigsEntry",
    data_op_config_pb2.TaskLabelConf: "1 *pos_actions int32, 2 *neg_actions int32, 3 sample_rate float",
    data_op_config_pb2.LabelConf: "1 *conf TaskLabelConf",
    data_op_config_pb2.TFRecordFeatureDescription: "1 *sparse_features SparseFeaturesEntry, 2 *dense_features string, 3 label string, 4 instance_weight string",
}
KINDS = {1: "double", 2: "float", 3: "int64", 5: "int32", 6: "fixed64", 8: "bool", 9: "string", 12: "bytes", 13: "uint32", 14: "enum"}


def described(field):
    kind = field.message_type.name if field.message_type else KINDS[field.type]
    return f"{field.number} {'*' * field.is_repeated}{field.name} {kind}{' packed' * field.is_packed}"


@pytest.mark.parametrize("message", EXPECTED, ids=lambda m: m.DESCRIPTOR.full_name)
def test_fields(message):
    assert ", ".join(described(f) for f in sorted(message.DESCRIPTOR.fields, key=lambda f: f.number)) == EXPECTED[message]


def test_packages():
    assert feature_pb2.Feature.DESCRIPTOR.full_name == "idl.matrix.proto.Feature"
    assert proto_parser_pb2.Instance.DESCRIPTOR.full_name == "parser.proto.Instance"
    assert example_pb2.Example.DESCRIPTOR.full_name == "monolith.io.proto.Example"
    assert line_id_pb2.LineId.DESCRIPTOR.full_name == "idl.matrix.proto.LineId"
    assert data_op_config_pb2.LabelConf.DESCRIPTOR.full_name == "monolith.native_training.data.config.LabelConf"


def test_defaults_and_enums():
    assert line_id_pb2.LineId().sample_rate == 1.0 and data_op_config_pb2.TaskLabelConf().sample_rate == 1.0
    assert dict(example_pb2.FeatureListType.items()) == {"INDIVIDUAL": 0, "SHARED": 1}
    assert dict(example_pb2.PoolingType.items()) == {"SUM": 0, "MEAN": 1, "FIRSTN": 3}
    assert dict(example_pb2.OutType.items()) == {"CONCAT": 0, "STACK": 1, "ADDN": 2, "NONE": 3}
    assert {f.containing_oneof.name for f in example_pb2.Feature.DESCRIPTOR.fields} == {"type"}


def line_id():
    return line_id_pb2.LineId(uid=110, req_time=64, sample_rate=0.5, user_id="123", actions=[0, 100])


def golden():
    instance = proto_parser_pb2.Instance(fid=[V1(1, 1), V1(2, 5)], label=[1], line_id=line_id())
    instance.feature.add(name="fidv2", fid=[V2(100, 3)])
    example = example_pb2.Example(label=[1], instance_weight=2, data_source_key=256)
    example.line_id.uid = 5
    example.named_feature.add(name="f_u", id=1).feature.fid_v2_list.value.append(V2(1, 9))
    config = data_op_config_pb2.LabelConf()
    config.conf.add(pos_actions=[1, 2], neg_actions=[3], sample_rate=1)
    config.conf.add(pos_actions=[4], sample_rate=0.5)
    description = data_op_config_pb2.TFRecordFeatureDescription(sparse_features={"uid": 1}, dense_features=["age"], label="y", instance_weight="")
    values = example_pb2.FilterValues()
    values.int64_list.value.extend([20, 30, 666])
    return [
        (line_id(), "116e00000000000000184032020064dd010000003f8a0303313233"), (line_id_pb2.LineId(), ""),
        (instance, "0a10010000000000400005000000000080001a040000803f2a1b116e00000000000000184032020064dd010000003f8a03033132334a110a05666964763212080300000000006400"),
        (example, "0a150a03665f75120c120a0a0809000000000001001801a20609110500000000000000aa06040000803fb50600000040b8068002"),
        (values, "12060a04141e9a05"), (config, "0a0b0801080210031d0000803f0a0708041d0000003f"), (description, "0a070a03756964100112036167651a01792200")]


@pytest.mark.parametrize("message, expected", golden(), ids=lambda x: type(x).__name__)
def test_golden_bytes(message, expected):
    assert message.SerializeToString(deterministic=True).hex() == expected
    assert type(message).FromString(bytes.fromhex(expected)) == message


def test_packed_and_unpacked_are_read():
    assert list(line_id_pb2.LineId.FromString(bytes.fromhex("30003064")).actions) == [0, 100]
    assert list(line_id_pb2.LineId.FromString(bytes.fromhex("ba0202056a")).special_strategies) == [5, 106]


def test_native_field_numbers_are_those_of_the_messages():
    """native/core/wire/schema.h says kFidV1List = 1 in namespace feature: so does the message."""
    classes = {"line_id": line_id_pb2.LineId, "instance": proto_parser_pb2.Instance, "column": feature_pb2.Feature, "label_tag": proto_parser_pb2.LabelTag,
               "feature": example_pb2.Feature, "named_feature": example_pb2.NamedFeature, "named_raw_feature": example_pb2.NamedRawFeature,
               "raw_feature": example_pb2.RawFeature, "example": example_pb2.Example, "named_feature_list": example_pb2.NamedFeatureList,
               "named_raw_feature_list": example_pb2.NamedRawFeatureList, "example_batch": example_pb2.ExampleBatch, "feature_data": example_pb2.FeatureData,
               "channel_cache": example_pb2.ChannelCache, "filter_values": example_pb2.FilterValues}
    text = (ROOT / "native/core/wire/schema.h").read_text()
    spaces = dict(re.findall(r"namespace (\w+) \{\n(.*?)\}  // namespace \1", text[text.index("schema {") + 8 :], re.S))
    assert set(spaces) == set(classes)
    for space, message in classes.items():
        numbers = {name: int(n) for name, n in re.findall(r"\bk(\w+) = (\d+)", re.search(r"uint32_t (.*?);", spaces[space], re.S)[1])}
        assert numbers == {"".join(w.capitalize() for w in f.name.split("_")): f.number for f in message.DESCRIPTOR.fields}, space
