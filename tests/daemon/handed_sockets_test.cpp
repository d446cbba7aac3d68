// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/handed_sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "support/temporary_directory.h"

namespace swarmfs::daemon {
namespace {

template <class Address>
util::UniqueFd listening(const Address& where, int family) {
  util::UniqueFd made(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) ||
      ::listen(made.get(), 1))
    return {};
  return made;
}

std::string port_of(const util::UniqueFd& socket) {
  sockaddr_in6 where{};  // the port is where sockaddr_in has it
  socklen_t size = sizeof where;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&where), &size);
  return std::to_string(ntohs(where.sin6_port));
}

TEST(HandedSockets, are_found_by_their_address_once) {
  const support::TemporaryDirectory directory;
  const auto path = (directory.path() / "s").string();
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  std::strncpy(local.sun_path, path.c_str(), sizeof local.sun_path - 1);
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto local_socket = listening(local, AF_UNIX);
  auto four_socket = listening(four, AF_INET);
  ASSERT_TRUE(local_socket);
  ASSERT_TRUE(four_socket);
  const int local_fd = local_socket.get(), four_fd = four_socket.get();
  const auto port = port_of(four_socket);

  HandedSockets sockets;
  EXPECT_FALSE(sockets.take(path));
  sockets.add(std::move(local_socket));
  sockets.add(std::move(four_socket));
  EXPECT_FALSE(sockets.take("/elsewhere"));
  EXPECT_FALSE(sockets.take(""));
  EXPECT_EQ(sockets.take("127.0.0.1:" + port).get(), four_fd);
  EXPECT_FALSE(sockets.take("127.0.0.1:" + port));
  EXPECT_EQ(sockets.take(path).get(), local_fd);
}

TEST(HandedSockets, of_ipv6_are_written_in_brackets) {
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_loopback;
  auto socket = listening(six, AF_INET6);
  if (!socket) GTEST_SKIP() << "no IPv6 here";
  const auto port = port_of(socket);
  HandedSockets sockets;
  sockets.add(std::move(socket));
  EXPECT_TRUE(sockets.take("[::1]:" + port));
}

TEST(HandedSockets, that_nobody_takes_are_closed) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto socket = listening(four, AF_INET);
  const auto port = port_of(socket);
  HandedSockets sockets;
  sockets.add(std::move(socket));
  sockets.close_rest();
  EXPECT_FALSE(sockets.take("127.0.0.1:" + port));
  // Free again.
  four.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  EXPECT_TRUE(listening(four, AF_INET));
}

TEST(HandedSockets, are_none_without_a_service_manager) {
  ::unsetenv("LISTEN_FDS");
  auto sockets = HandedSockets::from_environment();
  EXPECT_FALSE(sockets.take("/run/swarmfs/control.sock"));
}

}  // namespace
}  // namespace swarmfs::daemon
