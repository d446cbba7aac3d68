// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <future>
#include <set>

#include "swarm/announcements.h"
#include "swarm/dht.h"
#include "swarm/discovery.h"
#include "swarm/free_port.h"
#include "util/error.h"
#include "util/unique_fd.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

DhtKey key_of(const std::string& name) {
  return dht_key(util::as_bytes("a secret"), util::Sha256::of(util::as_bytes(name)));
}

std::string loopback(unsigned host) {
  return "127.0.0." + std::to_string(host);
}

/// What came, and a wait for it that ends with the deadline.
template <class T>
class Collected {
 public:
  void add(const std::vector<T>& items) {
    auto all = all_.lock();
    all->insert(items.begin(), items.end());
    changed_.notify_all();
  }
  bool await(const std::function<bool(const std::set<T>&)>& ready, milliseconds most) {
    auto all = all_.lock();
    return all.wait_until(changed_, std::chrono::steady_clock::now() + most,
                          [&] { return ready(*all); });
  }
  std::set<T> all() { return *all_.lock(); }

 private:
  util::Sync<std::set<T>> all_;
  std::condition_variable changed_;
};

/// Tries again until it succeeds or the deadline has passed.
bool eventually(const std::function<bool()>& attempt, seconds most = seconds(60)) {
  const auto deadline = std::chrono::steady_clock::now() + most;
  while (std::chrono::steady_clock::now() < deadline)
    if (attempt()) return true;
  return false;
}

struct Node {
  Node(unsigned host, uint16_t port)
      : endpoint{loopback(host), port},
        dht({endpoint}, [this](const DhtKey& key, const auto& peers) {
          std::vector<std::pair<DhtKey, Endpoint>> items;
          for (const Endpoint& peer : peers) items.emplace_back(key, peer);
          found.add(items);
        }) {}

  bool finds(const DhtKey& key, const Endpoint& peer, milliseconds most = milliseconds(200)) {
    dht.ask(key);
    return found.await([&](const auto& all) { return all.contains({key, peer}); }, most);
  }

  Endpoint endpoint;
  Collected<std::pair<DhtKey, Endpoint>> found;
  Dht dht;
};

TEST(Announcements, are_told_by_family_the_latest_first) {
  Announcements announcements;
  const util::SteadyTime now{};
  announcements.add(key_of("a"), {"10.0.0.1", 1}, now);
  announcements.add(key_of("a"), {"::1", 2}, now);
  announcements.add(key_of("a"), {"10.0.0.2", 3}, now);
  announcements.add(key_of("b"), {"10.0.0.3", 4}, now);
  EXPECT_EQ(announcements.of(key_of("a"), false, 9, now),
            (std::vector<Endpoint>{{"10.0.0.2", 3}, {"10.0.0.1", 1}}));
  EXPECT_EQ(announcements.of(key_of("a"), true, 9, now), (std::vector<Endpoint>{{"::1", 2}}));
  EXPECT_EQ(announcements.of(key_of("a"), false, 1, now), (std::vector<Endpoint>{{"10.0.0.2", 3}}));
  EXPECT_TRUE(announcements.of(key_of("c"), false, 9, now).empty());
}

TEST(Announcements, are_forgotten_unless_they_are_said_again) {
  Announcements announcements;
  const util::SteadyTime start{};
  announcements.add(key_of("a"), {"10.0.0.1", 1}, start);
  announcements.add(key_of("a"), {"10.0.0.2", 1}, start);
  announcements.add(key_of("a"), {"10.0.0.1", 1}, start + std::chrono::minutes(10));
  const auto later = start + std::chrono::minutes(26);
  EXPECT_EQ(announcements.of(key_of("a"), false, 9, later),
            (std::vector<Endpoint>{{"10.0.0.1", 1}}));
  announcements.forget_old(later);
  EXPECT_EQ(announcements.peers(), 1u);
  announcements.forget_old(later + std::chrono::minutes(10));
  EXPECT_EQ(announcements.keys(), 0u);
}

TEST(Announcements, are_bounded) {
  Announcements announcements({.keys = 2, .peers = 3});
  for (uint16_t port = 1; port <= 9; ++port)
    announcements.add(key_of("a"), {"10.0.0.1", port}, util::SteadyTime(seconds(port)));
  EXPECT_EQ(announcements.of(key_of("a"), false, 9, util::SteadyTime(seconds(9))),
            (std::vector<Endpoint>{{"10.0.0.1", 9}, {"10.0.0.1", 8}, {"10.0.0.1", 7}}));
  announcements.add(key_of("b"), {"10.0.0.1", 1}, {});
  announcements.add(key_of("c"), {"10.0.0.1", 1}, {});
  EXPECT_EQ(announcements.keys(), 2u);
  EXPECT_EQ(announcements.peers(), 4u);
}

TEST(Announcements, are_bounded_as_a_whole) {
  Announcements announcements({.keys = 9, .peers = 3, .total = 4});
  const util::SteadyTime now{};
  for (uint16_t port = 1; port <= 3; ++port)
    for (const char* key : {"a", "b"}) announcements.add(key_of(key), {"10.0.0.1", port}, now);
  announcements.add(key_of("c"), {"10.0.0.1", 1}, now);
  EXPECT_EQ(announcements.peers(), 4u);
  EXPECT_EQ(announcements.keys(), 2u);
  for (const char* key : {"a", "b"})
    EXPECT_EQ(announcements.of(key_of(key), false, 9, now),
              (std::vector<Endpoint>{{"10.0.0.1", 3}, {"10.0.0.1", 2}}));
  announcements.add(key_of("a"), {"10.0.0.1", 2}, now);
  EXPECT_EQ(announcements.of(key_of("a"), false, 9, now),
            (std::vector<Endpoint>{{"10.0.0.1", 2}, {"10.0.0.1", 3}}));
}

TEST(DhtKey, depends_on_the_secret_and_on_the_layer) {
  const util::Digest layer = util::Sha256::of(util::as_bytes("layer"));
  const DhtKey key = dht_key(util::as_bytes("secret"), layer);
  EXPECT_EQ(key, dht_key(util::as_bytes("secret"), layer));
  EXPECT_NE(key, dht_key(util::as_bytes("other"), layer));
  EXPECT_NE(key, dht_key(util::as_bytes("secret"), util::Sha256::of({})));
  EXPECT_EQ(
      std::memcmp(key.data(),
                  util::hmac_sha256(util::as_bytes("secret"), layer.bytes()).bytes().data(), 20),
      0);
}

TEST(Dht, two_nodes_that_know_each_other_find_each_others_announcements) {
  const uint16_t port = free_port();
  Node a(1, port + 1);
  Node b(2, port + 1);
  const auto key = key_of("layer");
  EXPECT_TRUE(eventually([&] {
    b.dht.meet({a.endpoint});
    a.dht.announce(key, 7000);
    b.dht.announce(key, 7001);
    return b.finds(key, {loopback(1), 7000}) && a.finds(key, {loopback(2), 7001});
  }));
}

TEST(Dht, every_node_finds_what_any_other_announced_though_all_know_only_the_first) {
  const uint16_t port = free_port();
  constexpr unsigned kNodes = 12;
  std::vector<std::unique_ptr<Node>> nodes;
  for (unsigned i = 0; i < kNodes; ++i) nodes.push_back(std::make_unique<Node>(i + 1, port + 1));
  const auto key_by = [](unsigned i) { return key_of("layer " + std::to_string(i)); };
  const auto demand_lane = [](unsigned i) {
    return Endpoint{loopback(i + 1), static_cast<uint16_t>(7000 + i)};
  };
  for (unsigned i = 0; i < kNodes; ++i) {
    const unsigned asker = (i + 5) % kNodes;
    EXPECT_TRUE(eventually([&] {
      for (unsigned j = 1; j < kNodes; ++j)
        if (nodes[j]->dht.nodes() < 3) nodes[j]->dht.meet({nodes[0]->endpoint});
      nodes[i]->dht.announce(key_by(i), demand_lane(i).port);
      return nodes[asker]->finds(key_by(i), demand_lane(i));
    })) << i;
  }
  EXPECT_FALSE(nodes[3]->finds(key_of("nobody has it"), demand_lane(1), milliseconds(50)));
}

TEST(Dht, knows_nobody_whom_it_was_not_told_of) {
  const uint16_t port = free_port();
  Node alone(1, port + 1);
  Node other(2, port + 1);
  const auto key = key_of("layer");
  other.dht.announce(key, 7000);
  EXPECT_FALSE(alone.finds(key, {loopback(2), 7000}));
  EXPECT_EQ(alone.dht.nodes(), 0u);
}

TEST(Dht, a_taken_port_is_an_error_that_names_it) {
  const uint16_t port = free_port();
  Node first(1, port + 1);
  try {
    Node second(1, port + 1);
    FAIL() << "two on one port";
  } catch (const util::Error& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(port + 1)), std::string::npos)
        << error.what();
  }
}

TEST(Dht, turns_away_who_connects_to_its_tcp_port) {
  const uint16_t port = free_port();
  Node node(1, port + 1);
  const util::UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port + 1));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const timeval most{5, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  char byte;
  EXPECT_EQ(recv(fd.get(), &byte, 1, 0), 0);
}

/// A node as the daemon would have it.
struct DaemonLike {
  DaemonLike(const std::string& address, uint16_t port, std::vector<Endpoint> peers)
      : endpoint{address, port},
        discovery(
            {.peers = std::move(peers), .listen = {endpoint}, .resolve = {}},
            [this](const auto& listed) { known.add(listed); }, timers, metrics) {}

  bool finds(const DhtKey& key, const Endpoint& peer) {
    Collected<Endpoint> found;
    std::promise<void> ended;
    auto look_up = discovery.look_up(key, milliseconds(200), [&](const auto& some, bool last) {
      found.add(some);
      if (last) ended.set_value();
    });
    ended.get_future().wait();
    return found.all().contains(peer);
  }

  Endpoint endpoint;
  util::Timers timers;
  util::Metrics metrics;
  Collected<Endpoint> known;
  Discovery discovery;
};

TEST(Discovery, nodes_on_a_list_find_each_others_layers) {
  const uint16_t port = free_port();
  const std::vector<Endpoint> list{{loopback(1), port}, {loopback(2), port}};
  std::vector<std::unique_ptr<DaemonLike>> nodes;
  for (unsigned i = 1; i <= 4; ++i)
    nodes.push_back(std::make_unique<DaemonLike>(loopback(i), port, list));
  const auto key = key_of("layer");
  nodes[2]->discovery.announce(key, port);
  EXPECT_TRUE(eventually([&] { return nodes[3]->finds(key, nodes[2]->endpoint); }));
  EXPECT_TRUE(eventually([&] { return nodes[0]->finds(key, nodes[2]->endpoint); }));
  EXPECT_FALSE(nodes[2]->finds(key, nodes[2]->endpoint)) << "found itself";
  EXPECT_EQ(nodes[0]->known.all(), (std::set<Endpoint>{{loopback(2), port}}));
}

TEST(Discovery, works_over_ipv6_and_on_one_address_with_several_ports) {
  const uint16_t port = free_port();
  const uint16_t other = free_port();
  DaemonLike a("::1", port, {});
  DaemonLike b("::1", other, {{"::1", port}});
  const auto key = key_of("layer");
  a.discovery.announce(key, port);
  EXPECT_TRUE(eventually([&] { return b.finds(key, a.endpoint); }));
}

TEST(Discovery, names_stand_for_all_their_addresses_and_survive_a_name_server_that_is_away) {
  std::atomic<int> asked{0};
  util::Timers timers;
  util::Metrics metrics;
  Collected<Endpoint> known;
  DiscoveryOptions options;
  options.peers = {{"peers.local", 7000}, {"10.0.0.9", 7001}};
  options.listen = {{"10.0.0.1", 7000}};
  options.dht = false;
  options.resolve_every = milliseconds(1);
  options.resolve = [&](const std::string& name) -> std::vector<std::string> {
    EXPECT_EQ(name, "peers.local");
    switch (asked++) {
      case 0:
        return {"10.0.0.1", "10.0.0.2", "2001:db8::2"};
      case 1:
        return {};
      default:
        return {"10.0.0.3"};
    }
  };
  std::vector<std::vector<Endpoint>> told;
  std::promise<void> thrice;
  {
    Discovery discovery(
        std::move(options),
        [&](const auto& peers) {
          told.push_back(peers);
          if (told.size() == 3) thrice.set_value();
        },
        timers, metrics);
    thrice.get_future().wait();
  }
  const std::vector<Endpoint> first{{"10.0.0.2", 7000}, {"10.0.0.9", 7001}, {"2001:db8::2", 7000}};
  EXPECT_EQ(told[0], first) << "ourselves left out";
  EXPECT_EQ(told[1], first);
  EXPECT_EQ(told[2], (std::vector<Endpoint>{{"10.0.0.3", 7000}, {"10.0.0.9", 7001}}));
}

TEST(Discovery, without_a_dht_a_look_up_ends_at_once_with_nobody) {
  util::Timers timers;
  util::Metrics metrics;
  Discovery discovery({.peers = {}, .listen = {}, .dht = false, .resolve = {}}, {}, timers,
                      metrics);
  std::promise<bool> ended;
  auto look_up = discovery.look_up(
      key_of("layer"), std::chrono::hours(1),
      [&](const auto& found, bool last) { ended.set_value(last && found.empty()); });
  EXPECT_TRUE(ended.get_future().get());
}

TEST(Discovery, a_look_up_that_was_dropped_is_never_answered) {
  const uint16_t port = free_port();
  DaemonLike node(loopback(1), port, {});
  std::atomic<int> calls{0};
  {
    auto dropped = node.discovery.look_up(key_of("layer"), milliseconds(1),
                                          [&](const auto&, bool) { ++calls; });
    dropped.cancel();
    calls = 0;
  }
  EXPECT_FALSE(node.finds(key_of("layer"), {loopback(2), port}));
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace swarmfs::swarm
