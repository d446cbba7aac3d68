// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "util/error.h"
#include "util/unique_fd.h"

namespace swarmfs::swarm {

inline bool is_free(uint16_t port, int type) {
  const util::UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  return ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

/// Of a demand lane, and the DHT's after it: free on all addresses, and none that the kernel gives
/// to whoever connects. Each call another one.
inline uint16_t free_port() {
  static std::atomic<unsigned> calls{static_cast<unsigned>(::getpid()) * 16};
  for (unsigned tries = 0; tries < 4'000; ++tries) {
    const auto port = static_cast<uint16_t>(20'000 + calls++ % 4'000 * 2);
    const auto next = static_cast<uint16_t>(port + 1);
    if (is_free(port, SOCK_STREAM) && is_free(next, SOCK_STREAM) && is_free(next, SOCK_DGRAM))
      return port;
  }
  throw util::Error("no free port");
}

}  // namespace swarmfs::swarm
