// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "swarm/holdings.h"

namespace swarmfs::swarm {

/// The first read waits here.
struct Gate {
  std::atomic<bool> used{false};
  std::promise<void> begun;
  Holdings::OnRead on_read;
  std::atomic<bool> cancelled{false};
};

/// What a test wants a node to have.
class FakeHoldings final : public Holdings {
 public:
  bool belongs(const util::Digest& layer, const std::string& repository) override {
    return repository == repository_ && held_ && layer == layer_;
  }
  Access access(const std::string&) override { return access_; }
  std::optional<HeldLayer> held(const util::Digest& layer) override {
    ++helds_;
    return layer == layer_ ? held_ : std::nullopt;
  }
  std::optional<HeldLayer> held(const NamedLayer& layer) override { return held(layer.digest); }
  bool may_relay() override { return may_relay_; }
  bool is_stored(const util::Digest& layer) override { return stored_ && layer == layer_; }
  util::Operation read(const NamedLayer&, util::ByteRange range, bool fetch,
                       const chunk::FetchContext& context, OnRead on_read) override {
    EXPECT_TRUE(context.for_peer) << "a peer's request is never handed to a peer";
    fetches_ += fetch;
    if (gate_ && !gate_->used.exchange(true)) {
      gate_->on_read = std::move(on_read);
      gate_->begun.set_value();
      return util::Operation([gate = gate_] { gate->cancelled = true; });
    }
    if (fault_) {
      on_read(util::Failure{*fault_, "no"});
      return {};
    }
    const auto bytes = util::as_bytes(content_).subspan(range.offset, range.length);
    on_read(util::SharedBytes::of({bytes.begin(), bytes.end()}));
    return {};
  }
  util::Operation windows(const NamedLayer& layer, const util::Digest& name, util::ByteRange range,
                          OnRead on_read) override {
    const bool here =
        layer.digest == layer_ && name == windows_name_ && range.end() <= windows_.size();
    if (!here) {
      on_read(util::Failure{util::Fault::not_found, "not here"});
      return {};
    }
    const auto bytes = util::as_bytes(windows_).subspan(range.offset, range.length);
    on_read(util::SharedBytes::of({bytes.begin(), bytes.end()}));
    return {};
  }
  void published(const NamedLayer&,
                 std::function<void(std::optional<PublishedLayer>)> callback) override {
    callback(published_);
  }
  std::optional<ExchangedLayer> exchanged(const util::Digest& layer) override {
    return layer == layer_ ? exchanged_ : std::nullopt;
  }
  void manifest(const std::string& reference, const std::string& platform,
                std::function<void(std::optional<HeldManifest>)> callback) override {
    const bool known = reference == "docker.io/library/nginx:1" && platform == "linux/amd64";
    callback(known ? manifest_ : std::nullopt);
  }
  std::map<std::string, RegistryWord> registries() override { return registries_; }
  void profile(const util::Digest&, const std::string& repository,
               std::function<void(std::optional<std::string>)> callback) override {
    callback(repository == repository_ ? profile_ : std::nullopt);
  }

  util::Digest layer_;
  std::string content_, repository_;
  util::Digest windows_name_;
  std::string windows_;
  Access access_;
  std::optional<HeldLayer> held_;
  std::optional<PublishedLayer> published_;
  std::optional<ExchangedLayer> exchanged_;
  std::optional<HeldManifest> manifest_;
  std::optional<std::string> profile_;
  std::map<std::string, RegistryWord> registries_;
  bool stored_ = true;
  std::atomic<int> fetches_{0}, helds_{0};
  std::shared_ptr<Gate> gate_;
  bool may_relay_ = true;
  std::optional<util::Fault> fault_;
};

}  // namespace swarmfs::swarm
