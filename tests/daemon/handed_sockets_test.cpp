// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/handed_sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
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

sockaddr_un local_address(const std::string& path) {
  sockaddr_un made{};
  made.sun_family = AF_UNIX;
  std::strncpy(made.sun_path, path.c_str(), sizeof made.sun_path - 1);
  return made;
}

TEST(HandedSockets, are_found_by_their_address_once) {
  const support::TemporaryDirectory directory;
  const auto path = (directory.path() / "s").string();
  const auto local = local_address(path);
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

TEST(HandedSockets, are_found_by_any_spelling_of_their_address) {
  const support::TemporaryDirectory directory;
  const auto local = local_address((directory.path() / "s").string());
  auto socket = listening(local, AF_UNIX);
  ASSERT_TRUE(socket);
  HandedSockets sockets;
  sockets.add(std::move(socket));
  EXPECT_FALSE(sockets.take((directory.path() / "s" / "t").string()));
  EXPECT_EQ(sockets.rest(), (directory.path() / "s").string());
  EXPECT_TRUE(sockets.take(directory.path().string() + "//x/.././s"));
  EXPECT_EQ(sockets.rest(), "");

  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_loopback;
  auto long_one = listening(six, AF_INET6);
  if (!long_one) GTEST_SKIP() << "no IPv6 here";
  const auto port = port_of(long_one);
  sockets.add(std::move(long_one));
  EXPECT_FALSE(sockets.take("[::2]:" + port));
  EXPECT_TRUE(sockets.take("[0:0:0::0001]:" + port));
}

/// errno of connecting; 0: connected.
template <class Address>
int connect_error(const Address& where, int family) {
  const util::UniqueFd client(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) ? errno
                                                                                          : 0;
}

TEST(HandedSockets, that_nobody_takes_refuse_their_clients) {
  const support::TemporaryDirectory directory;
  const auto local = local_address((directory.path() / "s").string());
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto local_socket = listening(local, AF_UNIX);
  auto four_socket = listening(four, AF_INET);
  ASSERT_TRUE(local_socket);
  ASSERT_TRUE(four_socket);
  const auto port = port_of(four_socket);
  four.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  // As the service manager keeps them.
  const util::UniqueFd local_copy(::dup(local_socket.get())), four_copy(::dup(four_socket.get()));
  EXPECT_EQ(connect_error(four, AF_INET), 0);

  HandedSockets sockets;
  sockets.add(std::move(local_socket));
  sockets.add(std::move(four_socket));
  sockets.refuse_rest();
  EXPECT_FALSE(sockets.take("127.0.0.1:" + port));
  EXPECT_EQ(connect_error(four, AF_INET), ECONNREFUSED);
  EXPECT_EQ(connect_error(local, AF_UNIX), ECONNREFUSED);
}

TEST(HandedSockets, are_none_without_a_service_manager) {
  ::unsetenv("LISTEN_FDS");
  auto sockets = HandedSockets::from_environment();
  EXPECT_FALSE(sockets.take("/run/swarmfs/control.sock"));
}

}  // namespace
}  // namespace swarmfs::daemon
