// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstring>
#include <map>
#include <memory>

#include "chunk/store.h"
#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::torrent_test {

/// A layer in memory. Reads and writes end on a worker, as those of a disk do.
class MemoryLayer final : public chunk::StoredLayer {
 public:
  MemoryLayer(const util::Digest& digest, uint64_t size, util::Workers& workers)
      : digest_(digest), size_(size), workers_(workers) {
    auto state = state_.lock();
    state->bytes.resize(size);
    state->present.resize(chunk::block_count(size));
  }

  /// As if another lane had brought it.
  void put(std::string_view content, chunk::BlockRange blocks) {
    const auto range = chunk::bytes_of(blocks, size_);
    auto state = state_.lock();
    std::memcpy(state->bytes.data() + range.offset, content.data() + range.offset, range.length);
    for (uint64_t i = blocks.first; i < blocks.end(); ++i) state->present[i] = true;
  }
  void put(std::string_view content) { put(content, {0, chunk::block_count(size_)}); }
  void evict(chunk::BlockRange blocks) {
    auto state = state_.lock();
    for (uint64_t i = blocks.first; i < blocks.end(); ++i) state->present[i] = false;
  }
  [[nodiscard]] std::string content() const {
    auto state = state_.lock();
    return std::string(util::as_text(state->bytes));
  }
  [[nodiscard]] uint64_t written() const { return state_.lock()->written; }
  [[nodiscard]] size_t reads() const { return state_.lock()->reads; }
  void set_full(bool full) { state_.lock()->full = full; }

  const util::Digest& digest() const override { return digest_; }
  uint64_t size() const override { return size_; }
  bool has(chunk::BlockRange blocks) const override { return missing(blocks).empty(); }
  std::vector<chunk::BlockRange> missing(chunk::BlockRange blocks) const override {
    std::vector<chunk::BlockRange> made;
    auto state = state_.lock();
    for (uint64_t i = blocks.first; i < blocks.end(); ++i) {
      if (state->present[i]) continue;
      if (!made.empty() && made.back().end() == i)
        ++made.back().count;
      else
        made.push_back({i, 1});
    }
    return made;
  }
  uint64_t bytes_present() const override {
    uint64_t total = 0;
    auto state = state_.lock();
    for (const bool here : state->present) total += here ? chunk::kBlockSize : 0;
    return total;
  }
  bool try_read_now(util::ByteRange range, std::byte* into) override {
    if (!has(chunk::blocks_covering(range))) return false;
    std::memcpy(into, state_.lock()->bytes.data() + range.offset, range.length);
    return true;
  }
  void read(util::ByteRange range, OnRead on_read) override {
    ++state_.lock()->reads;
    workers_.post(util::Workers::Urgency::normal, [this, range, on_read = std::move(on_read)] {
      if (!has(chunk::blocks_covering(range)))
        return on_read(util::Failure{util::Fault::not_found, "evicted"});
      util::Bytes bytes(range.length);
      std::memcpy(bytes.data(), state_.lock()->bytes.data() + range.offset, range.length);
      on_read(util::SharedBytes::of(std::move(bytes)));
    });
  }
  void write(chunk::BlockIndex first, util::SharedBytes bytes, chunk::Class,
             OnWritten on_written) override {
    workers_.post(util::Workers::Urgency::normal,
                  [this, first, bytes, on_written = std::move(on_written)] {
                    const uint64_t at = static_cast<uint64_t>(first) * chunk::kBlockSize;
                    {
                      auto state = state_.lock();
                      if (state->full) {
                        state.unlock();
                        return on_written(util::Failure{util::Fault::no_space, "full"});
                      }
                      state->written += bytes.size();
                      std::memcpy(state->bytes.data() + at, bytes.data(), bytes.size());
                      const auto blocks = chunk::blocks_covering({at, bytes.size()});
                      for (uint64_t i = blocks.first; i < blocks.end(); ++i)
                        state->present[i] = true;
                    }
                    on_written(util::Done{});
                  });
  }
  void trust(std::shared_ptr<const chunk::HashTree>) override {}
  void suspect(chunk::BlockRange) override {}
  bool verified() const override { return true; }
  void mark_verified() override {}
  void discard() override {}
  void set_pinned(bool) override {}

 private:
  struct State {
    util::Bytes bytes;
    std::vector<bool> present;
    uint64_t written = 0;
    size_t reads = 0;
    bool full = false;
  };
  const util::Digest digest_;
  const uint64_t size_;
  util::Workers& workers_;
  util::Sync<State> state_;
};

}  // namespace swarmfs::torrent_test
