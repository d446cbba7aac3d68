// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/repository.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace swarmfs::daemon {

using nlohmann::json;

namespace {

constexpr int kVersion = 1;

int64_t seconds_of(Repository::WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

util::Digest pull_secret(util::ByteView manifest, util::ByteView config) {
  util::Sha256 hash;
  hash.update(util::as_bytes("swarmfs-pull-proof-1"));
  hash.update(manifest);
  hash.update(config);
  return hash.finish();
}

std::string repository_name(const oci::Reference& reference) {
  return reference.registry + "/" + reference.repository;
}

chunk::Origin origin_named(const std::string& repository) {
  const size_t slash = repository.find('/');
  return {repository.substr(0, slash), repository.substr(slash + 1)};
}

std::optional<Repository::Manifest> Repository::read(const util::Digest& digest,
                                                     util::ByteView bytes) {
  if (util::Sha256::of(bytes) != digest) return std::nullopt;
  const auto parsed = oci::parse_manifest(bytes);
  const auto* manifest = parsed ? std::get_if<oci::Manifest>(&*parsed) : nullptr;
  if (!manifest) return std::nullopt;
  Manifest made{digest,
                std::make_shared<const util::Bytes>(bytes.begin(), bytes.end()),
                manifest->config,
                {},
                {}};
  // Who may have the layers may have the config.
  made.layers.emplace(manifest->config.digest, manifest->config.size);
  for (const auto& layer : manifest->layers) made.layers.emplace(layer.digest, layer.size);
  return made;
}

bool Repository::add(Manifest manifest, const std::string& reference, const std::string& platform,
                     bool hearsay) {
  Named named{reference, platform, manifest.digest, hearsay};
  bool changed = put_last(std::move(manifest));
  if (references_.empty() || references_.back() != named) {
    std::erase_if(references_, [&](const Named& old) {
      return old.reference == reference && old.platform == platform;
    });
    references_.push_back(std::move(named));
    changed = true;
  }
  trim();
  return changed;
}

bool Repository::put_last(Manifest manifest) {
  const auto known = std::find_if(manifests_.begin(), manifests_.end(), [&](const Manifest& old) {
    return old.digest == manifest.digest;
  });
  if (known == manifests_.end()) {
    manifests_.push_back(std::move(manifest));
    return true;
  }
  const bool moves = known + 1 != manifests_.end();
  const bool learns = manifest.secret && !known->secret;
  if (learns) known->secret = manifest.secret;
  std::rotate(known, known + 1, manifests_.end());
  return moves || learns;
}

void Repository::trim() {
  const auto drop_oldest = [](auto& items, size_t most) {
    if (items.size() > most)
      items.erase(items.begin(), items.end() - static_cast<std::ptrdiff_t>(most));
  };
  drop_oldest(manifests_, kManifests);
  std::set<util::Digest> digests;
  layers_.clear();
  for (const auto& manifest : manifests_) {
    digests.insert(manifest.digest);
    for (const auto& [layer, size] : manifest.layers) layers_.insert_or_assign(layer, size);
  }
  std::erase_if(shown_, [&](const auto& layer) { return !layers_.contains(layer); });
  std::erase_if(references_, [&](const Named& named) { return !digests.contains(named.manifest); });
  drop_oldest(references_, kReferences);
}

bool Repository::add_index(util::ByteView bytes) {
  const auto parsed = oci::parse_manifest(bytes);
  if (!parsed || !std::holds_alternative<oci::Index>(*parsed)) return false;
  const auto digest = util::Sha256::of(bytes);
  if (index(digest)) return false;
  indexes_.push_back({digest, std::make_shared<const util::Bytes>(bytes.begin(), bytes.end())});
  if (indexes_.size() > kIndexes) indexes_.erase(indexes_.begin());
  return true;
}

std::shared_ptr<const util::Bytes> Repository::index(const util::Digest& digest) const {
  for (const auto& known : indexes_)
    if (known.digest == digest) return known.bytes;
  return nullptr;
}

bool Repository::set_shown(const util::Digest& layer) {
  return names_layer(layer) && shown_.insert(layer).second;
}

std::optional<uint64_t> Repository::size_of(const util::Digest& layer) const {
  const auto found = layers_.find(layer);
  return found == layers_.end() ? std::nullopt : std::optional(found->second);
}

void Repository::set_secret(const util::Digest& digest, const util::Digest& secret) {
  for (auto& manifest : manifests_)
    if (manifest.digest == digest) manifest.secret = secret;
}

std::map<util::Digest, util::Digest> Repository::secrets() const {
  std::map<util::Digest, util::Digest> made;
  for (const auto& manifest : manifests_)
    if (manifest.secret) made.emplace(manifest.digest, *manifest.secret);
  return made;
}

bool Repository::lacks_secrets() const {
  return std::any_of(manifests_.begin(), manifests_.end(),
                     [](const Manifest& manifest) { return !manifest.secret; });
}

const Repository::Manifest* Repository::find(const std::string& reference,
                                             const std::string& platform) const {
  const auto named = std::find_if(references_.begin(), references_.end(), [&](const Named& known) {
    return known.reference == reference && known.platform == platform && !known.hearsay;
  });
  return named == references_.end() ? nullptr : find(named->manifest);
}

const Repository::Manifest* Repository::find(const util::Digest& digest) const {
  const auto found =
      std::find_if(manifests_.begin(), manifests_.end(),
                   [&](const Manifest& manifest) { return manifest.digest == digest; });
  return found == manifests_.end() ? nullptr : &*found;
}

oci::Reference Repository::reference_to(const util::Digest& manifest) const {
  const auto origin = origin_named(name_);
  return {origin.registry, origin.repository, {}, manifest};
}

std::string Repository::to_json() const {
  json made = {{"version", kVersion},        {"repository", name_},
               {"manifests", json::array()}, {"references", json::array()},
               {"indexes", json::array()},   {"shown", json::array()}};
  for (const auto& layer : shown_) made["shown"].push_back(layer.hex());
  for (const auto& index : indexes_) made["indexes"].push_back(util::as_text(*index.bytes));
  if (verdict_) made["public"] = {{"is", verdict_->open}, {"found_at", seconds_of(verdict_->at)}};
  for (const auto& manifest : manifests_) {
    json one = {{"digest", manifest.digest.to_string()},
                {"manifest", util::as_text(*manifest.bytes)}};
    if (manifest.secret) one["secret"] = manifest.secret->hex();
    made["manifests"].push_back(std::move(one));
  }
  for (const auto& named : references_)
    made["references"].push_back({{"reference", named.reference},
                                  {"platform", named.platform},
                                  {"digest", named.manifest.to_string()},
                                  {"hearsay", named.hearsay}});
  return made.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<Repository> Repository::parse(std::string_view text) {
  try {
    const json saved = json::parse(text);
    if (saved.at("version") != kVersion) return std::nullopt;
    Repository made(saved.at("repository").get<std::string>());
    if (!oci::Reference::parse(made.name_)) return std::nullopt;
    if (const auto found = saved.find("public"); found != saved.end())
      made.verdict_ = Verdict{found->at("is").get<bool>(),
                              WallTime(std::chrono::seconds(found->at("found_at").get<int64_t>()))};
    for (const auto& one : saved.at("manifests")) {
      const std::string bytes = one.at("manifest");
      const auto digest = util::Digest::parse(one.at("digest").get<std::string>());
      auto manifest = digest ? read(*digest, util::as_bytes(bytes)) : std::nullopt;
      if (!manifest) continue;
      manifest->secret = util::Digest::parse_hex(one.value("secret", ""));
      made.put_last(std::move(*manifest));
    }
    for (const auto& one : saved.at("references"))
      if (const auto digest = util::Digest::parse(one.at("digest").get<std::string>()))
        made.references_.push_back(
            {one.at("reference"), one.at("platform"), *digest, one.at("hearsay")});
    for (const auto& one : saved.value("indexes", json::array()))
      made.add_index(util::as_bytes(one.get_ref<const std::string&>()));
    made.trim();
    // None in what an older version wrote.
    for (const auto& hex : saved.value("shown", json::array()))
      if (const auto layer = util::Digest::parse_hex(hex.get<std::string>()))
        made.set_shown(*layer);
    return made;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace swarmfs::daemon
