// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/bulk_lane.h"

#include <future>
#include <thread>

#include "../swarm/fake_holdings.h"
#include "members.h"
#include "torrent_fixture.h"

namespace swarmfs::torrent_test {

namespace {

constexpr const char* kRepository = "docker.io/library/nginx";

/// A node that knows one layer of a public repository.
struct LaneNode {
  LaneNode(const std::string& address, const cluster::Token& token, const Subject& subject,
           bool whole)
      : endpoint{address, swarm::free_port()},
        demand{address, static_cast<uint16_t>(endpoint.port + 1)},
        member(member_of(token)),
        layer(subject.ref),
        stored(std::make_shared<MemoryLayer>(subject.ref.digest, subject.ref.size, workers)) {
    layer.origins = {{"docker.io", "library/nginx"}};
    if (whole) stored->put(subject.content);
    holdings.layer_ = layer.digest;
    holdings.repository_ = kRepository;
    holdings.access_.known_public = true;
    holdings.held_ = swarm::HeldLayer{layer.size, whole, true, {}};
    holdings.exchanged_ =
        swarm::ExchangedLayer{layer, subject.tree, stored, [this] { return stands.load(); }};
    lane = std::make_unique<swarm::BulkLane>(swarm::BulkOptions{{endpoint}, {}, "", false},
                                             holdings, table, views, timers, metrics,
                                             member.material, member.ca_pem);
  }
  ~LaneNode() { lane.reset(); }

  /// The other's answer to a question about the layer.
  void hear(LaneNode& other) { hear(other, other.lane->asked(layer.digest, demand.address, zone)); }
  void hear(LaneNode& other, uint16_t bulk_port) {
    const auto now = std::chrono::steady_clock::now();
    views.interest(layer, now);
    table.add({other.demand});
    table.met(other.demand, "other", other.zone);
    swarm::News news;
    news.layers[layer.digest].size = layer.size;
    news.layers[layer.digest].sealed = true;
    news.layers[layer.digest].bulk_port = bulk_port;
    views.heard(other.demand, kRepository, {layer.digest}, news, now, "other");
  }
  [[nodiscard]] std::optional<chunk::Plan> plan(util::ByteRange range, chunk::Class cls,
                                                bool sealed = true) {
    chunk::FetchContext context;
    context.cls = cls;
    context.sealed = sealed;
    return lane->source().plan(layer, range, context);
  }

  const swarm::Endpoint endpoint, demand;
  std::string zone;  ///< that it says
  const Member member;
  chunk::LayerRef layer;
  std::atomic<bool> stands{true};
  util::Metrics metrics;
  util::SteadyClock clock;
  util::Timers timers;
  swarm::PeerTable table{"self", clock};
  swarm::LayerViews views;
  util::Workers workers{1};
  std::shared_ptr<MemoryLayer> stored;
  swarm::FakeHoldings holdings;
  std::unique_ptr<swarm::BulkLane> lane;
};

/// One transfer of a source, as its user sees it.
struct Fetched {
  std::string bytes;
  std::promise<util::Outcome<util::Done>> done;
  std::unique_ptr<chunk::Transfer> transfer;
};

void fetch(LaneNode& node, util::ByteRange range, Fetched& into) {
  chunk::FetchContext context;
  context.cls = chunk::Class::pull;
  into.transfer = node.lane->source().fetch(
      node.layer, range, context,
      [&into](util::ByteView bytes) { into.bytes += util::as_text(bytes); },
      [&into](const util::Outcome<util::Done>& outcome) { into.done.set_value(outcome); });
}

}  // namespace

class BulkLaneTest : public testing::Test {
 protected:
  static constexpr uint64_t kPiece = 256 * 1024;

  /// Until the second node can have the first chunk from the first one.
  [[nodiscard]] bool meet() {
    return await([&] {
      node_.hear(seed_);
      return node_.plan({0, kPiece}, chunk::Class::pull).has_value();
    });
  }

  const Subject subject_{(2 << 20) + 77};
  const cluster::Token token_ = cluster::Token::make();
  LaneNode seed_{"127.0.0.21", token_, subject_, true};
  LaneNode node_{"127.0.0.22", token_, subject_, false};
};

TEST_F(BulkLaneTest, plans_whole_chunks_of_sealed_layers_for_bulk_alone) {
  ASSERT_TRUE(meet());
  const auto plan = node_.plan({kPiece, 3 * kPiece}, chunk::Class::backfill);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->length, kPiece);
  EXPECT_TRUE(node_.plan({8 * kPiece, 77}, chunk::Class::pull)) << "the last one is short";
  EXPECT_FALSE(node_.plan({0, kPiece}, chunk::Class::fault));
  EXPECT_FALSE(node_.plan({0, kPiece}, chunk::Class::prefetch));
  EXPECT_FALSE(node_.plan({0, kPiece}, chunk::Class::pull, false));
  EXPECT_FALSE(node_.plan({0, kPiece - 1}, chunk::Class::pull));
  EXPECT_FALSE(node_.plan({chunk::kBlockSize, kPiece}, chunk::Class::pull));
}

TEST_F(BulkLaneTest, brings_a_chunk_into_the_store_and_to_who_asked) {
  ASSERT_TRUE(meet());
  Fetched fetched;
  fetch(node_, {2 * kPiece, kPiece}, fetched);
  auto done = fetched.done.get_future();
  ASSERT_EQ(done.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_TRUE(done.get());
  EXPECT_TRUE(fetched.bytes == subject_.content.substr(2 * kPiece, kPiece));
  EXPECT_TRUE(node_.stored->has({32, 16}));
  EXPECT_EQ(node_.stored->written(), kPiece);
  const auto& layer = node_.layer.digest;
  EXPECT_EQ(node_.lane->peers(layer), 1u);
  EXPECT_GT(node_.lane->rates(layer).received, 0);
  EXPECT_EQ(node_.lane->rates(layer).given, 0);
  EXPECT_GT(seed_.lane->rates(layer).given, 0);
  EXPECT_FALSE(node_.lane->peers(util::Digest{})) << "of a layer that is not exchanged";
}

TEST_F(BulkLaneTest, keeps_to_its_zone_whoever_connects) {
  node_.zone = "elsewhere";
  ASSERT_TRUE(meet());
  const auto peers = [&] { return seed_.lane->peers(seed_.layer.digest).value_or(0); };
  const auto asked_from = [&](const std::string& zone) {
    return seed_.lane->asked(seed_.layer.digest, node_.endpoint.address, zone);
  };
  EXPECT_EQ(peers(), 1u);
  seed_.lane->set_same_zone(true);
  EXPECT_EQ(asked_from(node_.zone), 0);
  ASSERT_TRUE(await([&] { return peers() == 0; }));
  const auto port = seed_.endpoint.port;
  node_.hear(seed_, port);
  node_.lane->set_same_zone(true);  // it begins anew: it knows the port, and connects
  std::this_thread::sleep_for(std::chrono::seconds(2));
  EXPECT_EQ(peers(), 0u);
  ASSERT_TRUE(await([&] { return asked_from("") != 0; }));
  node_.lane->set_same_zone(false);
  ASSERT_TRUE(await([&] {
    node_.hear(seed_, port);
    return peers() == 1;
  }));
}

TEST_F(BulkLaneTest, a_transfer_that_died_is_not_called) {
  ASSERT_TRUE(meet());
  Fetched kept, dropped;
  fetch(node_, {0, kPiece}, dropped);
  dropped.transfer.reset();
  const std::string before = dropped.bytes;
  fetch(node_, {0, kPiece}, kept);
  auto done = kept.done.get_future();
  ASSERT_EQ(done.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_TRUE(kept.bytes == subject_.content.substr(0, kPiece));
  EXPECT_EQ(dropped.bytes, before);
}

TEST_F(BulkLaneTest, exchanges_no_layer_whose_claim_has_fallen) {
  ASSERT_TRUE(meet());
  Fetched fetched;
  seed_.stands = node_.stands = false;
  seed_.holdings.exchanged_.reset();
  node_.holdings.exchanged_.reset();
  ASSERT_TRUE(await([&] { return seed_.lane->asked(seed_.layer.digest, "", "") == 0; }));
  ASSERT_TRUE(await([&] { return !node_.plan({0, kPiece}, chunk::Class::pull); }));
  fetch(node_, {0, kPiece}, fetched);
  auto done = fetched.done.get_future();
  ASSERT_EQ(done.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_FALSE(done.get());
}

}  // namespace swarmfs::torrent_test
