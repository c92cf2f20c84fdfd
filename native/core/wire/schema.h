// Field numbers of our messages (protos/monolith_protos), for code that walks the wire.
#pragma once

#include <cstdint>

namespace monolith::schema {

namespace line_id {
inline constexpr uint32_t kUid = 2, kReqTime = 3, kItemId = 4, kActions = 6, kChnid = 19, kPreActions = 23,
                          kSampleRate = 27, kSpecialStrategies = 39, kDeviceType = 41, kCid = 48, kUserId = 49,
                          kIsDraw = 87, kRank = 145, kDataSourceName = 235;
}  // namespace line_id

namespace instance {
inline constexpr uint32_t kFid = 1, kValue = 2, kLabel = 3, kInstanceWeight = 4, kLineId = 5, kDense = 6, kLabelTag = 7,
                          kNextFid = 8, kFeature = 9, kDataSourceKey = 100;
}  // namespace instance

// A feature column of an Instance (idl.matrix.proto.Feature). A list element (Fixed64List, …) holds `value` = kListValue.
namespace column {
inline constexpr uint32_t kName = 1, kFid = 2, kFloatValue = 3, kInt64Value = 4, kBytesValue = 5, kFidList = 6,
                          kFloatList = 7, kInt64List = 8, kBytesList = 9;
}  // namespace column

namespace label_tag {
inline constexpr uint32_t kKey = 1, kVal = 2;
}  // namespace label_tag

// The oneof of monolith.io.proto.Feature. Every *List holds `value` = kListValue, every *Lists holds `list` = kListsList.
namespace feature {
inline constexpr uint32_t kFidV1List = 1, kFidV2List = 2, kFloatList = 3, kDoubleList = 4, kInt64List = 5, kBytesList = 6,
                          kFidV2Lists = 7, kFloatLists = 8, kDoubleLists = 9, kInt64Lists = 10, kBytesLists = 11,
                          kInt64Value = 12, kFloatValue = 13, kDoubleValue = 14, kBytesValue = 15, kFidV1Lists = 16;
}  // namespace feature
inline constexpr uint32_t kListValue = 1;
inline constexpr uint32_t kListsList = 1;

namespace named_feature {
inline constexpr uint32_t kName = 1, kFeature = 2, kId = 3, kSortedId = 6;
}  // namespace named_feature

namespace named_raw_feature {
inline constexpr uint32_t kName = 1, kRawFeature = 2, kId = 3;
}  // namespace named_raw_feature

namespace raw_feature {
inline constexpr uint32_t kFeature = 1;
}  // namespace raw_feature

namespace example {
inline constexpr uint32_t kNamedFeature = 1, kNamedRawFeature = 2, kLineId = 100, kLabel = 101, kInstanceWeight = 102,
                          kDataSourceKey = 103;
}  // namespace example

namespace named_feature_list {
inline constexpr uint32_t kName = 1, kFeature = 2, kType = 3, kId = 4;
inline constexpr uint64_t kIndividual = 0, kShared = 1;  // values of kType
}  // namespace named_feature_list

namespace named_raw_feature_list {
inline constexpr uint32_t kName = 1, kRawFeature = 2, kType = 3, kId = 4;
}  // namespace named_raw_feature_list

namespace example_batch {
inline constexpr uint32_t kNamedFeatureList = 1, kNamedRawFeatureList = 2, kBatchSize = 3, kDataSourceKey = 100;
}  // namespace example_batch

namespace feature_data {
inline constexpr uint32_t kGid = 1, kFids = 2, kFeatureColumns = 3, kOriginCnt = 4, kSampleCnt = 5;
}  // namespace feature_data

namespace channel_cache {
inline constexpr uint32_t kChannelId = 1, kFeatureDatas = 2;
}  // namespace channel_cache

namespace filter_values {
inline constexpr uint32_t kFloatList = 1, kInt64List = 2, kBytesList = 3;
}  // namespace filter_values

// Names with a meaning in Example and ExampleBatch.
inline constexpr char kLineIdName[] = "__LINE_ID__";          // bytes_list[0] is a serialized LineId
inline constexpr char kLabelName[] = "__LABEL__";             // float_list is the label vector
inline constexpr char kInstanceWeightName[] = "instance_weight";  // float_list[0]

}  // namespace monolith::schema
