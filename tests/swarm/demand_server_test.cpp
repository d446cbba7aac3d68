// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/demand_server.h"

#include <atomic>
#include <future>
#include <set>

#include "swarm/demand_fixture.h"
#include "swarm/fake_holdings.h"
#include "swarm/fake_preheats.h"
#include "swarm/free_port.h"
#include "swarm/proof.h"

namespace swarmfs::swarm {
namespace {

using util::Failure;
using util::Fault;

/// A node that serves, and "me", who asks.
class DemandServerTest : public DemandTest {
 protected:
  DemandServerTest() {
    holdings_.layer_ = layer_.digest;
    holdings_.content_ = content();
    holdings_.repository_ = kRepository;
    holdings_.access_.known_public = true;
    holdings_.held_ = HeldLayer{kSize, true, true, {{0, chunk::block_count(kSize)}}};
    table_.met(server_at_, "server", "");
    serve({});
  }
  ~DemandServerTest() override { server_.reset(); }

  void serve(ServeLimits limits,
             std::function<uint16_t(const util::Digest&, const std::string&, const std::string&)>
                 bulk_port = {},
             Preheats* preheats = nullptr) {
    server_.reset();
    const auto own = ca_.issue("server");
    server_ = std::make_unique<DemandServer>(
        DemandServerOptions{{server_at_.to_string()},
                            "there",
                            limits,
                            [] { return std::string("server"); },
                            [this] { return words_; },
                            std::move(bulk_port),
                            preheats,
                            &their_traffic_,
                            their_link_},
        http::TlsMaterial{own.certificate_pem, own.key_pem, ca_.pem()}, holdings_, their_table_,
        their_views_, metrics_);
  }
  std::string path(const std::string& what) const {
    return "/v1/layers/" + layer_.digest.hex() + what;
  }
  http::Response ask(const std::string& path, DemandClient::Query query,
                     std::optional<util::ByteRange> range = {}) {
    auto request = client_.request(server_at_, path, std::move(query));
    request.range = range;
    return perform(std::move(request));
  }
  http::Response perform(http::Request request) {
    std::promise<util::Outcome<http::Response>> done;
    http::Handlers handlers;
    handlers.on_done = [&](auto outcome) { done.set_value(std::move(outcome)); };
    const auto exchange = client_.start(std::move(request), std::move(handlers));
    auto outcome = done.get_future().get();
    if (outcome) return std::move(*outcome);
    ADD_FAILURE() << outcome.failure().message;
    return {};
  }
  http::Response ask_bytes(util::ByteRange range, const std::string& cls = "pull",
                           bool fetch = false) {
    return ask(path("/bytes"),
               {{"repository", kRepository}, {"class", cls}, {"fetch", fetch ? "1" : "0"}}, range);
  }
  std::shared_ptr<http::Exchange> start_bytes(util::ByteRange range, const std::string& cls,
                                              std::function<void(int)> on_status) {
    auto request = client_.request(server_at_, path("/bytes"),
                                   {{"repository", kRepository}, {"class", cls}, {"fetch", "1"}});
    request.range = range;
    request.bulk = cls != "fault";
    http::Handlers handlers;
    handlers.on_done = [on_status](const util::Outcome<http::Response>& outcome) {
      on_status(outcome ? outcome->status : 0);
    };
    return client_.start(std::move(request), std::move(handlers));
  }
  std::shared_ptr<Gate> hold_first_read() { return holdings_.gate_ = std::make_shared<Gate>(); }

  RegistryWords words_;
  FakeHoldings holdings_;
  PeerTable their_table_{"server", clock_};
  LayerViews their_views_;
  LayerTraffic their_traffic_;
  const std::shared_ptr<util::LinkGauge> their_link_ = std::make_shared<util::LinkGauge>();
  const Endpoint server_at_{"127.0.0.1", free_port()};
  std::unique_ptr<DemandServer> server_;
  static constexpr util::ByteRange kRange{16 * 1024, 40'000};
};

TEST_F(DemandServerTest, gives_the_bytes_of_a_range_up_to_the_layers_end) {
  for (const util::ByteRange range :
       {kRange, util::ByteRange{0, 1}, util::ByteRange{kSize - 1, 1}, util::ByteRange{0, kSize}}) {
    const auto answer = ask_bytes(range);
    EXPECT_EQ(answer.status, 206);
    EXPECT_TRUE(answer.body == part(range)) << range.offset;
    EXPECT_EQ(answer.header("Content-Range"), "bytes " + std::to_string(range.offset) + "-" +
                                                  std::to_string(range.end() - 1) + "/" +
                                                  std::to_string(kSize));
  }
  const auto asker = their_table_.find({"127.0.0.1", 4711});
  ASSERT_TRUE(asker) << "who asks is a peer from now on";
  EXPECT_EQ(asker->node_id, "me");
  EXPECT_EQ(asker->zone, "here");
}

TEST_F(DemandServerTest, gives_nothing_outside_the_layer_and_never_too_much) {
  for (const util::ByteRange range :
       {util::ByteRange{kSize, 1}, util::ByteRange{kSize - 1, 2}, util::ByteRange{kSize + 1, 1},
        util::ByteRange{1ull << 62, 7}, util::ByteRange{0, kSize + 1}})
    EXPECT_EQ(ask_bytes(range).status, 416) << range.offset;
  const util::ByteRange most{0, 4 << 20};
  holdings_.content_.resize(most.length + 1);
  holdings_.held_->size = most.length + 1;
  holdings_.held_->presence = {{0, chunk::block_count(most.length + 1)}};
  EXPECT_EQ(ask_bytes(most).body.size(), most.length);
  EXPECT_EQ(ask_bytes({0, most.length + 1}).status, 416);
}

TEST_F(DemandServerTest, refuses_requests_that_make_no_sense) {
  const DemandClient::Query good{{"repository", kRepository}, {"class", "pull"}};
  EXPECT_EQ(ask(path("/bytes"), good).status, 416) << "no range";
  for (const char* range : {"bytes=5-4", "bytes=0-", "bytes=-5", "bytes=0-1,3-4", "lines=0-1"}) {
    auto request = client_.request(server_at_, path("/bytes"), good);
    request.headers.emplace_back("Range", range);
    EXPECT_EQ(perform(request).status, 416) << range;
  }
  EXPECT_EQ(ask_bytes(kRange, "urgent").status, 416);
  EXPECT_EQ(ask(path("/cake"), good).status, 404);
  EXPECT_EQ(ask("/v1/layers/abc/bytes", good).status, 400);
  EXPECT_EQ(ask("/v1/profiles/abc", good).status, 400);
  EXPECT_EQ(ask("/v2/", {}).status, 404);
  auto post = client_.request(server_at_, path("/bytes"), good);
  post.method = "DELETE";
  EXPECT_EQ(perform(post).status, 405);
}

TEST_F(DemandServerTest, hands_orders_to_preheat_on_and_none_of_a_banned_node) {
  FakePreheats preheats;
  serve({}, {}, &preheats);
  const std::string path = "/v1/preheats/" + std::string(32, 'a');
  const auto say = [&](const char* method) {
    auto request = client_.request(server_at_, path, {{"reference", "a.test/b:1"}});
    request.method = method;
    return perform(std::move(request));
  };
  EXPECT_EQ(say("POST").status, 202);
  const auto state = say("GET");
  EXPECT_EQ(state.status, 200);
  EXPECT_TRUE(PreheatState::parse(state.body)) << state.body;
  EXPECT_EQ(say("DELETE").status, 200);
  EXPECT_EQ(say("PUT").status, 405);
  const std::vector<std::string> calls{"begin a.test/b:1 ", "look", "take back"};
  EXPECT_EQ(preheats.seen_.lock()->calls, calls);
  EXPECT_EQ(preheats.seen_.lock()->orders[0].node_id, "me") << "by its certificate";
  EXPECT_TRUE(their_table_.find({"127.0.0.1", 4711})) << "who orders is a peer from now on";

  their_table_.ban_node("me", "it lied");
  for (const char* method : {"POST", "GET", "DELETE"}) EXPECT_EQ(say(method).status, 403) << method;
  EXPECT_EQ(preheats.seen_.lock()->calls, calls);
}

TEST_F(DemandServerTest, carries_out_no_orders_where_it_is_not_to) {
  auto request = client_.request(server_at_, "/v1/preheats/" + std::string(32, 'a'),
                                 {{"reference", "a.test/b:1"}});
  request.method = "POST";
  const auto answer = perform(std::move(request));
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.body, "this node preheats for nobody ([cluster] preheat)\n");
}

TEST_F(DemandServerTest, knows_a_layer_only_in_its_repository) {
  const std::string other = "docker.io/library/other";
  EXPECT_EQ(ask(path("/bytes"), {{"repository", other}, {"class", "pull"}}, kRange).status, 404);
  EXPECT_EQ(ask(path("/bytes"), {{"class", "pull"}}, kRange).status, 404);
  const std::string unknown = "/v1/layers/" + util::Sha256::of({}).hex() + "/bytes";
  EXPECT_EQ(ask(unknown, {{"repository", kRepository}, {"class", "pull"}}, kRange).status, 404);
  const auto news =
      News::parse(ask("/v1/layers", {{"repository", other}, {"layers", layer_.digest.hex()}}).body);
  ASSERT_TRUE(news);
  EXPECT_TRUE(news->layers.empty());
  holdings_.held_.reset();
  EXPECT_EQ(ask_bytes(kRange).status, 404);
}

TEST_F(DemandServerTest, gives_a_private_repository_to_who_can_pull_it) {
  holdings_.access_.known_public = false;
  const auto manifest = util::Sha256::of(util::as_bytes("manifest"));
  holdings_.access_.secrets[manifest] = util::Sha256::of(util::as_bytes("secret"));
  holdings_.published_ = PublishedLayer{{}, {}, "{}"};
  holdings_.profile_ = "[]";
  const DemandClient::Query query{{"repository", kRepository}, {"layers", layer_.digest.hex()}};
  const auto all = [&](int status) {
    EXPECT_EQ(ask_bytes(kRange).status, status == 200 ? 206 : status);
    EXPECT_EQ(ask("/v1/layers", query).status, status);
    EXPECT_EQ(ask(path("/claim"), query).status, status);
    EXPECT_EQ(ask("/v1/profiles/" + manifest.hex(), query).status, status);
  };
  all(403);
  access_.secrets[manifest] = util::Sha256::of(util::as_bytes("another secret"));
  all(403);
  access_ = holdings_.access_;
  all(200);
  table_.met(server_at_, "another server", "");
  all(403);  // the proof names the server
}

TEST_F(DemandServerTest, tells_of_registries_whoever_asks) {
  EXPECT_FALSE(ask("/v1/layers", {}).header("Swarmfs-Registries"));
  words_ = {{registry_name("docker.io"), {true, std::chrono::milliseconds(12'000)}}};
  const auto text = registry_name("docker.io").hex() + ";asks;held=12000";
  EXPECT_EQ(ask("/v1/layers", {}).header("Swarmfs-Registries"), text);
  holdings_.access_.known_public = false;
  const auto refused =
      ask("/v1/layers", {{"repository", "else/where"}, {"layers", layer_.digest.hex()}});
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.header("Swarmfs-Registries"), text);
}

TEST_F(DemandServerTest, tells_what_it_has) {
  holdings_.held_ = HeldLayer{kSize, false, false, {{2, 3}, {7, 1}}};
  their_views_.interest(layer_, clock_.now());
  const auto answer =
      ask("/v1/layers", {{"repository", kRepository}, {"layers", layer_.digest.hex() + ",x,,"}});
  const auto news = News::parse(answer.body);
  ASSERT_TRUE(news);
  EXPECT_EQ(news->zone, "there");
  ASSERT_TRUE(news->layers.contains(layer_.digest));
  const auto& told = news->layers.at(layer_.digest);
  EXPECT_TRUE(told.wants);
  EXPECT_EQ(told.size, kSize);
  EXPECT_EQ(told.blocks.count(), 4u);
  EXPECT_TRUE(told.blocks.has({2, 3}) && told.blocks.has({7, 1}));
  const auto members = their_views_.members(layer_.digest, {}, clock_.now());
  ASSERT_EQ(members.size(), 1u);
  EXPECT_EQ(members[0].endpoint, (Endpoint{"127.0.0.1", 4711}));
  EXPECT_TRUE(members[0].wants) << "who asks wants";
}

TEST_F(DemandServerTest, tells_by_runs_and_names_nobody_where_it_is_asked_to) {
  holdings_.held_ = HeldLayer{kSize, false, false, {{2, 3}}};
  their_views_.interest(layer_, clock_.now());
  their_views_.wanted_by({"10.0.0.9", 7946}, layer_.digest, clock_.now(), "other");
  const auto told = [&](DemandClient::Query query) {
    query.insert({{"repository", kRepository}, {"layers", layer_.digest.hex()}});
    const auto news = News::parse(ask("/v1/layers", query).body);
    return news ? news->layers.at(layer_.digest) : LayerNews{};
  };
  const auto all = told({}), by_runs = told({{"runs", "1"}}), brief = told({{"named", "0"}});
  EXPECT_EQ(all.blocks.count(), 3u);
  EXPECT_EQ(by_runs, all);
  EXPECT_EQ(all.shareholders.size(), 1u);
  EXPECT_TRUE(brief.shareholders.empty());
  EXPECT_EQ(brief.blocks, all.blocks);
}

TEST_F(DemandServerTest, does_not_take_who_only_looks_for_a_member) {
  std::atomic<int> exchanges = 0;
  serve({}, [&](const util::Digest&, const std::string&, const std::string&) {
    return static_cast<uint16_t>(++exchanges);
  });
  their_views_.interest(layer_, clock_.now());
  const auto answer = ask(
      "/v1/layers", {{"repository", kRepository}, {"layers", layer_.digest.hex()}, {"look", "1"}});
  const auto news = News::parse(answer.body);
  ASSERT_TRUE(news);
  EXPECT_EQ(news->layers.at(layer_.digest).blocks.count(), chunk::block_count(kSize));
  EXPECT_TRUE(their_views_.members(layer_.digest, {}, clock_.now()).empty());
  EXPECT_EQ(exchanges, 0) << "it would have the layer exchanged for two minutes";
  holdings_.stored_ = false;
  holdings_.helds_ = 0;
  const auto again = ask(
      "/v1/layers", {{"repository", kRepository}, {"layers", layer_.digest.hex()}, {"look", "1"}});
  EXPECT_TRUE(News::parse(again.body)->layers.empty());
  EXPECT_EQ(holdings_.helds_, 0) << "it would make files for it";
  server_.reset();
}

TEST_F(DemandServerTest, counts_what_it_gives_of_each_layer) {
  EXPECT_EQ(ask_bytes({0, 40'000}).status, 206);
  EXPECT_GT(their_traffic_.of(layer_.digest, clock_.now()).given, 0);
  EXPECT_EQ(their_traffic_.of(layer_.digest, clock_.now()).received, 0);
}

TEST_F(DemandServerTest, names_the_shareholders_that_it_knows_but_the_asker) {
  holdings_.held_ = HeldLayer{kSize, false, false, {{2, 3}}};
  their_views_.interest(layer_, clock_.now());
  const Endpoint other{"10.0.0.9", 7946};
  their_views_.wanted_by(other, layer_.digest, clock_.now(), "other");
  their_views_.wanted_by({"10.0.0.8", 7946}, layer_.digest, clock_.now());
  for (const auto& asks : {"for the first time", "again"}) {
    const auto answer =
        ask("/v1/layers", {{"repository", kRepository}, {"layers", layer_.digest.hex()}});
    const auto news = News::parse(answer.body);
    ASSERT_TRUE(news) << asks;
    EXPECT_EQ(news->layers.at(layer_.digest).shareholders,
              (std::map<std::string, Endpoint>{{"other", other}}))
        << asks;
  }
}

TEST_F(DemandServerTest, says_where_it_exchanges_a_layer_that_anybody_may_have) {
  std::atomic<int> asked = 0;
  serve({}, [&](const util::Digest& layer, const std::string& address, const std::string& zone) {
    ++asked;
    EXPECT_EQ(address, "127.0.0.1");
    EXPECT_EQ(zone, "here");
    return layer == layer_.digest ? uint16_t{7950} : uint16_t{0};
  });
  const auto bulk_port = [&] {
    const auto answer =
        ask("/v1/layers", {{"repository", kRepository}, {"layers", layer_.digest.hex()}});
    const auto news = News::parse(answer.body);
    return news && news->layers.contains(layer_.digest)
               ? int{news->layers.at(layer_.digest).bulk_port}
               : -1;
  };
  EXPECT_EQ(bulk_port(), 7950);
  EXPECT_EQ(asked, 1);
  holdings_.access_.known_public = false;
  EXPECT_EQ(bulk_port(), -1) << "no proof, no answer";
  EXPECT_EQ(asked, 1) << "a private layer is not exchanged";
  server_.reset();
}

TEST_F(DemandServerTest, does_not_take_itself_for_a_member) {
  their_views_.interest(layer_, clock_.now());
  const auto own = ca_.issue("server");
  client_.set_tls({own.certificate_pem, own.key_pem, ca_.pem()});
  const auto answer =
      ask("/v1/layers", {{"repository", kRepository}, {"layers", layer_.digest.hex()}});
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(their_views_.members(layer_.digest, {}, clock_.now()).empty());
}

TEST_F(DemandServerTest, gives_claim_tree_and_index_of_a_sealed_layer) {
  const DemandClient::Query query{{"repository", kRepository}};
  EXPECT_EQ(ask(path("/claim"), query).status, 404);
  const auto bytes = [](std::string_view text) {
    const auto view = util::as_bytes(text);
    return util::Bytes(view.begin(), view.end());
  };
  holdings_.published_ = PublishedLayer{bytes("index"), bytes("leaves"), "claim"};
  EXPECT_EQ(ask(path("/claim"), query).body, "claim");
  EXPECT_EQ(ask(path("/tree"), query).body, "leaves");
  EXPECT_EQ(ask(path("/index"), query).body, "index");
}

TEST_F(DemandServerTest, gives_manifests_and_profiles) {
  const util::Bytes manifest(3, std::byte('m'));
  holdings_.manifest_ = HeldManifest{util::Sha256::of(manifest), manifest};
  const auto answer = ask(
      "/v1/manifests", {{"reference", "docker.io/library/nginx:1"}, {"platform", "linux/amd64"}});
  EXPECT_EQ(answer.body, "mmm");
  EXPECT_EQ(answer.header("Swarmfs-Digest"), util::Sha256::of(manifest).to_string());
  EXPECT_EQ(ask("/v1/manifests", {{"reference", "x"}}).status, 404);
  const std::string profile = "/v1/profiles/" + layer_.digest.hex();
  EXPECT_EQ(ask(profile, {{"repository", kRepository}}).status, 404);
  holdings_.profile_ = R"([["a",1]])";
  EXPECT_EQ(ask(profile, {{"repository", kRepository}}).body, *holdings_.profile_);
}

TEST_F(DemandServerTest, turns_away_whom_it_banned) {
  their_table_.ban_node("me", "it lied");
  EXPECT_EQ(ask_bytes(kRange).status, 403);
  EXPECT_EQ(ask("/v1/layers", {}).status, 403);
}

TEST_F(DemandServerTest, names_all_who_have_it_in_turn) {
  their_views_.interest(layer_, clock_.now());
  std::set<std::string> all;
  for (int i = 1; i <= 8; ++i) {
    const Endpoint holder{"10.0.0." + std::to_string(i), 7946};
    their_views_.heard(holder, kRepository, {layer_.digest}, {"", {{layer_.digest, news(true)}}},
                       clock_.now());
    all.insert(holder.to_string());
  }
  holdings_.held_->presence = {};
  holdings_.held_->complete = false;
  std::set<std::string> named;
  for (int i = 0; i < 2; ++i) {
    auto others = ask_bytes(kRange, "fault", true).header("Swarmfs-Others").value_or("") + ",";
    for (size_t comma; (comma = others.find(',')) != std::string::npos; others.erase(0, comma + 1))
      EXPECT_TRUE(named.insert(others.substr(0, comma)).second);
  }
  EXPECT_EQ(named, all);
}

TEST_F(DemandServerTest, names_others_when_it_is_busy_and_whoever_has_what_it_lacks) {
  const Endpoint holder{"10.0.0.9", 7946}, asker{"127.0.0.1", 4711};
  their_views_.interest(layer_, clock_.now());
  their_views_.heard({"10.0.0.8", 7946}, "docker.io/private/x", {layer_.digest},
                     {"", {{layer_.digest, news(true)}}}, clock_.now());
  for (const auto& endpoint : {holder, asker})
    their_views_.heard(endpoint, kRepository, {layer_.digest}, {"", {{layer_.digest, news(true)}}},
                       clock_.now());
  holdings_.held_->presence = {};
  holdings_.held_->complete = false;
  const auto referred = ask_bytes(kRange, "fault", true);
  EXPECT_EQ(referred.status, 503);
  EXPECT_EQ(referred.header("Swarmfs-Others"), holder.to_string())
      << "not the asker itself, nor who has it in another name";
  EXPECT_EQ(holdings_.fetches_, 0);

  ServeLimits none;
  none.requests = 0;
  serve(none);
  holdings_.held_->presence = {{0, chunk::block_count(kSize)}};
  const auto busy = ask_bytes(kRange);
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.header("Swarmfs-Others"), holder.to_string());
}

TEST_F(DemandServerTest, is_busy_with_what_it_would_have_to_fetch_while_others_stand_in_line) {
  holdings_.may_relay_ = false;
  EXPECT_EQ(ask_bytes(kRange, "pull").status, 206) << "it is here";
  holdings_.held_->presence = {};
  holdings_.held_->complete = false;
  EXPECT_EQ(ask_bytes(kRange, "pull").status, 503);
  EXPECT_EQ(ask_bytes(kRange, "fault").status, 206) << "nor does a reader wait";
  holdings_.may_relay_ = true;
  EXPECT_EQ(ask_bytes(kRange, "pull").status, 206);
}

TEST_F(DemandServerTest, keeps_room_for_faults_and_gives_it_back) {
  ServeLimits limits;
  limits.bulk_requests = 1;
  limits.requests = 2;
  serve(limits);
  const auto gate = hold_first_read();
  std::promise<int> first;
  const auto slow = start_bytes(kRange, "pull", [&](int status) { first.set_value(status); });
  gate->begun.get_future().wait();
  EXPECT_EQ(ask_bytes(kRange, "backfill").status, 503);
  EXPECT_EQ(ask_bytes(kRange, "fault").status, 206);
  gate->on_read(Failure{Fault::timed_out, "the registry is slow"});
  EXPECT_EQ(first.get_future().get(), 504);
  EXPECT_EQ(ask_bytes(kRange, "backfill").status, 206);
}

TEST_F(DemandServerTest, shows_that_it_is_at_it_while_bulk_comes_from_the_registry) {
  using std::chrono::milliseconds;
  holdings_.held_->presence = {};
  const auto gate = hold_first_read();
  auto request = client_.request(server_at_, path("/bytes"),
                                 {{"repository", kRepository}, {"class", "pull"}, {"fetch", "1"}});
  request.range = kRange;
  request.stall_timeout = milliseconds(6'000);
  std::promise<util::Outcome<http::Response>> done;
  http::Handlers handlers;
  handlers.on_done = [&](auto outcome) { done.set_value(std::move(outcome)); };
  const auto exchange = client_.start(std::move(request), std::move(handlers));
  gate->begun.get_future().wait();
  auto future = done.get_future();
  EXPECT_EQ(future.wait_for(milliseconds(8'000)), std::future_status::timeout);
  const std::string text = part(kRange);
  const auto bytes = util::as_bytes(text);
  gate->on_read(util::SharedBytes::of(util::Bytes(bytes.begin(), bytes.end())));
  const auto answer = future.get();
  ASSERT_TRUE(answer) << answer.failure().message;
  EXPECT_EQ(answer->status, 206);
  EXPECT_TRUE(answer->body == part(kRange));
}

TEST_F(DemandServerTest, tells_what_comes_over_its_link) {
  serve({});
  const auto told = [&](const util::Digest& layer) {
    const auto news =
        News::parse(ask("/v1/layers", {{"repository", kRepository}, {"layers", layer.hex()}}).body);
    return news ? news->link : 1;
  };
  EXPECT_EQ(told(layer_.digest), 0u) << "nothing has come";
  const auto now = std::chrono::steady_clock::now();
  their_link_->arrived(5'000'000, now - std::chrono::seconds(4));
  EXPECT_EQ(told(layer_.digest), 5'000'000u);
}

TEST_F(DemandServerTest, tells_that_it_is_full_while_it_is) {
  ServeLimits limits;
  limits.bulk_unsent = kRange.length;
  serve(limits);
  const auto is_full = [&] {
    const auto answer =
        ask("/v1/layers", {{"repository", kRepository}, {"layers", layer_.digest.hex()}});
    const auto news = News::parse(answer.body);
    return news && news->full;
  };
  EXPECT_FALSE(is_full());
  const auto gate = hold_first_read();
  std::promise<int> first;
  const auto slow = start_bytes(kRange, "pull", [&](int status) { first.set_value(status); });
  gate->begun.get_future().wait();
  EXPECT_TRUE(is_full());
  gate->on_read(Failure{Fault::not_found, "evicted"});
  EXPECT_EQ(first.get_future().get(), 404);
  EXPECT_FALSE(is_full());
}

TEST_F(DemandServerTest, gives_bulk_no_faster_than_its_cap_and_faults_at_once) {
  ServeLimits limits;
  limits.bulk_rate = 1;  // a byte: what the first request overdraws is paid back in half a day
  serve(limits);
  EXPECT_EQ(ask_bytes(kRange, "fault").status, 206);
  EXPECT_EQ(ask_bytes(kRange, "pull").status, 206);
  for (const char* cls : {"pull", "prefetch", "backfill"}) {
    const auto later = ask_bytes(kRange, cls);
    EXPECT_EQ(later.status, 503) << cls;
    EXPECT_EQ(later.header("Swarmfs-Wait"), "5000") << cls;
  }
  EXPECT_EQ(ask_bytes(kRange, "fault").status, 206);
  server_->set_limits({});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask_bytes(kRange, "pull").status, 206);
  limits = {};
  limits.requests = 0;
  server_->set_limits(limits);
  EXPECT_EQ(ask_bytes(kRange, "fault").status, 503);
  EXPECT_FALSE(ask_bytes(kRange, "pull").header("Swarmfs-Wait")) << "that is not the cap's";
}

TEST_F(DemandServerTest, gives_back_what_it_could_not_give) {
  ServeLimits limits;
  limits.bulk_rate = 1;
  serve(limits);
  holdings_.fault_ = Fault::not_found;
  EXPECT_EQ(ask_bytes(kRange, "pull").status, 404);
  const DemandClient::Query others{
      {"repository", kRepository}, {"class", "pull"}, {"name", layer_.digest.hex()}};
  EXPECT_EQ(ask(path("/windows"), others, util::ByteRange{0, 4 << 20}).status, 404);
  holdings_.fault_.reset();
  EXPECT_EQ(ask_bytes(kRange, "pull").status, 206);
  EXPECT_EQ(ask_bytes(kRange, "pull").status, 503);
}

TEST_F(DemandServerTest, what_it_does_not_give_is_not_counted_against_the_cap) {
  ServeLimits limits;
  limits.bulk_rate = 1;
  serve(limits);
  their_views_.interest(layer_, clock_.now());
  their_table_.met({"10.0.0.9", 7946}, "other", "");
  their_views_.heard({"10.0.0.9", 7946}, kRepository, {layer_.digest},
                     {"", {{layer_.digest, news(true)}}}, clock_.now());
  const auto all = std::exchange(holdings_.held_->presence, {});
  EXPECT_EQ(ask_bytes(kRange, "pull", true).status, 503) << "another has it";
  holdings_.held_->presence = all;
  EXPECT_EQ(ask_bytes(kRange, "pull").status, 206);
}

TEST_F(DemandServerTest, answers_with_how_a_read_failed) {
  const std::map<Fault, int> statuses{{Fault::not_found, 404}, {Fault::denied, 403},
                                      {Fault::timed_out, 504}, {Fault::unavailable, 503},
                                      {Fault::corrupt, 503},   {Fault::no_space, 503}};
  for (const auto& [fault, status] : statuses) {
    holdings_.fault_ = fault;
    EXPECT_EQ(ask_bytes(kRange).status, status) << to_string(fault);
  }
}

TEST_F(DemandServerTest, may_die_with_reads_under_way) {
  const auto gate = hold_first_read();
  std::promise<int> ended;
  const auto exchange = start_bytes(kRange, "fault", [&](int status) { ended.set_value(status); });
  gate->begun.get_future().wait();
  server_.reset();
  EXPECT_NE(ended.get_future().get(), 206);
  EXPECT_TRUE(gate->cancelled);
}

TEST_F(DemandServerTest, gives_windows_by_their_name) {
  holdings_.windows_name_ = util::Sha256::of(util::as_bytes("windows"));
  holdings_.windows_ = content().substr(0, 50'000);
  DemandClient::Query query{
      {"repository", kRepository}, {"class", "fault"}, {"name", holdings_.windows_name_.hex()}};
  const auto given = ask(path("/windows"), query, util::ByteRange{16'384, 20'000});
  EXPECT_EQ(given.status, 206);
  EXPECT_TRUE(given.body == content().substr(16'384, 20'000));
  EXPECT_EQ(given.header("Content-Range"), "bytes 16384-36383/*");
  query["name"] = layer_.digest.hex();
  EXPECT_EQ(ask(path("/windows"), query, util::ByteRange{0, 10}).status, 404) << "others";
  query["name"] = "12";
  EXPECT_EQ(ask(path("/windows"), query, util::ByteRange{0, 10}).status, 400);
  query["name"] = holdings_.windows_name_.hex();
  EXPECT_EQ(ask(path("/windows"), query, util::ByteRange{0, 5 << 20}).status, 416);
  EXPECT_EQ(ask(path("/windows"), query).status, 416);
  query["repository"] = "docker.io/library/other";
  EXPECT_EQ(ask(path("/windows"), query, util::ByteRange{0, 10}).status, 404);
  query["repository"] = kRepository;
  holdings_.access_.known_public = false;
  EXPECT_EQ(ask(path("/windows"), query, util::ByteRange{0, 10}).status, 403);
}

}  // namespace
}  // namespace swarmfs::swarm
