// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../swarm/free_port.h"
#include "memory_store.h"
#include "support/tar_maker.h"
#include "swarm/info_dict.h"
#include "swarm/torrent_session.h"

namespace swarmfs::torrent_test {

/// Waits for what other threads do.
template <class Condition>
[[nodiscard]] bool await(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// One layer, and what all nodes of a test know of it.
struct Subject {
  explicit Subject(size_t size, unsigned seed = 1)
      : content(support::noise(size, seed)),
        ref{util::Sha256::of(util::as_bytes(content)), size, {}} {
    chunk::HashTreeBuilder builder;
    builder.feed(util::as_bytes(content));
    tree = std::make_shared<const chunk::HashTree>(builder.finish());
  }
  std::string content;
  chunk::LayerRef ref;
  std::shared_ptr<const chunk::HashTree> tree;
};

/// A node's bulk lane at an address of loopback of its own, so that it can be banned alone.
class Node {
 public:
  explicit Node(const std::string& address, std::optional<http::TlsMaterial> tls = {},
                std::string ca_pem = {}, swarm::BulkRates rates = {})
      : endpoint_{address, swarm::free_port()},
        ca_pem_(std::move(ca_pem)),
        session_(std::make_unique<swarm::TorrentSession>(
            swarm::TorrentOptions{{endpoint_}, std::move(tls), rates}, meters_,
            [this](const std::string& liar, const util::Digest&, const std::string&) {
              liars_.lock()->push_back(liar);
            })) {}
  ~Node() {
    session_.reset();
    if (layer_) layer_->end({util::Fault::cancelled, "the node ends"});
  }

  /// Has all of it, or nothing.
  void take(const Subject& subject, bool whole, const std::vector<swarm::Endpoint>& peers = {}) {
    stored_ = std::make_shared<MemoryLayer>(subject.ref.digest, subject.ref.size, workers_);
    if (whole) stored_->put(subject.content);
    join(subject, peers);
  }
  void join(const Subject& subject, const std::vector<swarm::Endpoint>& peers) {
    layer_ = std::make_shared<swarm::TorrentLayer>(
        subject.ref, subject.tree, stored_,
        swarm::info_dict(subject.ref.digest, *subject.tree, ca_pem_), deliveries_);
    session_->add(layer_, peers);
  }
  void want(uint32_t piece, chunk::Class cls = chunk::Class::backfill) {
    layer_->await(piece, cls, [this, piece](const util::Outcome<util::SharedBytes>& bytes) {
      if (bytes) (*came_.lock())[piece] = std::string(util::as_text(bytes->view()));
    });
    session_->refresh(layer_, {piece});
  }
  void want_all() {
    for (uint32_t piece = 0; piece < layer_->pieces(); ++piece) want(piece);
  }
  [[nodiscard]] size_t came() const { return came_.lock()->size(); }
  [[nodiscard]] bool complete() const {
    return stored_->has({0, chunk::block_count(stored_->size())});
  }
  /// Whether all that came to waiters is what it should be.
  void expect_right(const Subject& subject) const {
    auto came = came_.lock();
    for (const auto& [piece, bytes] : *came) {
      const auto range = layer_->bytes_of(piece);
      EXPECT_TRUE(bytes == subject.content.substr(range.offset, range.length)) << piece;
    }
  }
  [[nodiscard]] std::vector<std::string> liars() const { return *liars_.lock(); }
  [[nodiscard]] const swarm::Endpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] swarm::TorrentSession& session() { return *session_; }
  [[nodiscard]] MemoryLayer& stored() { return *stored_; }
  [[nodiscard]] const std::shared_ptr<MemoryLayer>& shared_stored() { return stored_; }
  [[nodiscard]] const std::shared_ptr<swarm::TorrentLayer>& layer() { return layer_; }
  [[nodiscard]] const swarm::BulkMeters& meters() const { return meters_; }

 private:
  const swarm::Endpoint endpoint_;
  const std::string ca_pem_;
  util::Metrics metrics_;
  swarm::BulkMeters meters_{metrics_};
  util::Sync<std::vector<std::string>> liars_;
  util::Sync<std::map<uint32_t, std::string>> came_;
  util::Workers deliveries_{1};  // its jobs use came_
  util::Workers workers_{1};     // its jobs use layers, which use deliveries_ until they end()
  std::shared_ptr<MemoryLayer> stored_;
  std::shared_ptr<swarm::TorrentLayer> layer_;
  std::unique_ptr<swarm::TorrentSession> session_;  // last: uses the others
};

}  // namespace swarmfs::torrent_test
