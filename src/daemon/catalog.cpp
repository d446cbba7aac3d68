// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/catalog.h"

#include <algorithm>

#include "util/log.h"

namespace swarmfs::daemon {

using util::Fault;

namespace {

constexpr size_t kLongestName = 200;

/// "repository/docker.io%2Flibrary%2Fnginx"; a name too long for a file becomes its digest.
std::string document_of(const std::string& name) {
  std::string encoded;
  for (const char c : name) encoded += c == '/' ? "%2F" : c == ':' ? "%3A" : std::string(1, c);
  if (encoded.size() > kLongestName) encoded = util::Sha256::of(util::as_bytes(name)).hex();
  return "repository/" + encoded;
}

}  // namespace

Catalog::Catalog(chunk::Store& store, Inquiries& inquiries, const util::Clock& clock,
                 bool clustered)
    : store_(store), inquiries_(inquiries), clock_(clock), clustered_(clustered) {
  load();
}

Catalog::~Catalog() {
  stopping_ = true;
}

void Catalog::load() {
  auto entries = entries_.lock();
  for (const auto& document : store_.documents("repository/")) {
    const auto bytes = store_.load_document(document);
    auto repository = bytes ? Repository::parse(util::as_text(*bytes)) : std::nullopt;
    if (!repository) {
      util::log::warning("what is known in {} is unreadable and forgotten", document);
      continue;
    }
    Entry made{std::move(*repository), {}, {}, 0, Word::nobody, false, false};
    if (const auto& verdict = made.repository.verdict()) {
      const auto age = Repository::WallTime::clock::now() - verdict->at;
      if (age.count() >= 0 && age < kBelieved) made.found = clock_.now() - age;
    }
    const std::string name = made.repository.name();
    entries->insert_or_assign(name, std::move(made));
  }
}

void Catalog::resolved(const oci::Reference& reference, const oci::Platform& platform,
                       const image::Resolved& resolved, std::optional<bool> hearsay_public) {
  static_cast<void>(take_in(reference, platform, resolved, {hearsay_public}));
}

bool Catalog::found(const oci::Reference& reference, const oci::Platform& platform,
                    const image::Resolved& resolved, const std::optional<util::Bytes>& config,
                    const std::vector<util::Digest>& elsewhere) {
  return take_in(reference, platform, resolved, {false, reference.registry, config, elsewhere});
}

bool Catalog::take_in(const oci::Reference& reference, const oci::Platform& platform,
                      const image::Resolved& resolved, const Told& told) {
  auto manifest = Repository::read(resolved.digest, resolved.manifest);
  if (!manifest) return false;
  const auto& hearsay_public = told.hearsay_public;
  if (told.config && util::Sha256::of(*told.config) == manifest->config.digest)
    manifest->secret = pull_secret(resolved.manifest, *told.config);
  const std::string name = repository_name(reference);
  auto doubtful = hearsay_public ? held(*manifest) : std::vector<util::Digest>();
  doubtful.insert(doubtful.end(), told.elsewhere.begin(), told.elsewhere.end());
  std::vector<std::string> dropped;
  {
    auto entries = entries_.lock();
    if (would_open(*entries, name, told.registry, doubtful)) return false;
    const auto [at, fresh] =
        entries->try_emplace(name, Entry{Repository(name), {}, {}, 0, Word::nobody, false, false});
    auto& entry = at->second;
    for (const auto& [unused, other] : *entries)
      entry.touched = std::max(entry.touched, other.touched + 1);
    const bool changed = entry.repository.add(std::move(*manifest), reference.to_string(),
                                              platform.to_string(), hearsay_public.has_value());
    entry.dirty = entry.dirty || changed;
    for (const auto& index : resolved.indexes)
      entry.dirty = entry.repository.add_index(index) || entry.dirty;
    if (!hearsay_public) entry.word = Word::registry;
    if (hearsay_public == true) entry.word = std::max(entry.word, Word::member);
    entry.attended = clock_.now();
    dropped = make_room(*entries);
  }
  post([this, name, dropped = std::move(dropped)] {
    for (const auto& old : dropped) store_.remove_document(document_of(old));
    attend(name);
  });
  return true;
}

std::vector<util::Digest> Catalog::held(const Repository::Manifest& manifest) const {
  std::vector<util::Digest> made;
  for (const auto& [layer, size] : manifest.layers)
    if (layer != manifest.config.digest && store_.size_of(layer)) made.push_back(layer);
  return made;
}

bool Catalog::would_open(const Entries& entries, const std::string& name,
                         const std::string& registry, const std::vector<util::Digest>& held) const {
  const auto is_near = [&](const std::string& repository) {
    return repository == name || (!registry.empty() && repository.starts_with(registry + "/"));
  };
  return std::any_of(held.begin(), held.end(), [&](const auto& layer) {
    return std::none_of(entries.begin(), entries.end(), [&](const auto& one) {
      const auto& [repository, entry] = one;
      return (is_near(repository) || is_public(entry)) && entry.repository.names_layer(layer);
    });
  });
}

std::vector<std::string> Catalog::make_room(Entries& entries) const {
  std::vector<std::string> dropped;
  while (entries.size() > kRepositories) {
    const auto oldest = std::min_element(entries.begin(), entries.end(), [](auto& a, auto& b) {
      return a.second.touched < b.second.touched;
    });
    dropped.push_back(oldest->first);
    entries.erase(oldest);
  }
  return dropped;
}

bool Catalog::belongs(const util::Digest& layer, const std::string& repository) const {
  auto entries = entries_.lock();
  const auto found = entries->find(repository);
  return found != entries->end() && found->second.repository.names_layer(layer);
}

bool Catalog::is_one_or_open(const Entries& entries, const chunk::Origin& name,
                             const std::string& repository) const {
  if (name.name() == repository) return true;
  const auto found = entries.find(name.name());
  return found != entries.end() && is_public(found->second);
}

bool Catalog::are_open(const std::set<chunk::Origin>& names, const std::string& repository) const {
  auto entries = entries_.lock();
  return std::ranges::all_of(
      names, [&](const auto& name) { return is_one_or_open(*entries, name, repository); });
}

void Catalog::came(const util::Digest& layer, const std::set<chunk::Origin>& names) {
  for (const auto& name : names)
    if (are_open(names, name.name())) showed(layer, name.name());
}

void Catalog::showed(const util::Digest& layer, const std::string& repository) {
  {
    auto entries = entries_.lock();
    const auto found = entries->find(repository);
    if (found == entries->end() || !found->second.repository.set_shown(layer)) return;
    found->second.dirty = true;
  }
  post([this, repository] { save(repository); });
}

bool Catalog::is_shown(const util::Digest& layer, const std::string& repository) const {
  auto entries = entries_.lock();
  const auto found = entries->find(repository);
  if (found != entries->end() && found->second.repository.shows(layer)) return true;
  return std::ranges::any_of(*entries, [&](const auto& one) {
    return one.second.repository.shows(layer) && is_public(one.second);
  });
}

std::optional<uint64_t> Catalog::size_of(const util::Digest& layer,
                                         const std::string& repository) const {
  auto entries = entries_.lock();
  const auto found = entries->find(repository);
  return found == entries->end() ? std::nullopt : found->second.repository.size_of(layer);
}

std::set<util::Digest> Catalog::stored_layers() const {
  std::set<util::Digest> made;
  {
    auto entries = entries_.lock();
    for (const auto& [name, entry] : *entries)
      for (const auto& manifest : entry.repository.manifests())
        for (const auto& [layer, size] : manifest.layers)
          if (layer != manifest.config.digest) made.insert(layer);
  }
  std::erase_if(made, [this](const auto& layer) { return !store_.size_of(layer); });
  return made;
}

bool Catalog::names_manifest(const util::Digest& manifest, const std::string& repository) const {
  auto entries = entries_.lock();
  const auto found = entries->find(repository);
  return found != entries->end() && found->second.repository.find(manifest);
}

swarm::Access Catalog::access(const std::string& repository) {
  swarm::Access made;
  bool inquire = false;
  {
    auto entries = entries_.lock();
    const auto found = entries->find(repository);
    if (found == entries->end()) return made;
    auto& entry = found->second;
    made.known_public = is_public(entry);
    made.secrets = entry.repository.secrets();
    inquire = wants_inquiry(entry);
    if (inquire) entry.attended = clock_.now();
  }
  if (inquire) post([this, repository] { attend(repository); });
  return made;
}

std::optional<swarm::HeldManifest> Catalog::manifest(const std::string& text,
                                                     const std::string& platform) const {
  const auto reference = oci::Reference::parse(text);
  if (!reference) return std::nullopt;
  auto entries = entries_.lock();
  const auto found = entries->find(repository_name(*reference));
  if (found == entries->end() || !is_public(found->second)) return std::nullopt;
  const auto& repository = found->second.repository;
  // A digest needs nobody's word for what it stands for, and stands for nothing else.
  if (reference->digest)
    if (const auto index = repository.index(*reference->digest))
      return swarm::HeldManifest{*reference->digest, *index};
  const auto* manifest = reference->digest ? repository.find(*reference->digest)
                                           : repository.find(reference->to_string(), platform);
  if (!manifest) return std::nullopt;
  return swarm::HeldManifest{manifest->digest, *manifest->bytes};
}

bool Catalog::within(const std::optional<util::SteadyTime>& time, util::Duration age) const {
  return time && clock_.now() - *time < age;
}

bool Catalog::is_public(const Entry& entry) const {
  const auto& verdict = entry.repository.verdict();
  return verdict && verdict->open && within(entry.found, kBelieved);
}

bool Catalog::wants_inquiry(const Entry& entry) const {
  const bool lacks =
      !within(entry.found, kRenewed) || (!entry.by_member && entry.repository.lacks_secrets());
  return clustered_ && lacks && !within(entry.attended, kPause);
}

void Catalog::post(std::function<void()> job) {
  worker_.post(util::Workers::Urgency::normal, [job = std::move(job)] {
    try {
      job();
    } catch (const std::exception& error) {
      util::log::error("catalog: {}", error.what());
    }
  });
}

void Catalog::attend(const std::string& name) {
  if (clustered_ && !stopping_) settle_verdict(name);
  if (clustered_ && !stopping_) learn_secrets(name);
  save(name);
}

std::optional<Catalog::Entry> Catalog::copy(const std::string& name) const {
  auto entries = entries_.lock();
  const auto found = entries->find(name);
  return found == entries->end() ? std::nullopt : std::optional(found->second);
}

void Catalog::set_verdict(const std::string& name, bool open, bool by_member) {
  auto entries = entries_.lock();
  const auto found = entries->find(name);
  if (found == entries->end()) return;
  auto& entry = found->second;
  entry.repository.set_verdict({open, Repository::WallTime::clock::now()});
  entry.found = clock_.now();
  entry.by_member = by_member;
  entry.dirty = true;
}

void Catalog::settle_verdict(const std::string& name) {
  Word word = Word::nobody;
  {
    auto entries = entries_.lock();
    const auto found = entries->find(name);
    if (found == entries->end()) return;
    word = std::exchange(found->second.word, Word::nobody);
  }
  const auto entry = copy(name);
  if (!entry || within(entry->found, kRenewed)) return;
  const auto& verdict = entry->repository.verdict();
  const auto reference =
      entry->repository.reference_to(entry->repository.manifests().back().digest);
  const bool once_closed = verdict && !verdict->open;
  const bool word_counts = word == Word::registry || (word == Word::member && !once_closed);
  if (word_counts && !inquiries_.has_credentials(reference))
    return set_verdict(name, true, word == Word::member);
  const auto answer = inquiries_.ask_as_nobody(reference);
  if (answer) return set_verdict(name, true, false);
  const Fault fault = answer.failure().fault;
  if (fault == Fault::denied || fault == Fault::not_found) return set_verdict(name, false, false);
  util::log::info("whether {} is public is not known yet: {}", name, answer.failure().message);
}

void Catalog::learn_secrets(const std::string& name) {
  const auto entry = copy(name);
  if (!entry || entry->by_member) return;
  const auto& manifests = entry->repository.manifests();
  for (auto manifest = manifests.rbegin(); manifest != manifests.rend(); ++manifest) {
    if (manifest->secret) continue;
    if (stopping_) return;
    const auto config =
        inquiries_.config(entry->repository.reference_to(manifest->digest), manifest->config);
    if (!config) {
      util::log::info("the config of {} did not come: {}", name, config.failure().message);
      if (config.failure().fault == Fault::not_found) continue;
      return;
    }
    auto entries = entries_.lock();
    const auto found = entries->find(name);
    if (found == entries->end()) return;
    found->second.repository.set_secret(manifest->digest, pull_secret(*manifest->bytes, *config));
    found->second.dirty = true;
  }
}

void Catalog::save(const std::string& name) {
  std::optional<Repository> repository;
  {
    auto entries = entries_.lock();
    const auto found = entries->find(name);
    if (found == entries->end() || !std::exchange(found->second.dirty, false)) return;
    repository = found->second.repository;
  }
  store_.save_document(document_of(name), util::as_bytes(repository->to_json()));
}

}  // namespace swarmfs::daemon
