// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "live_heap.h"
#include "wire_attacks.h"

namespace swarmfs::torrent_test {

namespace {

constexpr const char* kAttacker = "127.0.0.66";
/// More than the honest part of a test takes, and less than what the attacks would like.
constexpr size_t kMostGrowth = 64 << 20;

/// Connects to its victim again and again, and attacks.
class Attacker {
 public:
  Attacker(const Attack& attack, const Subject& subject, const swarm::Endpoint& victim)
      : attack_(attack),
        subject_(subject),
        victim_(victim),
        info_hash_(swarm::info_hash(swarm::info_dict(subject.ref.digest, *subject.tree, ""))),
        thread_([this] { run(); }) {}
  ~Attacker() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] bool has_begun() const { return deeds_ >= attack_.deeds; }

 private:
  void run() {
    for (int number = 0; !stop_; std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
      WirePeer peer(kAttacker, victim_, stop_);
      if (attack_.shakes_hands && !peer.shake_hands(info_hash_)) continue;
      Turn turn{peer, subject_, info_hash_, number++, deeds_};
      attack_.act(turn);
      if (!attack_.counts_itself) ++deeds_;
      if (deeds_ >= attack_.deeds) peer.drain();
    }
  }

  const Attack& attack_;
  const Subject& subject_;
  const swarm::Endpoint victim_;
  const util::Digest info_hash_;
  std::atomic<bool> stop_{false};
  std::atomic<int> deeds_{0};
  std::thread thread_;
};

void expect_named(const Node& node, bool must) {
  for (const auto& named : node.liars()) EXPECT_EQ(named, kAttacker);
  EXPECT_TRUE(node.liars().empty() || must);
}

}  // namespace

class HostileWire : public testing::TestWithParam<Attack> {};

TEST_P(HostileWire, changes_nothing_for_honest_nodes) {
  const Attack& attack = GetParam();
  const Subject subject((4 << 20) + 9);
  Node seed("127.0.0.21"), node("127.0.0.22"), late("127.0.0.23");
  const swarm::Endpoint nobody{"127.0.0.29", swarm::free_port()};
  seed.take(subject, true, {nobody});
  node.take(subject, false, {nobody});
  node.want_all();
  const size_t before = live_heap();
  size_t most = before;
  const auto watch = [&](bool reached) {
    most = std::max(most, live_heap());
    return reached;
  };
  const Attacker on_node(attack, subject, node.endpoint());
  std::optional<Attacker> on_seed;
  if (!attack.is_asked) on_seed.emplace(attack, subject, seed.endpoint());
  ASSERT_TRUE(
      await([&] { return watch(on_node.has_begun() && (!on_seed || on_seed->has_begun())); }));
  node.session().connect(node.layer(), {seed.endpoint()});
  ASSERT_TRUE(
      await([&] { return watch(node.complete() && node.came() == node.layer()->pieces()); }));
  EXPECT_TRUE(node.stored().content() == subject.content);
  node.expect_right(subject);
  late.take(subject, false, {seed.endpoint(), node.endpoint()});
  late.want_all();
  ASSERT_TRUE(await([&] { return watch(late.complete()); }));
  EXPECT_TRUE(late.stored().content() == subject.content);
  EXPECT_LT(most - before, kMostGrowth);
  EXPECT_EQ(node.liars().empty(), !attack.lies);
  expect_named(node, attack.lies);
  expect_named(seed, attack.lies);
  EXPECT_TRUE(late.liars().empty());
}

INSTANTIATE_TEST_SUITE_P(All, HostileWire, testing::ValuesIn(all_attacks()),
                         [](const auto& attack) { return std::string(attack.param.name); });

}  // namespace swarmfs::torrent_test
