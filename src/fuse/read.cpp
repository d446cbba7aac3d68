// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <atomic>
#include <csignal>
#include <fstream>

#include "fuse/errno_door.h"
#include "fuse/operations.h"
#include "util/log.h"

namespace swarmfs::fuse {

/// A read that waits for its bytes. Answered once: by the bytes, by an interrupt or at the end.
/// After arming it belongs to the Context and to the fetch's callback.
struct Pending {
  enum class State { arming, waiting, interrupted, answered };

  explicit Pending(fuse_req_t its) : request(its), reader(fuse_req_ctx(its)->pid) {}

  bool move(State from, State to) { return state.compare_exchange_strong(from, to); }
  /// True for the one who answers.
  bool claim() { return move(State::waiting, State::answered); }

  const fuse_req_t request;  ///< alive while the state is arming or waiting
  const pid_t reader;
  std::atomic<State> state{State::arming};
  std::atomic<bool> interrupted{false};  ///< by a signal that the reader survived
  util::Operation operation;
};

namespace {

constexpr size_t kMaxRead = 1 << 20;

/// Whether the reader dies: SIGKILL is pending for its thread (any fatal signal becomes one), or it
/// is gone.
bool is_dying(pid_t thread) {
  std::ifstream status("/proc/" + std::to_string(thread) + "/status");
  if (!status) return thread != 0;  // 0: a process that our namespace does not show
  constexpr std::string_view kPending = "SigPnd:";
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(kPending))
      return std::strtoull(line.c_str() + kPending.size(), nullptr, 16) >> (SIGKILL - 1) & 1;
  return false;
}

// What waits interruptibly is a page fault, and an error there is SIGBUS: only who dies is let go.
// The fetch goes on and fills the cache. The kernel tells of a reader's first signal alone: who
// survives that and is killed later is found by let_go_of_dying().
//
// In libfuse 3 (fuse_lowlevel.c) a reply gives the request's reference back; the last one frees it.
// find_interrupted() holds one of its own while it calls this, so a reply is allowed.
// fuse_req_interrupt_func(), which calls this where the interrupt came first, holds none and then
// unlocks the request: the answer is left to arm(). Both hold the request's lock over the call:
// when fuse_req_interrupt_func(request, nullptr, nullptr) returns, this does not run, nor ever
// will.
void on_interrupt(fuse_req_t request, void* data) {
  using State = Pending::State;
  auto& pending = *static_cast<Pending*>(data);
  if (!is_dying(pending.reader))
    pending.interrupted = true;
  else if (!pending.move(State::arming, State::interrupted) && pending.claim())
    fuse_reply_err(request, EINTR);
}

/// Before anybody else knows of the read. False: it was interrupted, and is answered.
bool arm(Pending& pending) {
  using State = Pending::State;
  fuse_req_interrupt_func(pending.request, on_interrupt, &pending);
  if (pending.move(State::arming, State::waiting)) return true;
  fuse_req_interrupt_func(pending.request, nullptr, nullptr);
  fuse_reply_err(pending.request, EINTR);
  return false;
}

/// Claims the read; null: it is answered.
fuse_req_t take(Pending& pending) {
  if (!pending.claim()) return nullptr;
  fuse_req_interrupt_func(pending.request, nullptr, nullptr);
  return pending.request;
}

void reply(Context& context, const std::shared_ptr<Pending>& pending, NodeId node,
           const util::Outcome<util::SharedBytes>& outcome) {
  if (const auto request = take(*pending)) {
    if (outcome) {
      fuse_reply_buf(request, reinterpret_cast<const char*>(outcome->data()), outcome->size());
    } else {
      context.errors.add();
      util::log::warning("fuse: a read of node {:x} fails: {}", node.number(),
                         outcome.failure().message);
      fuse_reply_err(request, errno_of(outcome.failure().fault));
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
  const chunk::FetchContext why{chunk::Class::fault,
                                std::chrono::steady_clock::now() + context.fault_timeout.load(),
                                "pid " + std::to_string(fuse_req_ctx(request)->pid)};
  auto pending = std::make_shared<Pending>(request);
  if (!arm(*pending)) return;
  try {
    context.pending.lock()->emplace(pending.get(), pending);
    pending->operation =
        start(why, [&context, pending, node](util::Outcome<util::SharedBytes> outcome) {
          reply(context, pending, node, outcome);
        });
  } catch (const std::exception& error) {
    reply(context, pending, node, util::Failure{util::Fault::unavailable, error.what()});
  }
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

void let_go_of_dying(Context& context) {
  std::vector<std::shared_ptr<Pending>> interrupted;
  for (auto held = context.pending.lock(); const auto& [unused, pending] : *held)
    if (pending->interrupted) interrupted.push_back(pending);
  for (const auto& pending : interrupted)
    if (is_dying(pending->reader))
      if (const auto request = take(*pending)) fuse_reply_err(request, EINTR);
}

void end_pending(Context& context) {
  std::map<Pending*, std::shared_ptr<Pending>> rest;
  std::swap(rest, *context.pending.lock());
  for (auto& [unused, pending] : rest) {
    if (const auto request = take(*pending)) fuse_reply_err(request, EIO);
    pending->operation.cancel();
  }
}

}  // namespace swarmfs::fuse
