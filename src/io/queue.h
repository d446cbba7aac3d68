// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "io/buffer_pool.h"
#include "util/sync.h"
#include "util/unique_fd.h"

namespace swarmfs::io {

/// An io_uring with a thread of its own. Any thread submits; handlers run on the queue's thread
/// and must be short. The destructor finishes what was submitted.
class Queue {
 public:
  /// Bytes done, or -errno.
  using Handler = std::function<void(int result)>;

  /// Throws util::SysError where io_uring is not to be had.
  explicit Queue(unsigned entries = 256, size_t buffers = 32);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  [[nodiscard]] BufferPool& buffers() { return pool_; }
  /// One transfer between `fd` at `offset` and the first `length` bytes of the buffer, which the
  /// queue holds until the kernel is done with it. `fd` must stay open until then.
  void read(int fd, std::shared_ptr<Buffer> into, size_t length, uint64_t offset, Handler handler);
  void write(int fd, std::shared_ptr<Buffer> from, size_t length, uint64_t offset, Handler handler);

 private:
  struct Request;
  struct Ring;
  struct State {
    std::deque<std::unique_ptr<Request>> waiting;
    bool stopping = false;
  };
  void submit(std::unique_ptr<Request> request);
  void run();
  void take_waiting(std::deque<std::unique_ptr<Request>>& into, bool& stopping);

  BufferPool pool_;
  util::UniqueFd wake_;
  std::unique_ptr<Ring> ring_;
  util::Sync<State> state_;
  std::thread thread_;
};

}  // namespace swarmfs::io
