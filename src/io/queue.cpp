// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "io/queue.h"

#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include <cassert>

#include "util/error.h"
#include "util/log.h"

namespace swarmfs::io {

struct Queue::Request {
  bool is_write = false;
  int fd = -1;
  std::shared_ptr<Buffer> buffer;
  size_t length = 0;
  uint64_t offset = 0;
  Handler handler;
};

/// The thin part: one io_uring, set up and torn down, used by the queue's thread only.
struct Queue::Ring {
  io_uring uring{};
  bool registered = false;
  uint64_t wake_count = 0;

  explicit Ring(unsigned entries, const BufferPool& pool) {
    io_uring_params params{};
    params.flags = IORING_SETUP_COOP_TASKRUN;
    int status = io_uring_queue_init_params(entries, &uring, &params);
    if (status == -EINVAL) status = io_uring_queue_init(entries, &uring, 0);
    if (status < 0) throw util::SysError(-status, "set up io_uring");
    std::vector<iovec> vectors;
    for (auto* memory : pool.registered()) vectors.push_back({memory, BufferPool::kBufferSize});
    status =
        io_uring_register_buffers(&uring, vectors.data(), static_cast<unsigned>(vectors.size()));
    registered = status == 0;
    if (!registered)
      util::log::warning("io_uring takes no registered buffers (errno {}); raise LimitMEMLOCK",
                         -status);
  }
  ~Ring() { io_uring_queue_exit(&uring); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  io_uring_sqe* entry() {
    io_uring_sqe* made = io_uring_get_sqe(&uring);
    if (!made) {
      io_uring_submit(&uring);
      made = io_uring_get_sqe(&uring);
    }
    return made;
  }
  void listen(int wake) {
    io_uring_sqe* made = entry();
    io_uring_prep_read(made, wake, &wake_count, sizeof wake_count, 0);
    io_uring_sqe_set_data(made, nullptr);
  }
  void start(Request* request) {
    io_uring_sqe* made = entry();
    const auto& buffer = *request->buffer;
    const auto length = static_cast<unsigned>(request->length);
    const bool fixed = registered && buffer.slot >= 0;
    if (request->is_write && fixed)
      io_uring_prep_write_fixed(made, request->fd, buffer.data, length, request->offset,
                                buffer.slot);
    else if (request->is_write)
      io_uring_prep_write(made, request->fd, buffer.data, length, request->offset);
    else if (fixed)
      io_uring_prep_read_fixed(made, request->fd, buffer.data, length, request->offset,
                               buffer.slot);
    else
      io_uring_prep_read(made, request->fd, buffer.data, length, request->offset);
    io_uring_sqe_set_data(made, request);
  }
};

Queue::Queue(unsigned entries, size_t buffers)
    : pool_(buffers),
      wake_(::eventfd(0, EFD_CLOEXEC)),
      ring_(std::make_unique<Ring>(entries, pool_)) {
  if (!wake_) throw util::SysError("eventfd");
  thread_ = std::thread([this] { run(); });
}

Queue::~Queue() {
  state_.lock()->stopping = true;
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void Queue::read(int fd, std::shared_ptr<Buffer> into, size_t length, uint64_t offset,
                 Handler handler) {
  assert(length <= into->size);
  submit(std::make_unique<Request>(
      Request{false, fd, std::move(into), length, offset, std::move(handler)}));
}

void Queue::write(int fd, std::shared_ptr<Buffer> from, size_t length, uint64_t offset,
                  Handler handler) {
  assert(length <= from->size);
  submit(std::make_unique<Request>(
      Request{true, fd, std::move(from), length, offset, std::move(handler)}));
}

void Queue::submit(std::unique_ptr<Request> request) {
  bool first = false;
  {
    auto state = state_.lock();
    first = state->waiting.empty();
    state->waiting.push_back(std::move(request));
  }
  if (first) ::eventfd_write(wake_.get(), 1);
}

void Queue::take_waiting(std::deque<std::unique_ptr<Request>>& into, bool& stopping) {
  auto state = state_.lock();
  into.swap(state->waiting);
  stopping = state->stopping;
}

void Queue::run() {
  size_t in_flight = 0;
  bool stopping = false;
  ring_->listen(wake_.get());
  for (;;) {
    std::deque<std::unique_ptr<Request>> fresh;
    take_waiting(fresh, stopping);
    for (auto& request : fresh) ring_->start(request.release()), ++in_flight;
    if (stopping && in_flight == 0) return;
    io_uring_submit_and_wait(&ring_->uring, 1);
    io_uring_cqe* done = nullptr;
    while (io_uring_peek_cqe(&ring_->uring, &done) == 0) {
      const std::unique_ptr<Request> request(static_cast<Request*>(io_uring_cqe_get_data(done)));
      const int result = done->res;
      io_uring_cqe_seen(&ring_->uring, done);
      if (!request) {
        ring_->listen(wake_.get());
        continue;
      }
      --in_flight;
      request->handler(result);
    }
  }
}

}  // namespace swarmfs::io
