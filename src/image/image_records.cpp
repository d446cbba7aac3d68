// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/image_records.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "util/error.h"
#include "util/log.h"

namespace swarmfs::image {

using nlohmann::json;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr size_t kLongestName = 180;
constexpr std::string_view kFolder = "image/";

// A tag may hold "..", end in ".tmp" or be too long for a file's name.
std::string document_name(const std::string& name) {
  return std::string(kFolder) + util::Sha256::of(util::as_bytes(name)).hex();
}

Outcome<std::vector<oci::Descriptor>> layers_of(util::ByteView manifest) {
  auto parsed = oci::parse_manifest(manifest);
  if (!parsed) return parsed.failure();
  if (auto* image = std::get_if<oci::Manifest>(&*parsed)) return std::move(image->layers);
  return Failure{Fault::corrupt, "an index where a manifest was expected"};
}

json to_json(const ImageRecord& record) {
  json made = {{"reference", record.reference.to_string()},
               {"digest", record.resolved.digest.to_string()},
               {"manifest", util::as_text(record.resolved.manifest)},
               {"platforms", record.platforms},
               {"mounts", json::array()}};
  for (const auto& mount : record.mounts)
    made["mounts"].push_back(
        {{"directory", mount.directory}, {"pinned", mount.pinned}, {"options", mount.options}});
  return made;
}

/// Throws json::exception.
std::optional<ImageRecord> from_json(const json& saved) {
  const std::string manifest = saved.at("manifest");
  const auto bytes = util::as_bytes(manifest);
  const auto reference = oci::Reference::parse(saved.at("reference").get<std::string>());
  const auto digest = util::Digest::parse(saved.at("digest").get<std::string>());
  auto layers = layers_of(bytes);
  if (!reference || !digest || util::Sha256::of(bytes) != *digest || !layers) return std::nullopt;
  ImageRecord record{
      *reference, {*digest, {bytes.begin(), bytes.end()}}, std::move(*layers), {}, {}};
  for (const auto& mount : saved.at("mounts"))
    record.mounts.push_back(
        {mount.at("directory"), mount.at("pinned"), mount.value("options", "")});
  record.platforms = saved.value("platforms", decltype(record.platforms)());
  if (record.platforms.empty()) record.platforms[oci::Platform::host().to_string()] = 0;
  return record;
}

std::optional<ImageRecord> load(const chunk::Store& store, const std::string& document) {
  const auto text = store.load_document(document);
  if (!text) return std::nullopt;
  std::optional<ImageRecord> record;
  try {
    record = from_json(json::parse(util::as_text(*text)));
  } catch (const json::exception&) {
  }
  if (!record) util::log::warning("the record of an image, {}, is unreadable", document);
  return record;
}

bool earlier(const ImageRecord& one, const ImageRecord& other) {
  return one.latest() < other.latest();
}

}  // namespace

std::string encoded(const oci::Reference& reference) {
  std::string name = reference.encoded();
  if (name.size() <= kLongestName) return name;
  return util::Sha256::of(util::as_bytes(name)).hex();
}

std::string image_name(const oci::Reference& reference, const util::Digest& manifest) {
  return encoded(reference) + "@" + manifest.hex();
}

uint64_t ImageRecord::latest() const {
  uint64_t found = 0;
  for (const auto& [platform, when] : platforms) found = std::max(found, when);
  return found;
}

ImageRecords::ImageRecords(chunk::Store& store) : store_(store) {
  for (const auto& document : store.documents(std::string(kFolder))) {
    auto record = load(store, document);
    if (!record) continue;
    const std::string name = record->name();
    if (document != document_name(name)) {
      save(*record);
      store.remove_document(document);
    }
    records_.lock()->insert_or_assign(name, std::move(*record));
  }
}

void ImageRecords::save(const ImageRecord& record) {
  const auto text = to_json(record).dump(-1, ' ', false, json::error_handler_t::replace);
  store_.save_document(document_name(record.name()), util::as_bytes(text));
}

Outcome<ImageRecord> ImageRecords::note(const oci::Reference& reference,
                                        const oci::Platform& platform, Resolved resolved) {
  auto layers = layers_of(resolved.manifest);
  if (!layers) return layers.failure();
  const auto order = writing_.lock();
  auto records = records_.lock();
  uint64_t last = 0;
  for (const auto& [name, record] : *records) last = std::max(last, record.latest());
  auto& record = (*records)[image_name(reference, resolved.digest)];
  record.reference = reference;
  record.resolved = std::move(resolved);
  record.layers = std::move(*layers);
  record.platforms[platform.to_string()] = last + 1;
  auto copy = record;
  records.unlock();
  save(copy);
  forget_old(encoded(reference));
  return copy;
}

void ImageRecords::forget_old(const std::string& encoded) {
  std::vector<ImageRecord> unused;
  auto records = records_.lock();
  for (auto at = records->lower_bound(encoded + "@");
       at != records->end() && at->first.starts_with(encoded + "@"); ++at)
    if (at->second.mounts.empty()) unused.push_back(at->second);
  if (unused.size() <= kKept) return;
  std::sort(unused.begin(), unused.end(), earlier);
  unused.resize(unused.size() - kKept);
  for (const auto& record : unused) records->erase(record.name());
  records.unlock();
  for (const auto& record : unused) store_.remove_document(document_name(record.name()));
}

std::vector<std::string> ImageRecords::add_mount(const std::string& name, const Mount& mount) {
  const auto order = writing_.lock();
  std::vector<ImageRecord> changed;
  auto records = records_.lock();
  const auto ours = records->find(name);
  if (ours == records->end()) throw util::Error("no record of image " + name);
  for (auto& [other, record] : *records)
    if (std::erase_if(record.mounts,
                      [&](const Mount& one) { return one.directory == mount.directory; }) &&
        other != name)
      changed.push_back(record);
  ours->second.mounts.push_back(mount);
  const auto copy = ours->second;
  records.unlock();
  save(copy);
  std::vector<std::string> lost;
  for (const auto& record : changed) {
    save(record);
    lost.push_back(record.name());
  }
  return lost;
}

std::optional<std::string> ImageRecords::remove_mount(const std::string& directory) {
  const auto order = writing_.lock();
  std::optional<ImageRecord> changed;
  auto records = records_.lock();
  for (auto& [name, record] : *records)
    if (std::erase_if(record.mounts, [&](const Mount& one) { return one.directory == directory; }))
      changed = record;
  records.unlock();
  if (!changed) return std::nullopt;
  save(*changed);
  return changed->name();
}

std::optional<ImageRecord> ImageRecords::find(const std::string& name) const {
  auto records = records_.lock();
  const auto found = records->find(name);
  return found == records->end() ? std::nullopt : std::optional(found->second);
}

bool ImageRecords::is_mounted(const std::string& name) const {
  auto records = records_.lock();
  const auto found = records->find(name);
  return found != records->end() && !found->second.mounts.empty();
}

std::optional<ImageRecord> ImageRecords::newest(const oci::Reference& reference,
                                                const oci::Platform* platform) const {
  const std::string prefix = encoded(reference) + "@";
  std::optional<ImageRecord> found;
  uint64_t when = 0;
  auto records = records_.lock();
  for (auto at = records->lower_bound(prefix);
       at != records->end() && at->first.starts_with(prefix); ++at) {
    const auto& record = at->second;
    const auto ours =
        platform ? record.platforms.find(platform->to_string()) : record.platforms.end();
    if (platform && ours == record.platforms.end()) continue;
    const uint64_t its = platform ? ours->second : record.latest();
    if (found && its < when) continue;
    found = record;
    when = its;
  }
  return found;
}

std::vector<ImageRecord> ImageRecords::mounted() const {
  std::vector<ImageRecord> found;
  {
    auto records = records_.lock();
    for (const auto& [name, record] : *records)
      if (!record.mounts.empty()) found.push_back(record);
  }
  std::stable_sort(found.begin(), found.end(), earlier);
  return found;
}

std::set<util::Digest> ImageRecords::pinned_layers() const {
  std::set<util::Digest> found;
  auto records = records_.lock();
  for (const auto& [name, record] : *records)
    if (std::any_of(record.mounts.begin(), record.mounts.end(),
                    [](const Mount& mount) { return mount.pinned; }))
      for (const auto& layer : record.layers) found.insert(layer.digest);
  return found;
}

}  // namespace swarmfs::image
