// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "swarm/endpoint.h"
#include "util/digest.h"
#include "util/unique_fd.h"

namespace swarmfs::torrent_test {

/// What the wire calls its messages: BEP 3, 5, 6, 10, 52.
enum class Wire : uint8_t {
  choke,
  unchoke,
  interested,
  not_interested,
  have,
  bitfield,
  request,
  piece,
  cancel,
  port,
  suggest = 13,
  have_all,
  have_none,
  reject,
  allowed_fast,
  extended = 20,
  hash_request,
  hashes,
  hash_reject,
};

/// Four bytes, the highest first.
inline std::string word(uint32_t value) {
  std::string made;
  for (int shift = 24; shift >= 0; shift -= 8) made += static_cast<char>(value >> shift & 0xff);
  return made;
}

inline uint32_t word_at(std::string_view text, size_t at) {
  uint32_t value = 0;
  for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(text.at(i));
  return value;
}

inline std::string frame(Wire id, std::string_view body = {}) {
  return word(static_cast<uint32_t>(body.size() + 1)) + static_cast<char>(id) + std::string(body);
}

/// One connection to a node, from an address of loopback that is the peer's own. Says whatever it
/// is told to, and understands nothing. One thread.
class WirePeer {
 public:
  struct Message {
    uint8_t id = 0;
    std::string body;
  };

  /// All waits end when `stop` becomes true.
  WirePeer(const std::string& from, const swarm::Endpoint& to, const std::atomic<bool>& stop)
      : stop_(stop) {
    const auto own = address_of(from, 0), other = address_of(to.address, to.port);
    util::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) ||
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&other), sizeof other))
      return;
    socket_ = std::move(fd);
  }

  /// BEP 3, with the bits of BEP 6, 10 and 52. True: the other is of the swarm.
  [[nodiscard]] bool shake_hands(const util::Digest& info_hash) {
    return send(handshake(info_hash)) && fill(kHandshake) && take(kHandshake);
  }
  [[nodiscard]] static std::string handshake(const util::Digest& info_hash) {
    const std::string hash(util::as_text(info_hash.bytes()));
    return "\x13"
           "BitTorrent protocol" +
           std::string{0, 0, 0, 0, 0, 0x10, 0, 0x14} + hash.substr(0, 20) + "-XX0001-hostilehosti";
  }

  /// False: the other has had enough.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      if (!wait(POLLOUT)) return false;
      const auto sent =
          ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN) return false;
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  bool say(Wire id, std::string_view body = {}) { return send(frame(id, body)); }

  /// The next message but keep-alives. Empty: the connection or the test has ended.
  std::optional<Message> hear() {
    for (;;) {
      if (!fill(4)) return std::nullopt;
      const uint32_t length = word_at(in_, 0);
      if (!fill(4 + length)) return std::nullopt;
      const std::string text = in_.substr(4, length);
      take(4 + length);
      if (length > 0) return Message{static_cast<uint8_t>(text[0]), text.substr(1)};
    }
  }
  /// Hears and forgets.
  void drain() {
    while (hear()) {
    }
  }

 private:
  static constexpr size_t kHandshake = 68;

  static sockaddr_in address_of(const std::string& text, uint16_t port) {
    sockaddr_in made{};
    made.sin_family = AF_INET;
    made.sin_port = htons(port);
    ::inet_pton(AF_INET, text.c_str(), &made.sin_addr);
    return made;
  }
  bool wait(short events) {
    while (socket_ && !stop_) {
      pollfd entry{socket_.get(), events, 0};
      if (::poll(&entry, 1, 20) > 0) return true;
    }
    return false;
  }
  /// So much to take.
  bool fill(size_t size) {
    while (in_.size() < size) {
      if (!wait(POLLIN)) return false;
      char buffer[16 << 10];
      const auto got = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
      if (got > 0) in_.append(buffer, static_cast<size_t>(got));
    }
    return true;
  }
  bool take(size_t size) {
    in_.erase(0, size);
    return true;
  }

  const std::atomic<bool>& stop_;
  util::UniqueFd socket_;
  std::string in_;
};

}  // namespace swarmfs::torrent_test
