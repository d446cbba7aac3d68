// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/document.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

namespace swarmfs::mirror {

using nlohmann::json;

namespace {

constexpr size_t kMostBlobs = 1024;

std::string string_of(const json& value, const char* key) {
  const auto found = value.find(key);
  return found != value.end() && found->is_string() ? found->get<std::string>() : "";
}

bool is_media_type(std::string_view text) {
  static constexpr std::string_view kOthers = "/.+-_!#$&^;= ";
  return !text.empty() && text.size() < 256 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) || kOthers.find(static_cast<char>(c)) != std::string_view::npos;
         });
}

void add_blob(const json& value, std::vector<NamedBlob>& to) {
  if (!value.is_object() || to.size() >= kMostBlobs) return;
  const auto digest = util::Digest::parse(string_of(value, "digest"));
  const auto size = value.find("size");
  if (!digest || size == value.end() || !size->is_number_unsigned() ||
      size->get<uint64_t>() > kLargestBlob)
    return;
  auto type = string_of(value, "mediaType");
  if (!is_media_type(type)) type = "application/octet-stream";
  to.push_back({*digest, size->get<uint64_t>(), std::move(type)});
}

}  // namespace

std::string media_type_of(util::ByteView document) {
  const json value = json::parse(util::as_text(document), nullptr, false);
  if (!value.is_object()) return "application/octet-stream";
  if (auto stated = string_of(value, "mediaType"); is_media_type(stated)) return stated;
  if (value.contains("manifests")) return "application/vnd.oci.image.index.v1+json";
  if (value.contains("signatures"))
    return "application/vnd.docker.distribution.manifest.v1+prettyjws";
  if (value.contains("fsLayers")) return "application/vnd.docker.distribution.manifest.v1+json";
  return "application/vnd.oci.image.manifest.v1+json";
}

Document Document::of(util::Bytes bytes) {
  const auto digest = util::Sha256::of(bytes);
  auto type = media_type_of(bytes);
  return {digest, std::move(type), std::make_shared<const util::Bytes>(std::move(bytes))};
}

std::vector<NamedBlob> blobs_of(util::ByteView document) {
  std::vector<NamedBlob> made;
  const json value = json::parse(util::as_text(document), nullptr, false);
  if (!value.is_object()) return made;
  if (const auto config = value.find("config"); config != value.end()) add_blob(*config, made);
  for (const char* list : {"layers", "blobs"})
    if (const auto found = value.find(list); found != value.end() && found->is_array())
      for (const auto& one : *found) add_blob(one, made);
  return made;
}

}  // namespace swarmfs::mirror
