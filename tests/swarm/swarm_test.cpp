// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/swarm.h"

#include <future>
#include <thread>

#include "support/loopback.h"
#include "support/temporary_directory.h"
#include "swarm/demand_fixture.h"
#include "swarm/discovery.h"
#include "swarm/fake_holdings.h"
#include "swarm/free_port.h"
#include "util/file.h"

namespace swarmfs::swarm {
namespace {

using namespace std::chrono_literals;

/// A node as the daemon makes it, of a cluster with tokens.
class SwarmTest : public testing::Test {
 protected:
  void start(const std::vector<cluster::Token>& tokens, const std::vector<Endpoint>& peers = {}) {
    write(tokens);
    keeper_ = std::make_unique<cluster::IdentityKeeper>(files_, timers_);
    SwarmOptions options;
    options.listen = {at_};
    options.peers = peers;
    options.look_over = 20ms;
    holdings_.layer_ = layer_;
    holdings_.held_ = HeldLayer{100, true, false, {{0, 1}}};
    swarm_ = std::make_unique<Swarm>(options, *keeper_, holdings_, timers_, metrics_);
  }
  void write(const std::vector<cluster::Token>& tokens) {
    std::string text;
    for (const auto& token : tokens) text += token.text() + "\n";
    util::write_file_durably(files_.token_file, util::as_bytes(text), 0600);
  }
  /// Whether a node that has only this token finds us by the layer.
  bool is_found_with(const cluster::Token& token) {
    const auto identity =
        cluster::Identity::of_tokens({token}, cluster::PrivateKey::generate(), cluster::wall_now());
    const Endpoint their{"127.0.0.2", at_.port};
    Discovery other(
        {.peers = {at_}, .listen = {their}, .resolve = {}}, [](const auto&) {}, timers_, metrics_);
    for (int i = 0; i < 40; ++i) {
      bool found = false;
      std::promise<void> ended;
      const auto look_up = other.look_up(dht_key(identity.secret(), layer_), 250ms,
                                         [&](const auto& some, bool last) {
                                           for (const auto& one : some) found |= one == at_;
                                           if (last) ended.set_value();
                                         });
      ended.get_future().wait();
      if (found) return true;
    }
    return false;
  }

  const util::Digest layer_ = util::Sha256::of(util::as_bytes("a layer"));
  const Endpoint at_{"127.0.0.1", free_port()};
  support::TemporaryDirectory directory_;
  const cluster::IdentityFiles files_{
      directory_.path() / "token", {}, {}, {}, directory_.path() / "node.key"};
  util::Timers timers_;
  util::Metrics metrics_;
  FakeHoldings holdings_;
  std::unique_ptr<cluster::IdentityKeeper> keeper_;
  std::unique_ptr<Swarm> swarm_;
};

TEST_F(SwarmTest, is_found_by_what_it_announces_under_every_secret_of_a_rotation) {
  const auto old = cluster::Token::make(), fresh = cluster::Token::make();
  start({old});
  swarm_->announce(layer_);
  EXPECT_TRUE(is_found_with(old));
  write({fresh, old});
  keeper_->reload();
  EXPECT_TRUE(is_found_with(fresh)) << "what was announced is announced anew";
  EXPECT_TRUE(is_found_with(old));
}

TEST_F(SwarmTest, withdraws_what_is_not_here_any_more) {
  const auto token = cluster::Token::make();
  start({token});
  auto& announced = metrics_.gauge("swarmfs_announced_layers",
                                   "Layers that the DHT is told this node has or wants.");
  for (const char* name : {"one", "another"})
    swarm_->announce(util::Sha256::of(util::as_bytes(name)));
  swarm_->announce(layer_);
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (announced.value() != 1 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(5ms);
  EXPECT_EQ(announced.value(), 1);
  EXPECT_TRUE(is_found_with(token)) << "what is here is announced on";
}

TEST_F(SwarmTest, asks_no_member_for_a_manifest_when_the_time_is_up) {
  const support::LoopbackListener silent(8);
  start({cluster::Token::make()}, {{"127.0.0.1", silent.port()}});
  const auto failures = [this] { return swarm_->peers().at(0).failures; };
  while (swarm_->peers().empty()) std::this_thread::sleep_for(1ms);
  const auto now = std::chrono::steady_clock::now();
  EXPECT_FALSE(swarm_->find_manifest("docker.io/library/nginx:1", {}, "linux/amd64", now));
  EXPECT_EQ(failures(), 0u) << "nobody was asked";
  EXPECT_FALSE(swarm_->find_manifest("docker.io/library/nginx:1", {}, "linux/amd64", now + 60s));
  EXPECT_EQ(failures(), 1u);
}

}  // namespace
}  // namespace swarmfs::swarm
