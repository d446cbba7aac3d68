// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "chunk/source.h"

namespace swarmfs::support {

/// A source that answers when the test says so, on the test's thread.
class FakeSource final : public chunk::Source {
 public:
  explicit FakeSource(std::string content, chunk::SourceKind kind = chunk::SourceKind::registry)
      : content_(std::move(content)), kind_(kind) {}

  [[nodiscard]] chunk::SourceKind kind() const override { return kind_; }
  [[nodiscard]] std::string name() const override { return "fake"; }
  std::optional<chunk::Plan> plan(const chunk::LayerRef& layer, util::ByteRange range,
                                  const chunk::FetchContext& context) override {
    const std::lock_guard hold(mutex_);
    planned_for_.push_back(context);
    if (context.spare && left_ && left_(range)) return std::nullopt;
    if (planner_) return planner_(range);
    const bool windows = layer.form == chunk::Form::windows;
    if (!plan_ || (windows && layer.size != windows_.size())) return std::nullopt;
    return chunk::Plan{std::min(plan_->length, range.length), plan_->hedge, plan_->front_to_back};
  }
  bool has(const chunk::LayerRef&, util::ByteRange range) override {
    const std::lock_guard hold(mutex_);
    return !has_ || has_(range);
  }
  size_t wanting(const chunk::LayerRef&) override { return wanted_; }
  void blame(const chunk::LayerRef&, const std::string& supplier, const std::string&) override {
    const std::lock_guard hold(mutex_);
    blamed_.push_back(supplier);
  }
  void bar(const chunk::LayerRef&, const std::string& supplier, const std::string&) override {
    const std::lock_guard hold(mutex_);
    barred_.insert(supplier);
  }
  void unbar(const chunk::LayerRef&) override {
    const std::lock_guard hold(mutex_);
    barred_.clear();
  }
  std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef& layer, util::ByteRange range,
                                         const chunk::FetchContext& context, OnData on_data,
                                         OnDone on_done) override {
    const std::lock_guard hold(mutex_);
    const size_t id = next_++;
    asked_.push_back(range);
    asked_of_.push_back(layer);
    contexts_.push_back(context);
    live_[id] = {range, std::move(on_data), std::move(on_done), false};
    return std::make_unique<Line>(*this, id, supplier_);
  }

  /// How it plans from now on; nothing: it cannot supply. At first: all of a range, no hedge.
  void set_plan(std::optional<chunk::Plan> plan) {
    const std::lock_guard hold(mutex_);
    plan_ = plan;
  }
  /// How many others want its layers as well; at first one, where it is peers.
  void set_wanted(size_t by) { wanted_ = by; }
  /// What it has at once, by range; at first all.
  void set_has(std::function<bool(util::ByteRange)> has) {
    const std::lock_guard hold(mutex_);
    has_ = std::move(has);
  }
  /// What it cannot supply to who has all of its own share.
  void set_left(std::function<bool(util::ByteRange)> left) {
    const std::lock_guard hold(mutex_);
    left_ = std::move(left);
  }
  /// Windows to give of a layer whose index has as many. At first: none.
  void set_windows(std::string windows) {
    const std::lock_guard hold(mutex_);
    windows_ = std::move(windows);
  }
  /// As set_plan(), by range.
  void set_planner(std::function<std::optional<chunk::Plan>(util::ByteRange)> planner) {
    const std::lock_guard hold(mutex_);
    planner_ = std::move(planner);
  }
  /// Whom the transfers to come name.
  void set_supplier(std::string supplier) {
    const std::lock_guard hold(mutex_);
    supplier_ = std::move(supplier);
  }
  /// From now on its supplier makes bulk wait, or does not any more.
  void set_told_to_wait(bool told) { told_to_wait_ = told; }
  /// Gives wrong bytes from now on: the one at `at` of the layer is flipped.
  void flip(uint64_t at) {
    const std::lock_guard hold(mutex_);
    content_[at] = static_cast<char>(~content_[at]);
  }
  [[nodiscard]] size_t requests() const {
    const std::lock_guard hold(mutex_);
    return next_;
  }
  /// Requests that are neither ended nor dropped.
  [[nodiscard]] size_t open() const {
    const std::lock_guard hold(mutex_);
    return live_.size();
  }
  [[nodiscard]] util::ByteRange asked(size_t id) const {
    const std::lock_guard hold(mutex_);
    return asked_.at(id);
  }
  [[nodiscard]] chunk::FetchContext context(size_t id) const {
    const std::lock_guard hold(mutex_);
    return contexts_.at(id);
  }
  /// The layers of the ranges asked, in order.
  [[nodiscard]] std::vector<chunk::LayerRef> asked_of() const {
    const std::lock_guard hold(mutex_);
    return asked_of_;
  }
  [[nodiscard]] std::vector<chunk::FetchContext> planned_for() const {
    const std::lock_guard hold(mutex_);
    return planned_for_;
  }
  [[nodiscard]] std::vector<std::string> blamed() const {
    const std::lock_guard hold(mutex_);
    return blamed_;
  }
  /// Who is not to be asked now.
  [[nodiscard]] std::set<std::string> barred() const {
    const std::lock_guard hold(mutex_);
    return barred_;
  }
  [[nodiscard]] size_t paused() const {
    const std::lock_guard hold(mutex_);
    return static_cast<size_t>(std::count_if(live_.begin(), live_.end(),
                                             [](const auto& one) { return one.second.paused; }));
  }
  /// Gives up to `bytes` of request `id`; ends it when they are all.
  void answer(size_t id, uint64_t bytes) {
    Asked asked;
    std::string piece;
    {
      const std::lock_guard hold(mutex_);
      const auto found = live_.find(id);
      if (found == live_.end()) return;
      asked = found->second;
      bytes = std::min(bytes, asked.range.length);
      const bool windows = asked_of_[id].form == chunk::Form::windows;
      piece = (windows ? windows_ : content_).substr(asked.range.offset, bytes);
      found->second.range = {asked.range.offset + bytes, asked.range.length - bytes};
    }
    asked.on_data(util::as_bytes(piece));
    if (bytes == asked.range.length) finish(id, util::Done{});
  }
  /// Whole, all that is open now.
  void answer_all() {
    for (size_t id = 0; id < requests(); ++id) answer(id, UINT64_MAX);
  }
  /// Gives bytes of the test's own, whatever was asked; does not end the request.
  void say(size_t id, const std::string& bytes) {
    OnData on_data;
    {
      const std::lock_guard hold(mutex_);
      const auto found = live_.find(id);
      if (found == live_.end()) return;
      on_data = found->second.on_data;
    }
    on_data(util::as_bytes(bytes));
  }
  /// Ends the request, unless it was dropped.
  void finish(size_t id, util::Outcome<util::Done> outcome) {
    OnDone on_done;
    {
      const std::lock_guard hold(mutex_);
      const auto found = live_.find(id);
      if (found == live_.end()) return;
      on_done = std::move(found->second.on_done);
      live_.erase(found);
    }
    on_done(std::move(outcome));
  }
  void fail(size_t id, util::Failure failure) { finish(id, std::move(failure)); }

 private:
  struct Asked {
    util::ByteRange range;
    OnData on_data;
    OnDone on_done;
    bool paused = false;
  };
  class Line final : public chunk::Transfer {
   public:
    Line(FakeSource& source, size_t id, std::string supplier)
        : source_(source), id_(id), supplier_(std::move(supplier)) {}
    ~Line() override {
      const std::lock_guard hold(source_.mutex_);
      source_.live_.erase(id_);
    }
    void pause() override { set(true); }
    void resume() override { set(false); }
    [[nodiscard]] std::string supplier() const override { return supplier_; }
    [[nodiscard]] bool told_to_wait() const override { return source_.told_to_wait_; }

   private:
    void set(bool paused) {
      const std::lock_guard hold(source_.mutex_);
      const auto found = source_.live_.find(id_);
      if (found != source_.live_.end()) found->second.paused = paused;
    }
    FakeSource& source_;
    const size_t id_;
    const std::string supplier_;
  };

  std::atomic<bool> told_to_wait_{false};
  mutable std::mutex mutex_;
  std::string content_, windows_;
  const chunk::SourceKind kind_;
  std::atomic<size_t> wanted_{kind_ == chunk::SourceKind::peer ? 1u : 0u};
  std::optional<chunk::Plan> plan_ = chunk::Plan{UINT64_MAX};
  std::function<std::optional<chunk::Plan>(util::ByteRange)> planner_;
  std::function<bool(util::ByteRange)> has_;
  std::function<bool(util::ByteRange)> left_;
  std::string supplier_ = "fake";
  std::map<size_t, Asked> live_;
  std::vector<util::ByteRange> asked_;
  std::vector<chunk::LayerRef> asked_of_;
  std::vector<chunk::FetchContext> contexts_, planned_for_;
  std::vector<std::string> blamed_;
  std::set<std::string> barred_;
  size_t next_ = 0;
};

}  // namespace swarmfs::support
