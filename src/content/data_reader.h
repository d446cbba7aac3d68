// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <memory>

#include "content/content.h"
#include "content/layer_library.h"
#include "content/span_cache.h"
#include "content/vain_reads.h"
#include "util/timers.h"
#include "util/workers.h"

namespace swarmfs::content {

/// Reads files of layers: file range → extents → data space → spans → compressed bytes → inflated.
/// Any thread. Must outlive its operations; the destructor waits for its jobs.
class DataReader {
 public:
  using OnRead = fetch::Fetcher::OnRead;

  DataReader(fetch::Fetcher& fetcher, LayerLibrary& library, util::Workers& workers,
             util::Timers& timers, uint64_t span_cache_bytes);
  ~DataReader();

  /// A hit without waiting: fills `into` with the range (inside the file).
  bool try_read_now(const Content& content, layer::InodeIndex file, util::ByteRange range,
                    std::byte* into);
  /// `range` lies inside the file. `on_read` may run inside read(). Whatever the read waits for, it
  /// ends at its own deadline; what it began goes on for others who want it.
  [[nodiscard]] util::Operation read(std::shared_ptr<const Content> content, layer::InodeIndex file,
                                     util::ByteRange range, chunk::FetchContext context,
                                     OnRead on_read);

 private:
  struct Gather;
  using GatherPtr = std::shared_ptr<Gather>;
  struct SpanFlight;
  using SpanFlightPtr = std::shared_ptr<SpanFlight>;
  using ContentPtr = std::shared_ptr<const Content>;
  struct Jobs {
    size_t count = 0;
  };
  void gather_parts(const GatherPtr& gather, layer::InodeIndex file, util::ByteRange range);
  void gather_bytes(const GatherPtr& gather, util::ByteRange space, uint64_t at, int attempt = 0);
  void gather_space(const GatherPtr& gather, util::ByteRange space, uint64_t at);
  void gather_span(const GatherPtr& gather, const layer::Span& span, util::ByteRange space,
                   uint64_t at);
  void bring(const SpanFlightPtr& flight);
  void bring_again(const SpanFlightPtr& flight);
  void not_brought(const SpanFlightPtr& flight, const util::Failure& why);
  void bring_window(const SpanFlightPtr& flight);
  /// Where the span before it is at hand, its end is the window.
  [[nodiscard]] bool finds_window(const SpanFlightPtr& flight);
  void part_came(const SpanFlightPtr& flight);
  void on_wrong_window(const SpanFlightPtr& flight, const util::Failure& why);
  void make_windows(const SpanFlightPtr& flight, bool wrong);
  void inflate(const SpanFlightPtr& flight);
  void settle(const ContentPtr& content, std::function<void(bool again)> go_on);
  void post(util::Workers& workers, std::function<void()> job);
  /// The destructor waits until it is gone.
  [[nodiscard]] std::shared_ptr<void> stay();

  fetch::Fetcher& fetcher_;
  LayerLibrary& library_;
  util::Workers& workers_;
  util::Timers& timers_;
  SpanCache spans_;
  const std::shared_ptr<VainReads> vain_ = std::make_shared<VainReads>();
  util::Sync<Jobs> jobs_;
  std::condition_variable jobs_changed_;
  /// Readers wait for what the first does (a disk write at most), nobody for what the second does
  /// (it streams whole layers), and for the third, which does so as well, who needs a window that
  /// nobody gives. None may be waited for by workers_.
  util::Workers disputes_{1}, settlements_{1}, windows_{2};
};

}  // namespace swarmfs::content
