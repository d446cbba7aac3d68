// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <memory>

#include "content/content.h"
#include "content/layer_library.h"
#include "content/span_cache.h"
#include "util/workers.h"

namespace swarmfs::content {

/// Reads files of layers: file range → extents → data space → spans → compressed bytes → inflated.
/// Any thread. Must outlive its operations; the destructor waits for its jobs.
class DataReader {
 public:
  using OnRead = fetch::Fetcher::OnRead;

  DataReader(fetch::Fetcher& fetcher, LayerLibrary& library, util::Workers& workers,
             uint64_t span_cache_bytes);
  ~DataReader();

  /// A hit without waiting: fills `into` with the range (inside the file).
  bool try_read_now(const Content& content, layer::InodeIndex file, util::ByteRange range,
                    std::byte* into);
  /// `range` lies inside the file. `on_read` may run inside read().
  [[nodiscard]] util::Operation read(std::shared_ptr<const Content> content, layer::InodeIndex file,
                                     util::ByteRange range, chunk::FetchContext context,
                                     OnRead on_read);

 private:
  struct Gather;
  using GatherPtr = std::shared_ptr<Gather>;
  struct Jobs {
    size_t count = 0;
  };
  void gather_bytes(const GatherPtr& gather, util::ByteRange space, uint64_t at, int attempt = 0);
  void gather_space(const GatherPtr& gather, util::ByteRange space, uint64_t at);
  void gather_span(const GatherPtr& gather, const layer::Span& span, util::ByteRange space,
                   uint64_t at);
  void bring_span(const GatherPtr& gather, const SpanCache::Key& key, int attempt);
  void inflate(const GatherPtr& gather, const SpanCache::Key& key, int attempt,
               util::SharedBytes compressed);
  void settle(const GatherPtr& gather, std::function<void(bool again)> go_on);
  void post(util::Workers& workers, std::function<void()> job);

  fetch::Fetcher& fetcher_;
  LayerLibrary& library_;
  util::Workers& workers_;
  SpanCache spans_;
  util::Sync<Jobs> jobs_;
  std::condition_variable jobs_changed_;
  util::Workers fills_{1};  ///< whole-layer inflation waits for the network, so not on workers_
};

}  // namespace swarmfs::content
