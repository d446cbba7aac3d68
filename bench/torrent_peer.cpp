// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// One end of an exchange without TLS (torrent.py): our session on the chunk cache, or libtorrent's
// with its own storage and the same settings.
//   torrent_peer serve ours|stock DIRECTORY MIB ADDRESS PORT
//   torrent_peer fetch ours|stock DIRECTORY MIB ADDRESS PORT PEER_ADDRESS PEER_PORT
//   torrent_peer idle DIRECTORY LAYERS SECONDS      two nodes' bulk lanes with the same layers of
//                                                   300 MiB, whole and connected by TLS
// Says "ready", waits for a line, then prints the seconds that it took and the CPU seconds that it
// used.

#include <sys/resource.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/torrent_info.hpp>
#include <random>

#include "../tests/torrent/soak_node.h"
#include "cache/chunk_cache.h"
#include "swarm/info_dict.h"
#include "swarm/torrent_session.h"
#include "swarm/torrent_settings.h"

namespace {

using namespace swarmfs;
using Clock = std::chrono::steady_clock;

constexpr size_t kStride = 1 << 20;

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void pause() {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

struct Content {
  explicit Content(size_t size, unsigned seed) : bytes(size) {
    std::mt19937_64 random(seed);
    for (size_t at = 0; at + 8 <= size; at += 8) {
      const uint64_t word = random();
      std::memcpy(bytes.data() + at, &word, sizeof word);
    }
    chunk::HashTreeBuilder builder;
    builder.feed(bytes);
    tree = std::make_shared<const chunk::HashTree>(builder.finish());
    digest = util::Sha256::of(bytes);
    info = swarm::info_dict(digest, *tree, "");
  }
  util::Bytes bytes;
  std::shared_ptr<const chunk::HashTree> tree;
  util::Digest digest;
  std::string info;
};

/// A node of ours.
class Ours {
 public:
  Ours(const std::filesystem::path& directory, const swarm::Endpoint& listen)
      : cache_({.directory = directory}, timers_, workers_, metrics_),
        session_(swarm::TorrentOptions{{listen}, {}, {}}, meters_,
                 [](const auto&, const auto&, const auto&) { std::abort(); }) {}
  ~Ours() {
    for (const auto& layer : layers_) {
      session_.remove(layer);
      layer->end({util::Fault::cancelled, "the end"});
    }
  }
  void take(const Content& content, bool whole, const std::vector<swarm::Endpoint>& peers) {
    std::shared_ptr<chunk::StoredLayer> stored =
        cache_.open(content.digest, content.bytes.size(), chunk::Form::bytes);
    stored->trust(content.tree);
    if (whole) fill(*stored, content);
    layers_.push_back(std::make_shared<swarm::TorrentLayer>(
        chunk::LayerRef{content.digest, content.bytes.size(), {}}, content.tree, stored,
        content.info, deliveries_));
    session_.add(layers_.back(), peers);
  }
  void fetch() {
    std::vector<uint32_t> pieces(layers_.front()->pieces());
    for (uint32_t piece = 0; piece < pieces.size(); ++piece) {
      layers_.front()->await(piece, chunk::Class::backfill, [](const auto&) {});
      pieces[piece] = piece;
    }
    session_.refresh(layers_.front(), pieces);
    while (meters_.stored.value() < static_cast<double>(pieces.size())) pause();
  }

 private:
  void fill(chunk::StoredLayer& stored, const Content& content) {
    for (size_t at = 0; at < content.bytes.size(); at += kStride) {
      const size_t length = std::min(kStride, content.bytes.size() - at);
      std::promise<void> written;
      const auto from = content.bytes.begin() + static_cast<std::ptrdiff_t>(at);
      stored.write(
          chunk::BlockIndex{at / chunk::kBlockSize},
          util::SharedBytes::of(util::Bytes(from, from + static_cast<std::ptrdiff_t>(length))),
          chunk::Class::backfill, [&](const auto& outcome) {
            if (!outcome) std::abort();
            written.set_value();
          });
      written.get_future().wait();
    }
  }

  util::Metrics metrics_;
  swarm::BulkMeters meters_{metrics_};
  util::Timers timers_;
  util::Workers workers_{1};
  cache::ChunkCache cache_;
  util::Workers deliveries_{1};
  std::vector<std::shared_ptr<swarm::TorrentLayer>> layers_;
  swarm::TorrentSession session_;
};

/// libtorrent with the storage that it comes with.
class Stock {
 public:
  Stock(std::filesystem::path directory, const swarm::Endpoint& listen)
      : directory_(std::move(directory)),
        session_(lt::session_params(swarm::torrent_settings({{listen}, {}, {}}), {})) {}
  void take(const Content& content, bool whole, const std::vector<swarm::Endpoint>& peers) {
    lt::add_torrent_params params;
    const std::string text = swarm::metainfo(content.info, *content.tree);
    params.ti = std::make_shared<lt::torrent_info>(
        lt::span<const char>(text.data(), static_cast<std::ptrdiff_t>(text.size())), lt::from_span);
    params.save_path = directory_;
    params.flags = {};
    params.have_pieces.resize(params.ti->num_pieces(), whole);
    if (whole)
      std::ofstream(directory_ / content.digest.to_string(), std::ios::binary)
          << util::as_text(content.bytes);
    for (const auto& peer : peers)
      params.peers.emplace_back(lt::make_address(peer.address), peer.port);
    params.flags |= lt::torrent_flags::paused;
    handle_ = session_.add_torrent(params);
    handle_.resume();
  }
  void fetch() {
    while (!handle_.status({}).is_seeding) pause();
  }

 private:
  const std::filesystem::path directory_;
  lt::session session_;
  lt::torrent_handle handle_;
};

template <class Work>
void measure(Work work) {
  std::cout << "ready" << std::endl;
  std::cin.get();
  const double cpu = cpu_seconds();
  const auto begun = Clock::now();
  work();
  std::cout << std::chrono::duration<double>(Clock::now() - begun).count() << ' '
            << cpu_seconds() - cpu << std::endl;
}

template <class Peer>
void exchange(const std::vector<std::string>& words) {
  const Content content(std::stoul(words.at(3)) << 20, 1);
  Peer peer(words.at(2), {words.at(4), static_cast<uint16_t>(std::stoi(words.at(5)))});
  if (words.at(0) == "serve") {
    peer.take(content, true, {});
    return measure([] { std::cin.get(); });
  }
  measure([&] {
    peer.take(content, false, {{words.at(6), static_cast<uint16_t>(std::stoi(words.at(7)))}});
    peer.fetch();
  });
  std::cin.get();
}

/// All of it is here, says it: nobody asks for bytes.
class WholeLayer final : public chunk::StoredLayer {
 public:
  WholeLayer(const util::Digest& digest, uint64_t size) : digest_(digest), size_(size) {}
  const util::Digest& digest() const override { return digest_; }
  uint64_t size() const override { return size_; }
  bool has(chunk::BlockRange) const override { return true; }
  std::vector<chunk::BlockRange> missing(chunk::BlockRange) const override { return {}; }
  uint64_t bytes_present() const override { return size_; }
  bool try_read_now(util::ByteRange, std::byte*) override { return false; }
  void read(util::ByteRange, OnRead) override { std::abort(); }
  void write(chunk::BlockIndex, util::SharedBytes, chunk::Class, OnWritten) override {
    std::abort();
  }
  void trust(std::shared_ptr<const chunk::HashTree>) override {}
  void suspect(chunk::BlockRange) override {}
  bool verified() const override { return true; }
  void mark_verified() override {}
  void discard() override {}
  void set_pinned(bool) override {}

 private:
  const util::Digest digest_;
  const uint64_t size_;
};

void idle(const std::vector<std::string>& words) {
  constexpr uint64_t kSize = 300ull << 20;
  const std::filesystem::path directory(words.at(1));
  const auto token = cluster::Token::make();
  torrent_test::SoakNode first("127.0.0.81", token, directory / "1", kSize),
      second("127.0.0.82", token, directory / "2", kSize);
  const auto tree = std::make_shared<const chunk::HashTree>(
      kSize, std::vector<util::Digest>(chunk::block_count(kSize)));
  std::vector<util::Digest> layers;
  for (size_t i = 0; i < std::stoul(words.at(2)); ++i) {
    const auto name = std::to_string(i);
    layers.push_back(util::Sha256::of(util::as_bytes(name)));
    const chunk::LayerRef ref{layers.back(), kSize, {{"docker.io", "library/soak"}}, {}, {}};
    for (auto* node : {&first, &second}) {
      node->holdings.put(
          {ref, tree, std::make_shared<WholeLayer>(ref.digest, kSize), [] { return true; }});
      node->views.interest(ref, Clock::now());
    }
  }
  const auto connected = [&](const auto& layer) {
    return first.lane->peers(layer).value_or(0) > 0 && second.lane->peers(layer).value_or(0) > 0;
  };
  while (!std::all_of(layers.begin(), layers.end(), connected)) {
    for (const auto& layer : layers) {
      first.hear(second, layer, kSize);
      second.hear(first, layer, kSize);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  measure([&] { std::this_thread::sleep_for(std::chrono::seconds(std::stoi(words.at(3)))); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words{argv + 1, argv + argc};
  if (words.at(0) == "idle")
    idle(words);
  else if (words.at(1) == "ours")
    exchange<Ours>(words);
  else
    exchange<Stock>(words);
}
