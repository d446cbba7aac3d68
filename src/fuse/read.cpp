// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <atomic>

#include "fuse/errno_door.h"
#include "fuse/operations.h"
#include "util/log.h"

namespace swarmfs::fuse {

/// A read that waits for its bytes. Answered once: by the bytes, by an interrupt or at the end.
struct Pending {
  explicit Pending(fuse_req_t its) : request(its) {}

  bool claim() { return !answered.exchange(true); }

  fuse_req_t request;
  std::atomic<bool> answered{false};
  util::Operation operation;
};

namespace {

constexpr size_t kMaxRead = 1 << 20;

// Runs on a reader thread with libfuse's lock of this request: it must not wait for anything. The
// fetch goes on and fills the cache.
void on_interrupt(fuse_req_t request, void* data) {
  if (static_cast<Pending*>(data)->claim()) fuse_reply_err(request, EINTR);
}

void reply(Context& context, const std::shared_ptr<Pending>& pending, NodeId node,
           const util::Outcome<util::SharedBytes>& outcome) {
  // Claimed first: an interrupt that comes now must not answer, which frees the request.
  if (pending->claim()) {
    fuse_req_interrupt_func(pending->request, nullptr, nullptr);
    if (outcome) {
      fuse_reply_buf(pending->request, reinterpret_cast<const char*>(outcome->data()),
                     outcome->size());
    } else {
      context.errors.add();
      util::log::warning("fuse: a read of node {:x} fails: {}", node.number(),
                         outcome.failure().message);
      fuse_reply_err(pending->request, errno_of(outcome.failure().fault));
    }
  }
  context.pending.lock()->erase(pending.get());
}

std::byte* thread_buffer() {
  thread_local std::vector<std::byte> buffer(kMaxRead);
  return buffer.data();
}

template <class TryNow, class Read>
void answer_read(fuse_req_t request, Context& context, NodeId node, util::ByteRange range,
                 TryNow try_now, Read start) {
  if (range.empty()) return (void)fuse_reply_buf(request, nullptr, 0);
  if (try_now(thread_buffer()))
    return (void)fuse_reply_buf(request, reinterpret_cast<const char*>(thread_buffer()),
                                range.length);
  auto pending = std::make_shared<Pending>(request);
  context.pending.lock()->emplace(pending.get(), pending);
  const chunk::FetchContext why{chunk::Class::fault,
                                std::chrono::steady_clock::now() + context.fault_timeout.load(),
                                "pid " + std::to_string(fuse_req_ctx(request)->pid)};
  fuse_req_interrupt_func(request, on_interrupt, pending.get());
  pending->operation =
      start(why, [&context, pending, node](util::Outcome<util::SharedBytes> outcome) {
        reply(context, pending, node, outcome);
      });
}

}  // namespace

void read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, fuse_file_info*) {
  auto& context = *static_cast<Context*>(fuse_req_userdata(request));
  const NodeId node = NodeId::from(number);
  const util::ByteRange wanted{static_cast<uint64_t>(offset), std::min(size, kMaxRead)};
  try {
    context.requests.add();
    if (const auto blob = context.view.blob(node)) {
      const auto range = wanted.clamp(blob->ref().size);
      return answer_read(
          request, context, node, range,
          [&](std::byte* into) { return context.fetcher.try_read_now(*blob->bytes, range, into); },
          [&](const chunk::FetchContext& why, auto on_read) {
            return context.fetcher.read(blob->bytes, range, why, std::move(on_read));
          });
    }
    const auto file = context.view.file(node);
    if (!file) return (void)fuse_reply_err(request, ESTALE);
    const auto range = wanted.clamp(file->content->index->files.inode(file->inode).size);
    answer_read(
        request, context, node, range,
        [&](std::byte* into) {
          return context.reader.try_read_now(*file->content, file->inode, range, into);
        },
        [&](const chunk::FetchContext& why, auto on_read) {
          return context.reader.read(file->content, file->inode, range, why, std::move(on_read));
        });
  } catch (const std::exception& error) {
    util::log::error("fuse: while reading node {:x}: {}", number, error.what());
    fuse_reply_err(request, EIO);
  }
}

void end_pending(Context& context) {
  std::map<Pending*, std::shared_ptr<Pending>> rest;
  std::swap(rest, *context.pending.lock());
  for (auto& [unused, pending] : rest) {
    if (pending->claim()) {
      fuse_req_interrupt_func(pending->request, nullptr, nullptr);
      fuse_reply_err(pending->request, EIO);
    }
    pending->operation.cancel();
  }
}

}  // namespace swarmfs::fuse
