// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "oci/manifest.h"

#include <nlohmann/json.hpp>

namespace swarmfs::oci {

using nlohmann::json;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr size_t kMaxDocument = 8 << 20;
constexpr size_t kMaxLayers = 512;
constexpr uint64_t kMaxLayerSize = 1ull << 40;

Failure corrupt(const std::string& why) {
  return {Fault::corrupt, "a manifest that makes no sense: " + why};
}

std::string text(const json& value, const char* key) {
  const auto found = value.find(key);
  return found != value.end() && found->is_string() ? found->get<std::string>() : "";
}

Outcome<Descriptor> read_descriptor(const json& value) {
  if (!value.is_object()) return corrupt("a descriptor that is no object");
  Descriptor made;
  made.media_type = text(value, "mediaType");
  const auto digest = util::Digest::parse(text(value, "digest"));
  if (!digest) return corrupt("'" + text(value, "digest") + "' is no sha256 digest");
  made.digest = *digest;
  const auto size = value.find("size");
  if (size == value.end() || !size->is_number_integer() ||
      (!size->is_number_unsigned() && size->get<int64_t>() < 0) ||
      size->get<uint64_t>() > kMaxLayerSize)
    return corrupt("a size that is none");
  made.size = size->get<uint64_t>();
  if (const auto platform = value.find("platform");
      platform != value.end() && platform->is_object())
    made.platform = Platform{text(*platform, "os"), text(*platform, "architecture"),
                             text(*platform, "variant")};
  return made;
}

Outcome<std::vector<Descriptor>> read_list(const json& value, size_t most) {
  if (!value.is_array() || value.size() > most) return corrupt("a list that is none or too long");
  std::vector<Descriptor> made;
  for (const auto& item : value) {
    auto descriptor = read_descriptor(item);
    if (!descriptor) return descriptor.failure();
    made.push_back(std::move(*descriptor));
  }
  return made;
}

}  // namespace

std::string accept_header() {
  return "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
         "application/vnd.docker.distribution.manifest.v2+json, "
         "application/vnd.docker.distribution.manifest.list.v2+json, */*";
}

Outcome<std::variant<Manifest, Index>> parse_manifest(util::ByteView document) {
  if (document.size() > kMaxDocument) return corrupt("more than 8 MiB");
  const json value = json::parse(util::as_text(document), nullptr, false);
  if (!value.is_object()) return corrupt("not a JSON object");
  if (value.value("schemaVersion", json(0)) == 1)
    return Failure{Fault::invalid,
                   "the image has a schema 1 manifest; push it again with a tool of this decade"};
  if (const auto manifests = value.find("manifests"); manifests != value.end()) {
    auto list = read_list(*manifests, 4096);
    if (!list) return list.failure();
    return std::variant<Manifest, Index>(Index{std::move(*list)});
  }
  const auto config = value.find("config"), layers = value.find("layers");
  if (config == value.end() || layers == value.end())
    return corrupt("neither an image nor an index");
  auto descriptor = read_descriptor(*config);
  if (!descriptor) return descriptor.failure();
  auto list = read_list(*layers, kMaxLayers);
  if (!list) return list.failure();
  for (const auto& layer : *list)
    if (!is_layer(layer.media_type))
      return Failure{Fault::invalid,
                     "'" + layer.media_type + "' is no image layer: an artifact, not an image"};
  return std::variant<Manifest, Index>(Manifest{std::move(*descriptor), std::move(*list)});
}

bool is_layer(std::string_view media_type) {
  return media_type.find("layer") != std::string_view::npos ||
         media_type.find("rootfs") != std::string_view::npos;
}

const Descriptor* choose(const Index& index, const Platform& platform) {
  for (const auto& manifest : index.manifests)
    if (manifest.platform && platform.accepts(*manifest.platform)) return &manifest;
  // An index of one image that names no platform is that image.
  if (index.manifests.size() == 1 && !index.manifests[0].platform) return &index.manifests[0];
  return nullptr;
}

}  // namespace swarmfs::oci
