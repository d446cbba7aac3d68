// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <set>
#include <stdexcept>

#include "daemon/catalog.h"

namespace swarmfs::daemon {

using std::chrono::minutes;
using util::Failure;
using util::Fault;

inline const oci::Platform kPlatform{"linux", "amd64", ""};
inline const std::string kName = "reg.example.com/team/app";

inline util::Bytes bytes_of(const std::string& text) {
  const auto view = util::as_bytes(text);
  return {view.begin(), view.end()};
}

inline util::Digest digest_of(const std::string& text) {
  return util::Sha256::of(util::as_bytes(text));
}

inline std::string config_text(const std::string& name) {
  return "{\"config\":\"" + name + "\"}";
}

/// The manifest of an image `name`, of the layers "<name> 0" and "shared".
inline image::Resolved image_of(const std::string& name) {
  const auto descriptor = [](const char* type, const std::string& of) {
    return R"({"mediaType":"application/vnd.oci.image.)" + std::string(type) + R"(","digest":")" +
           digest_of(of).to_string() + R"(","size":9})";
  };
  const std::string text = R"({"schemaVersion":2,"config":)" +
                           descriptor("config.v1+json", config_text(name)) + R"(,"layers":[)" +
                           descriptor("layer.v1.tar", name + " 0") + "," +
                           descriptor("layer.v1.tar", "shared") + "]}";
  return {digest_of(text), bytes_of(text)};
}

inline util::Digest secret_of(const std::string& name) {
  return digest_of("swarmfs-pull-proof-1" + std::string(util::as_text(image_of(name).manifest)) +
                   config_text(name));
}

inline oci::Reference at(const std::string& text) {
  return *oci::Reference::parse(text);
}

/// A store that has only documents, and tells who waits when one is saved.
class DocumentStore final : public chunk::Store {
 public:
  using Documents = std::map<std::string, std::string>;

  std::shared_ptr<chunk::StoredLayer> open(const util::Digest&, uint64_t, chunk::Form) override {
    throw std::logic_error("the catalog opens no layers");
  }
  std::optional<uint64_t> size_of(const util::Digest& layer) const override {
    return layers_.contains(layer) ? std::optional<uint64_t>(9) : std::nullopt;
  }
  std::vector<util::Digest> layers() const override { return {}; }
  chunk::StoreUsage usage() const override { return {}; }
  bool may_hold(uint64_t, chunk::Class) const override { return false; }
  uint64_t evict_all() override { return 0; }
  void save_document(const std::string& name, util::ByteView content) override {
    (*documents_.lock())[name] = util::as_text(content);
    saved_.notify_all();
  }
  std::optional<util::Bytes> load_document(const std::string& name) const override {
    auto documents = documents_.lock();
    const auto found = documents->find(name);
    return found == documents->end() ? std::nullopt : std::optional(bytes_of(found->second));
  }
  void remove_document(const std::string& name) override { documents_.lock()->erase(name); }
  std::vector<std::string> documents(const std::string& prefix) const override {
    std::vector<std::string> made;
    for (const auto& [name, unused] : *documents_.lock())
      if (name.starts_with(prefix)) made.push_back(name);
    return made;
  }

  std::set<util::Digest> layers_;

  void await(const std::string& name) {
    auto documents = documents_.lock();
    documents.wait(saved_, [&] { return documents->contains(name); });
  }

 private:
  util::Sync<Documents> documents_;
  std::condition_variable saved_;
};

class FakeInquiries final : public Inquiries {
 public:
  bool has_credentials(const oci::Reference&) override { return credentials; }
  util::Outcome<util::Done> ask_as_nobody(const oci::Reference& reference) override {
    if (reference.registry == "barrier.example.com") return util::Done{};
    ++asked_as_nobody;
    last = reference.to_string();
    if (refusal) return Failure{*refusal, "no"};
    return util::Done{};
  }
  util::Outcome<util::Bytes> config(const oci::Reference& reference,
                                    const oci::Descriptor& descriptor) override {
    if (reference.registry == "barrier.example.com") return util::Bytes{};
    ++asked_for_config;
    for (const char* name : {"one", "two"})
      if (config_there && descriptor.digest == digest_of(config_text(name)))
        return bytes_of(config_text(name));
    return Failure{Fault::unavailable, "the registry is down"};
  }

  // Written while the catalog's worker is idle.
  bool credentials = false;
  bool config_there = true;
  std::optional<Fault> refusal;
  int asked_as_nobody = 0;
  int asked_for_config = 0;
  std::string last;
};

class Hands final : public util::Clock {
 public:
  [[nodiscard]] util::SteadyTime now() const override { return util::SteadyTime(now_.load()); }
  void advance(util::Duration by) { now_ = now_.load() + by; }

 private:
  std::atomic<util::Duration> now_{std::chrono::hours(1000)};
};

class CatalogTest : public testing::Test {
 protected:
  void start(bool clustered = true) {
    catalog_.reset();
    catalog_.emplace(store_, inquiries_, clock_, clustered);
  }
  void resolve(const std::string& image, std::optional<bool> hearsay = {},
               const std::string& tag = "v1") {
    catalog_->resolved(at(kName + ":" + tag), kPlatform, image_of(image), hearsay);
    settle();
  }
  /// Returns when the worker has done what was ordered before.
  void settle() {
    const std::string name = "barrier.example.com/b" + std::to_string(++barriers_);
    catalog_->resolved(at(name + ":v1"), kPlatform, image_of("barrier"), false);
    store_.await("repository/barrier.example.com%2Fb" + std::to_string(barriers_));
  }
  bool is_public() {
    const bool answer = catalog_->access(kName).known_public;
    settle();
    return answer;
  }

  DocumentStore store_;
  FakeInquiries inquiries_;
  Hands clock_;
  std::optional<Catalog> catalog_;
  int barriers_ = 0;
};

}  // namespace swarmfs::daemon
