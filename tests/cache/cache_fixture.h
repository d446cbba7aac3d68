// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <future>
#include <optional>

#include "cache/chunk_cache.h"
#include "support/tar_maker.h"
#include "support/temporary_directory.h"

namespace swarmfs::cache {

inline util::Bytes some_bytes(size_t size, unsigned seed) {
  const std::string text = support::noise(size, seed);
  const auto view = util::as_bytes(text);
  return {view.begin(), view.end()};
}

/// A cache over a folder that outlives it.
class CacheTest : public testing::Test {
 protected:
  using Done = util::Outcome<util::Done>;
  using Read = util::Outcome<util::Bytes>;

  [[nodiscard]] virtual std::filesystem::path folder() const { return directory_.path(); }
  void open(uint64_t quota = 100 << 20) {
    close();
    cache_.emplace(CacheOptions{folder(), quota, 0.95, 0.5, sync_interval_}, timers_, workers_,
                   metrics_);
  }
  void close() { cache_.reset(); }

  static Done write(chunk::StoredLayer& layer, uint64_t block, util::Bytes bytes,
                    chunk::Class cls = chunk::Class::fault) {
    std::promise<Done> done;
    layer.write(chunk::BlockIndex{block}, util::SharedBytes::of(std::move(bytes)), cls,
                [&](Done outcome) { done.set_value(std::move(outcome)); });
    return done.get_future().get();
  }
  static Read read(chunk::StoredLayer& layer, util::ByteRange range) {
    std::promise<Read> done;
    layer.read(range, [&](util::Outcome<util::SharedBytes> outcome) {
      if (!outcome) return done.set_value(outcome.failure());
      done.set_value(util::Bytes(outcome->view().begin(), outcome->view().end()));
    });
    return done.get_future().get();
  }

  std::chrono::milliseconds sync_interval_{20};
  support::TemporaryDirectory directory_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  std::optional<ChunkCache> cache_;
};

inline const util::Digest kOne = util::Sha256::of(util::as_bytes("one"));
inline const util::Digest kTwo = util::Sha256::of(util::as_bytes("two"));

}  // namespace swarmfs::cache
