// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "chunk/source.h"

namespace swarmfs::support {

/// A source that answers when the test says so, on the test's thread.
class FakeSource final : public chunk::Source {
 public:
  explicit FakeSource(std::string content) : content_(std::move(content)) {}

  [[nodiscard]] chunk::SourceKind kind() const override { return chunk::SourceKind::registry; }
  [[nodiscard]] std::string name() const override { return "fake"; }
  std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef&, util::ByteRange range,
                                         const chunk::FetchContext&, OnData on_data,
                                         OnDone on_done) override {
    const std::lock_guard hold(mutex_);
    const size_t id = next_++;
    live_[id] = {range, std::move(on_data), std::move(on_done), false};
    return std::make_unique<Line>(*this, id);
  }

  [[nodiscard]] size_t requests() const {
    const std::lock_guard hold(mutex_);
    return next_;
  }
  [[nodiscard]] size_t paused() const {
    const std::lock_guard hold(mutex_);
    return static_cast<size_t>(std::count_if(live_.begin(), live_.end(),
                                             [](const auto& one) { return one.second.paused; }));
  }
  /// Gives up to `bytes` of request `id`; ends it when they are all.
  void answer(size_t id, uint64_t bytes) {
    Asked asked;
    {
      const std::lock_guard hold(mutex_);
      const auto found = live_.find(id);
      if (found == live_.end()) return;
      asked = found->second;
      bytes = std::min(bytes, asked.range.length);
      found->second.range = {asked.range.offset + bytes, asked.range.length - bytes};
      if (bytes == asked.range.length) live_.erase(found);
    }
    asked.on_data(util::as_bytes(std::string_view(content_).substr(asked.range.offset, bytes)));
    if (bytes == asked.range.length) asked.on_done(util::Done{});
  }
  /// Whole, all that is open now.
  void answer_all() {
    for (size_t id = 0; id < requests(); ++id) answer(id, UINT64_MAX);
  }
  void fail(size_t id, util::Failure failure) {
    Asked asked;
    {
      const std::lock_guard hold(mutex_);
      asked = live_.at(id);
      live_.erase(id);
    }
    asked.on_done(std::move(failure));
  }

 private:
  struct Asked {
    util::ByteRange range;
    OnData on_data;
    OnDone on_done;
    bool paused = false;
  };
  class Line final : public chunk::Transfer {
   public:
    Line(FakeSource& source, size_t id) : source_(source), id_(id) {}
    ~Line() override {
      const std::lock_guard hold(source_.mutex_);
      source_.live_.erase(id_);
    }
    void pause() override { set(true); }
    void resume() override { set(false); }

   private:
    void set(bool paused) {
      const std::lock_guard hold(source_.mutex_);
      const auto found = source_.live_.find(id_);
      if (found != source_.live_.end()) found->second.paused = paused;
    }
    FakeSource& source_;
    const size_t id_;
  };

  const std::string content_;
  mutable std::mutex mutex_;
  std::map<size_t, Asked> live_;
  size_t next_ = 0;
};

}  // namespace swarmfs::support
