// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/ledger.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "util/log.h"

namespace swarmfs::mirror {

using nlohmann::json;

namespace {

constexpr int kLedgerVersion = 1;
const std::string kLedgerPrefix = "mirrored/";

uint64_t wall_milliseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

template <class Records>
uint64_t next_touch(const Records& records) {
  uint64_t made = 0;
  for (const auto& [unused, record] : records) made = std::max(made, record.touched + 1);
  return made;
}

/// None in what an older version wrote.
std::set<util::Digest> parse_blobs(const json& use) {
  std::set<util::Digest> made;
  for (const auto& hex : use.value("blobs", json::array()))
    if (const auto digest = util::Digest::parse_hex(hex.get<std::string>())) made.insert(*digest);
  return made;
}

}  // namespace

std::string repository_of(const oci::Reference& reference) {
  return reference.registry + "/" + reference.repository;
}

Ledger::Ledger(chunk::Store& store) : store_(store) {
  auto records = records_.lock();
  for (const auto& name : store_.documents(kLedgerPrefix)) {
    const auto bytes = store_.load_document(name);
    auto record = bytes ? parse(util::as_text(*bytes)) : std::nullopt;
    if (record && kLedgerPrefix + record->document.digest.hex() == name)
      records->emplace(record->document.digest, std::move(*record));
    else
      util::log::warning("what the mirror knows in {} is unreadable and forgotten", name);
  }
}

Ledger::~Ledger() = default;

void Ledger::note(const oci::Reference& reference, const Document& document) {
  std::optional<util::Digest> dropped;
  bool changed = false;
  {
    auto records = records_.lock();
    const uint64_t touch = next_touch(*records);
    const auto [at, fresh] = records->try_emplace(document.digest);
    auto& record = at->second;
    if (fresh) {
      record.document = document;
      record.blobs = blobs_of(*document.bytes);
    }
    record.touched = touch;
    const auto [use, another] = record.uses.try_emplace(repository_of(reference));
    changed = fresh || another;
    if (another) inherit_blobs(*records, use->first, use->second, record);
    if (!reference.digest) {
      // Asked for again and again, a tag is not written to the disk each time.
      const auto latest = find_tag(*records, reference);
      if (latest.digest != document.digest) {
        use->second.tags[reference.tag] = std::max(wall_milliseconds(), latest.seen + 1);
        changed = true;
      }
    }
    if (records->size() > kManifests) {
      const auto oldest = std::min_element(records->begin(), records->end(), [](auto& a, auto& b) {
        return a.second.touched < b.second.touched;
      });
      dropped = oldest->first;
      records->erase(oldest);
    }
  }
  if (dropped) save_later(*dropped);
  if (changed) save_later(document.digest);
}

void Ledger::inherit_blobs(const Records& records, const std::string& repository, Use& use,
                           const Record& record) {
  std::set<util::Digest> known;
  for (const auto& [digest, other] : records)
    if (const auto found = other.uses.find(repository); found != other.uses.end())
      known.insert(found->second.blobs.begin(), found->second.blobs.end());
  for (const auto& blob : record.blobs)
    if (known.contains(blob.digest)) use.blobs.insert(blob.digest);
}

Ledger::Tagged Ledger::find_tag(const Records& records, const oci::Reference& reference) {
  const std::string repository = repository_of(reference);
  Tagged found;
  for (const auto& [digest, record] : records) {
    const auto use = record.uses.find(repository);
    if (use == record.uses.end()) continue;
    const auto tag = use->second.tags.find(reference.tag);
    if (tag != use->second.tags.end() && tag->second > found.seen) found = {digest, tag->second};
  }
  return found;
}

std::optional<Document> Ledger::find(const oci::Reference& reference) {
  auto records = records_.lock();
  const auto digest = reference.digest ? reference.digest : find_tag(*records, reference).digest;
  const auto found = digest ? records->find(*digest) : records->end();
  if (found == records->end() || !found->second.uses.contains(repository_of(reference)))
    return std::nullopt;
  found->second.touched = next_touch(*records);
  return found->second.document;
}

std::optional<Ledger::Blob> Ledger::blob(const std::string& repository,
                                         const util::Digest& digest) const {
  auto records = records_.lock();
  std::optional<Blob> found;
  uint64_t touched = 0;
  for (const auto& [manifest, record] : *records) {
    if (!record.uses.contains(repository) || (found && record.touched < touched)) continue;
    for (const auto& blob : record.blobs) {
      if (blob.digest != digest) continue;
      found = Blob{blob, manifest};
      touched = record.touched;
    }
  }
  return found;
}

bool Ledger::set_belongs(const std::string& repository, const util::Digest& blob) {
  std::vector<util::Digest> changed;
  bool named = false;
  {
    auto records = records_.lock();
    for (auto& [digest, record] : *records) {
      const auto use = record.uses.find(repository);
      if (use == record.uses.end() ||
          std::none_of(record.blobs.begin(), record.blobs.end(),
                       [&](const auto& one) { return one.digest == blob; }))
        continue;
      named = true;
      if (use->second.blobs.insert(blob).second) changed.push_back(digest);
    }
  }
  for (const auto& digest : changed) save_later(digest);
  return named;
}

bool Ledger::belongs(const std::string& repository, const util::Digest& blob) const {
  auto records = records_.lock();
  std::set<std::string> holders;
  for (const auto& [digest, record] : *records)
    for (const auto& [name, use] : record.uses)
      if (use.blobs.contains(blob)) holders.insert(name);
  if (holders.contains(repository)) return true;
  return std::any_of(records->begin(), records->end(), [&](const auto& one) {
    const auto& uses = one.second.uses;
    return std::any_of(uses.begin(), uses.end(), [&](const auto& use) {
      return use.second.open && holders.contains(use.first);
    });
  });
}

void Ledger::set_public(const std::string& repository, bool open) {
  std::vector<util::Digest> changed;
  {
    auto records = records_.lock();
    for (auto& [digest, record] : *records) {
      const auto use = record.uses.find(repository);
      if (use == record.uses.end() || use->second.open == open) continue;
      use->second.open = open;
      changed.push_back(digest);
    }
  }
  for (const auto& digest : changed) save_later(digest);
}

bool Ledger::is_public(const std::string& repository) const {
  auto records = records_.lock();
  return std::any_of(records->begin(), records->end(), [&](const auto& one) {
    const auto use = one.second.uses.find(repository);
    return use != one.second.uses.end() && use->second.open;
  });
}

void Ledger::save_later(const util::Digest& digest) {
  worker_.post(util::Workers::Urgency::normal, [this, digest] {
    try {
      std::optional<std::string> text;
      {
        auto records = records_.lock();
        if (const auto found = records->find(digest); found != records->end())
          text = to_json(found->second);
      }
      const std::string name = kLedgerPrefix + digest.hex();
      if (text)
        store_.save_document(name, util::as_bytes(*text));
      else
        store_.remove_document(name);
    } catch (const std::exception& error) {
      util::log::error("mirror: {}", error.what());
    }
  });
}

std::string Ledger::to_json(const Record& record) {
  json made = {{"version", kLedgerVersion},
               {"manifest", util::as_text(*record.document.bytes)},
               {"touched", record.touched},
               {"repositories", json::object()}};
  for (const auto& [repository, use] : record.uses) {
    json blobs = json::array();
    for (const auto& blob : use.blobs) blobs.push_back(blob.hex());
    made["repositories"][repository] = {
        {"tags", use.tags}, {"public", use.open}, {"blobs", std::move(blobs)}};
  }
  return made.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<Ledger::Record> Ledger::parse(std::string_view text) {
  try {
    const json saved = json::parse(text);
    if (saved.at("version") != kLedgerVersion) return std::nullopt;
    const auto bytes = util::as_bytes(saved.at("manifest").get_ref<const std::string&>());
    Record made;
    made.document = Document::of({bytes.begin(), bytes.end()});
    made.blobs = blobs_of(bytes);
    made.touched = saved.at("touched").get<uint64_t>();
    for (const auto& [repository, use] : saved.at("repositories").items())
      made.uses[repository] = {use.at("tags").get<std::map<std::string, uint64_t>>(),
                               use.at("public").get<bool>(), parse_blobs(use)};
    return made;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace swarmfs::mirror
