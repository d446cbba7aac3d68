// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace swarmfs::util {

/// An asynchronous call in flight, owned by its caller. Destroying it cancels: once the destructor
/// has returned no callback of the operation runs any more. Destroying it inside its own callback
/// is allowed. An empty Operation stands for one that has already ended.
class Operation {
 public:
  Operation() = default;
  explicit Operation(std::function<void()> cancel) : cancel_(std::move(cancel)) {}
  Operation(Operation&& other) noexcept : cancel_(std::exchange(other.cancel_, nullptr)) {}
  Operation& operator=(Operation&& other) noexcept {
    if (this != &other) {
      cancel();
      cancel_ = std::exchange(other.cancel_, nullptr);
    }
    return *this;
  }
  ~Operation() { cancel(); }
  void cancel() {
    if (auto cancel = std::exchange(cancel_, nullptr)) cancel();
  }

 private:
  std::function<void()> cancel_;
};

/// The gate between a callback and the Operation that may cancel it: run() calls unless closed,
/// close() waits for a run() on another thread to end. Reentrant. A leaf lock for the caller.
class CallbackGate {
 public:
  template <class Call>
  void run(Call call) {
    const std::lock_guard hold(mutex_);
    if (!closed_) call();
  }
  void close() {
    const std::lock_guard hold(mutex_);
    closed_ = true;
  }

 private:
  std::recursive_mutex mutex_;
  bool closed_ = false;
};

}  // namespace swarmfs::util
