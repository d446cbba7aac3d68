// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace swarmfs::util {

/// A value inside its mutex: it cannot be touched without the lock.
///
///   Sync<State> state_;
///   auto state = state_.lock();   // held until `state` dies
///   state->count++;
template <class T>
class Sync {
 public:
  class Lock {
   public:
    T* operator->() noexcept { return &sync_->value_; }
    T& operator*() noexcept { return sync_->value_; }
    /// Waits on `condition` through this lock until `ready()` is true.
    template <class Ready>
    void wait(std::condition_variable& condition, Ready ready) {
      condition.wait(lock_, std::move(ready));
    }
    /// As wait(), but gives up at `until`; returns ready().
    template <class Until, class Ready>
    bool wait_until(std::condition_variable& condition, Until until, Ready ready) {
      return condition.wait_until(lock_, until, std::move(ready));
    }
    void unlock() { lock_.unlock(); }

   private:
    friend class Sync;
    explicit Lock(Sync& sync) : sync_(&sync), lock_(sync.mutex_) {}
    Sync* sync_;
    std::unique_lock<std::mutex> lock_;
  };

  Sync() = default;
  explicit Sync(T value) : value_(std::move(value)) {}

  [[nodiscard]] Lock lock() { return Lock(*this); }
  [[nodiscard]] Lock lock() const { return Lock(const_cast<Sync&>(*this)); }

 private:
  mutable std::mutex mutex_;
  T value_{};
};

}  // namespace swarmfs::util
