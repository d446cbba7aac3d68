// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <utility>
// Boost 1.74 needs <utility> before it.
#include <boost/asio/ip/tcp.hpp>
#include <string>

namespace swarmfs::http {

/// "127.0.0.1:40312", "[::1]:40312"
inline std::string name_of(const boost::asio::ip::tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" +
         std::to_string(endpoint.port());
}

}  // namespace swarmfs::http
