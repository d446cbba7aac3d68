// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/endpoint.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>

#include "swarm/addresses.h"

namespace swarmfs::swarm {
namespace {

TEST(Endpoint, is_read_in_many_forms_and_kept_in_one) {
  const std::tuple<const char*, const char*, uint16_t, const char*> table[] = {
      {"10.0.0.3:7946", "10.0.0.3", 7946, "10.0.0.3:7946"},
      {"[2001:db8::1]:1", "2001:db8::1", 1, "[2001:db8::1]:1"},
      {"[2001:DB8:0:0::1]:65535", "2001:db8::1", 65535, "[2001:db8::1]:65535"},
      {"[::ffff:10.0.0.3]:7946", "10.0.0.3", 7946, "10.0.0.3:7946"},
      {"Node-7.Cluster.local:7946", "node-7.cluster.local", 7946, "node-7.cluster.local:7946"},
      {"seven_7:80", "seven_7", 80, "seven_7:80"},
  };
  for (const auto& [text, address, port, printed] : table) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(*endpoint, (Endpoint{address, port})) << text;
    EXPECT_EQ(endpoint->to_string(), printed);
    EXPECT_EQ(Endpoint::parse(endpoint->to_string()), endpoint);
  }
}

TEST(Endpoint, knows_an_address_from_a_name) {
  for (const char* text : {"10.0.0.3:1", "[::1]:1"})
    EXPECT_TRUE(Endpoint::parse(text)->is_literal()) << text;
  EXPECT_FALSE(Endpoint::parse("node-7:1")->is_literal());
}

TEST(Endpoint, refuses_what_is_neither) {
  for (const char* text : {"",
                           ":",
                           ":80",
                           "10.0.0.3",
                           "10.0.0.3:",
                           "10.0.0.3:0",
                           "10.0.0.3:65536",
                           "10.0.0.3:-1",
                           "10.0.0.3:80x",
                           "10.0.0.3:+80",
                           "10.0.0:80",
                           "10.0.0.300:80",
                           "1.2.3.4.5:80",
                           "::1:80",
                           "[::1]",
                           "[::1]80",
                           "[10.0.0.3]:80",
                           "[node]:80",
                           "[]:80",
                           "[::1%eth0]:80",
                           "no de:80",
                           "-node:80",
                           ".node:80",
                           "a..b:80",
                           "node/x:80",
                           "http://node:80"})
    EXPECT_FALSE(Endpoint::parse(text)) << text;
  EXPECT_FALSE(Endpoint::parse(std::string(254, 'a') + ":80"));
  EXPECT_FALSE(Endpoint::parse(std::string("node\0x:80", 9)));
}

TEST(Addresses, wildcards_become_interfaces_and_the_rest_stays) {
  const std::vector<Endpoint> listen{{"127.0.0.2", 7}, {"0.0.0.0", 8}, {"::", 9}, {"127.0.0.2", 7}};
  const auto expanded = expand_wildcards(listen);
  ASSERT_FALSE(expanded.empty());
  EXPECT_EQ(expanded.front(), (Endpoint{"127.0.0.2", 7}));
  for (size_t i = 1; i < expanded.size(); ++i) {
    const Endpoint& endpoint = expanded[i];
    EXPECT_TRUE(endpoint.is_literal()) << endpoint.to_string();
    EXPECT_NE(endpoint.address, "0.0.0.0");
    EXPECT_FALSE(endpoint.address.starts_with("127.")) << endpoint.to_string();
    EXPECT_FALSE(endpoint.address.starts_with("fe80")) << endpoint.to_string();
    EXPECT_EQ(endpoint.port, endpoint.address.find(':') == std::string::npos ? 8 : 9);
  }
}

TEST(Addresses, names_resolve_to_literals_and_unknown_ones_to_nothing) {
  const auto addresses = resolve_name("localhost");
  ASSERT_FALSE(addresses.empty());
  for (const std::string& address : addresses) EXPECT_EQ(canonical_address(address), address);
}

}  // namespace
}  // namespace swarmfs::swarm
