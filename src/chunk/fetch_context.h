// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "util/clock.h"

namespace swarmfs::chunk {

/// Why bytes are wanted; an earlier one goes first.
enum class Class : uint8_t { fault, pull, prefetch, backfill };
inline constexpr size_t kClasses = 4;

/// Who supplied bytes.
enum class SourceKind : uint8_t { cache, peer, registry };

constexpr const char* to_string(Class c) noexcept {
  switch (c) {
    case Class::fault:
      return "fault";
    case Class::pull:
      return "pull";
    case Class::prefetch:
      return "prefetch";
    case Class::backfill:
      return "backfill";
  }
  return "unknown";
}

constexpr const char* to_string(SourceKind kind) noexcept {
  switch (kind) {
    case SourceKind::cache:
      return "cache";
    case SourceKind::peer:
      return "peer";
    case SourceKind::registry:
      return "registry";
  }
  return "unknown";
}

/// Travels with every fetch from the door to the source.
struct FetchContext {
  Class cls = Class::fault;
  util::SteadyTime deadline = util::SteadyTime::max();
  /// Process or job that caused it, for logs: "pid 4711", "mount docker.io/library/nginx".
  std::string cause;
  /// Asked on behalf of another node: only the cache or the registry may supply it, never a peer,
  /// so that no two nodes wait for each other.
  bool for_peer = false;
  /// Bulk that somebody waits for, piece by piece, who gives up where one is late.
  bool awaited = false;
  /// What comes is checked against the layer's hash tree before anybody sees it. For plan(); set by
  /// whoever checks.
  bool sealed = false;
  /// What is ours by the shares (Plan::ours) is here already: what others have yet to bring in may
  /// be ours as well. For plan(); set by whoever fetches.
  bool spare = false;
  /// Whether about as much comes to this node as its link brings: what is late now need not be its
  /// supplier's fault. Any thread, cheap. Empty: not known. Set by whoever fetches.
  std::function<bool()> congested{};
  /// How long who has to ask the registry for bulk is not late at least, by what our own requests
  /// take there. As `congested`.
  std::function<util::Duration()> relay_patience{};
};

}  // namespace swarmfs::chunk
