// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/news_rounds.h"

#include "swarm/demand_fixture.h"
#include "swarm/fake_holdings.h"
#include "swarm/proof.h"

namespace swarmfs::swarm {
namespace {

using namespace std::chrono_literals;
using util::Fault;

class NewsRoundsTest : public DemandTest {
 protected:
  std::string told(bool all) const {
    return News{"there", {{layer_.digest, news(all, true)}}}.to_json();
  }
  void start(const std::vector<Endpoint>& peers) {
    rounds_ =
        std::make_unique<NewsRounds>(client_, table_, views_, registries_, holdings_, timers_);
    rounds_->set_known(peers);
  }
  template <class Ready>
  bool eventually(Ready ready) {
    const auto until = clock_.now() + 10s;
    while (!ready() && clock_.now() < until) rounds_->wait_for_news(clock_.now() + 100ms);
    return ready();
  }
  std::vector<LayerViews::Member> members() {
    return views_.members(layer_.digest, {0, 1}, clock_.now());
  }

  RegistryViews registries_;
  FakeHoldings holdings_;
  std::unique_ptr<NewsRounds> rounds_;
};

TEST_F(NewsRoundsTest, hears_who_has_a_layer_that_is_wanted) {
  Peer& holder = peer("a", [&](auto&) { return Peer::answer(200, told(true)); });
  views_.interest(layer_, clock_.now());
  start({at(holder)});
  ASSERT_TRUE(eventually([&] { return !members().empty(); }));
  EXPECT_TRUE(members()[0].holds && members()[0].sealed);
  EXPECT_EQ(members()[0].endpoint, at(holder));
  EXPECT_EQ(members()[0].repository, kRepository);
  EXPECT_EQ(table_.find(at(holder))->node_id, "a");
  EXPECT_EQ(table_.find(at(holder))->zone, "there");
  const auto target = holder.asked().front().target;
  EXPECT_TRUE(target.starts_with("/v1/layers?layers=" + layer_.digest.hex() + "&port=4711"));
  EXPECT_NE(target.find("&runs=1&"), std::string::npos) << target;
}

TEST_F(NewsRoundsTest, asks_more_often_while_a_layer_begins) {
  const auto times = std::make_shared<util::Sync<std::vector<util::SteadyTime>>>();
  Peer& holder = peer("a", [this, times](auto&) {
    times->lock()->push_back(clock_.now());
    return Peer::answer(200, told(false));
  });
  const auto gaps = [&](size_t count) {
    EXPECT_TRUE(eventually([&] { return times->lock()->size() > count; }));
    const auto seen = *times->lock();
    std::vector<util::Duration> made;
    for (size_t i = 1; i < seen.size(); ++i) made.push_back(seen[i] - seen[i - 1]);
    return made;
  };
  views_.interest(layer_, clock_.now());
  start({at(holder)});
  auto usual = gaps(5);
  std::sort(usual.begin(), usual.end());
  EXPECT_GT(usual[usual.size() / 2], kNewsPeriod / 2);
  times->lock()->clear();
  rounds_->begin();
  const auto first = gaps(6);
  EXPECT_LT(*std::min_element(first.begin(), first.end()), kNewsPeriod / 2);
}

TEST_F(NewsRoundsTest, asks_in_every_repository_of_a_layer) {
  Peer& holder = peer("a", [&](auto& asked) {
    return asked.target.find("other") == std::string::npos ? Peer::answer(403, "no\n")
                                                           : Peer::answer(200, told(true));
  });
  auto twice = layer_;
  twice.origins.push_back({"docker.io", "library/other"});
  views_.interest(twice, clock_.now());
  start({at(holder)});
  ASSERT_TRUE(eventually([&] { return !members().empty(); }));
  EXPECT_EQ(members()[0].repository, "docker.io/library/other");
}

TEST_F(NewsRoundsTest, asks_the_shareholders_that_a_peer_names) {
  Peer& owner = peer("owner", [&](auto&) { return Peer::answer(200, told(true)); });
  Peer& teller = peer("teller", [&](auto&) {
    News said{"there", {{layer_.digest, news(false)}}};
    said.layers[layer_.digest].shareholders = {{"owner", at(owner)}, {"me", {"127.0.0.1", 9}}};
    return Peer::answer(200, said.to_json());
  });
  views_.interest(layer_, clock_.now());
  start({at(teller)});
  ASSERT_TRUE(eventually([&] { return members().size() == 2; }));
  EXPECT_EQ(table_.find(at(owner))->node_id, "owner");
  EXPECT_FALSE(table_.find({"127.0.0.1", 9})) << "that is us";
  const auto owners = views_.shareholders_of(layer_.digest, clock_.now());
  EXPECT_EQ(owners,
            (std::map<std::string, Endpoint>{{"owner", at(owner)}, {"teller", at(teller)}}));
}

TEST_F(NewsRoundsTest, takes_no_news_from_itself) {
  Peer& mirror = peer("me", [&](auto&) { return Peer::answer(200, told(true)); });
  views_.interest(layer_, clock_.now());
  start({at(mirror)});
  EXPECT_TRUE(eventually([&] {
    const auto known = table_.find(at(mirror));
    return known && known->node_id == "me";
  }));
  EXPECT_TRUE(members().empty());
  EXPECT_TRUE(table_.candidates(1).empty());
}

TEST(News, that_names_shareholders_out_of_bounds_is_refused) {
  const auto digest = util::Sha256::of(util::as_bytes("layer"));
  const auto text = [&](const std::string& named) {
    return "{\"zone\":\"\",\"layers\":{\"" + digest.hex() +
           "\":{\"size\":0,\"wants\":true,\"sealed\":false,\"blocks\":\"\"" + named + "}}}";
  };
  ASSERT_TRUE(News::parse(text(""))) << "an older node names nobody";
  const auto read = News::parse(text(",\"shareholders\":{\"id\":\"[fd00::1]:7946\"}"));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->layers.at(digest).shareholders,
            (std::map<std::string, Endpoint>{{"id", {"fd00::1", 7946}}}));
  std::string many;
  for (int i = 0; i < 65; ++i) many += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"10.0.0.1:1\"";
  for (const std::string& bad : std::vector<std::string>{
           "[]", "{\"id\":7}", "{\"id\":\"10.0.0.3\"}", "{\"id\":\"node-7:7946\"}",
           "{\"\":\"10.0.0.3:1\"}", "{\"" + std::string(129, 'x') + "\":\"10.0.0.3:1\"}",
           "{" + many + "}"})
    EXPECT_FALSE(News::parse(text(",\"shareholders\":" + bad))) << bad.substr(0, 40);
}

TEST(News, tells_what_comes_over_a_node_s_link) {
  News said;
  said.link = 12'500'000;
  const std::string text = said.to_json();
  EXPECT_EQ(News::parse(text)->link, 12'500'000u);
  EXPECT_EQ(News::parse(News{}.to_json())->link, 0u);
  for (const char* bad : {"-1", "1.5", "\"fast\"", "null", "99999999999999999999"}) {
    std::string changed = text;
    EXPECT_FALSE(News::parse(changed.replace(changed.find("12500000"), 8, bad))) << bad;
  }
}

TEST(News, tells_whether_a_node_is_full) {
  EXPECT_EQ(News{}.to_json(), "{\"layers\":{},\"zone\":\"\"}") << "as an older node says it";
  News said;
  said.full = true;
  const std::string text = said.to_json();
  for (const bool full : {false, true}) {
    said.full = full;
    const auto read = News::parse(said.to_json());
    ASSERT_TRUE(read);
    EXPECT_EQ(read->full, full);
  }
  const auto with = [&](const std::string& what) {
    std::string changed = text;
    return changed.replace(changed.find("true"), 4, what);
  };
  ASSERT_TRUE(News::parse(with("false")));
  for (const char* bad : {"1", "null", "\"true\"", "[true]", "{}", "tru"})
    EXPECT_FALSE(News::parse(with(bad))) << bad;
}

TEST(News, tells_what_is_only_on_its_way) {
  const auto digest = util::Sha256::of(util::as_bytes("layer"));
  LayerNews layer{100 * chunk::kBlockSize, true, false, BlockSet(100)};
  layer.blocks.add({10, 30});
  layer.coming = {{20, 5}};
  const std::string text = News{"", {{digest, layer}}}.to_json();
  const auto read = News::parse(text);
  ASSERT_TRUE(read);
  const LayerNews& said = read->layers.at(digest);
  EXPECT_EQ(said, layer);
  EXPECT_TRUE(said.has_here({10, 10}));
  EXPECT_FALSE(said.has_here({15, 6})) << "the last of it is on its way";
  EXPECT_FALSE(said.has_here({24, 2}));
  EXPECT_TRUE(said.has_here({25, 15}));
  EXPECT_FALSE(said.has_here({39, 2})) << "it has not";
  const auto with = [&](const std::string& coming) {
    std::string changed = text;
    const std::string was = "[[20,5]]";
    return changed.replace(changed.find(was), was.size(), coming);
  };
  ASSERT_TRUE(News::parse(with("[[0,100]]")));
  std::string many = "[[1,1]";
  for (int i = 0; i < 256; ++i) many += ",[1,1]";
  for (const std::string& bad : std::vector<std::string>{"7", "{}", "[7]", "[[1]]", "[[0,101]]",
                                                         "[[101,0]]", "[[1,18446744073709551615]]",
                                                         "[[-1,2]]", "[[\"a\",2]]", many + "]"})
    EXPECT_FALSE(News::parse(with(bad))) << bad.substr(0, 40);
}

TEST(News, goes_by_runs_where_that_is_shorter) {
  const auto digest = util::Sha256::of(util::as_bytes("layer"));
  LayerNews chunks{2048 * chunk::kBlockSize, true, false, BlockSet(2048)};
  for (uint64_t at = 0; at < 2048; at += 256) chunks.blocks.add({at + 64, 64});
  LayerNews crumbs = chunks;
  for (uint64_t at = 0; at < 2048; at += 2) crumbs.blocks.add({at, 1});
  for (const auto& [layer, by_runs] : {std::pair(chunks, true), std::pair(crumbs, false)}) {
    const News news{"", {{digest, layer}}};
    const std::string text = news.to_json(true);
    EXPECT_EQ(text.find("\"runs\"") != std::string::npos, by_runs);
    EXPECT_EQ(text.find("\"blocks\"") == std::string::npos, by_runs);
    EXPECT_LE(text.size(), news.to_json().size());
    const auto read = News::parse(text);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->layers.at(digest), layer);
  }
}

TEST(News, tells_by_runs_no_more_than_it_would_read) {
  News news;
  for (const char* name : {"a", "b", "c"}) {
    LayerNews& layer = news.layers[util::Sha256::of(util::as_bytes(std::string_view(name)))];
    layer.size = (1ull << 21) * chunk::kBlockSize;
    layer.blocks = BlockSet(1 << 21);
  }
  const auto read = News::parse(news.to_json(true));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->layers, news.layers);
}

TEST(News, of_runs_out_of_bounds_is_refused) {
  const auto digest = util::Sha256::of(util::as_bytes("layer"));
  const auto text = [&](const std::string& runs, uint64_t blocks = 100) {
    return "{\"zone\":\"\",\"layers\":{\"" + digest.hex() +
           "\":{\"size\":" + std::to_string(blocks * chunk::kBlockSize) +
           ",\"wants\":true,\"sealed\":false,\"runs\":" + runs + "}}}";
  };
  ASSERT_TRUE(News::parse(text("[10,90]")));
  ASSERT_TRUE(News::parse(text("[0,4194304]", 1 << 22)));
  EXPECT_FALSE(News::parse(text("[0,4194305]", (1 << 22) + 1))) << "few bytes make many";
  for (const char* bad :
       {"7", "\"\"", "{}", "null", "[]", "[10.5,89.5]", "[true,99]", "[1e300,1]", "[99]", "[101]",
        "[0,0,100]", "[-1,101]", "[[10,90]]", "[\"10\",90]", "[18446744073709551615,101]"})
    EXPECT_FALSE(News::parse(text(bad))) << bad;
}

TEST_F(NewsRoundsTest, greets_who_is_there_without_a_topic) {
  Peer& other = peer("a", [](auto&) { return Peer::answer(200, News{}.to_json()); });
  start({at(other)});
  EXPECT_TRUE(other.wait_for_requests(1));
  EXPECT_TRUE(eventually([&] {
    const auto known = table_.find(at(other));
    return known && known->node_id == "a";
  }));
}

TEST_F(NewsRoundsTest, bans_who_talks_nonsense) {
  Peer& odd = peer("odd", [](auto&) { return Peer::answer(200, "{\"zone\":1}"); });
  views_.interest(layer_, clock_.now());
  start({at(odd)});
  EXPECT_TRUE(eventually([&] { return table_.banned("odd"); }));
  EXPECT_EQ(odd.asked().size(), 1u);
}

TEST_F(NewsRoundsTest, hears_of_registries_also_from_who_gives_nothing) {
  const auto name = registry_name("r.example.com");
  Peer& stranger = peer("a", [name](auto&) {
    return Peer::answer(403, "", "Swarmfs-Registries: " + name.hex() + ";asks;held=30000" + "\r\n");
  });
  views_.interest(layer_, clock_.now());
  start({at(stranger)});
  ASSERT_TRUE(eventually([&] { return registries_.of(name, clock_.now()).asking == 1; }));
  EXPECT_GT(registries_.of(name, clock_.now()).held_until, clock_.now() + 10s);
}

TEST_F(NewsRoundsTest, bans_who_talks_nonsense_of_registries) {
  Peer& odd = peer("odd", [&](auto&) {
    return Peer::answer(200, told(true), "Swarmfs-Registries: docker.io;asks\r\n");
  });
  views_.interest(layer_, clock_.now());
  start({at(odd)});
  EXPECT_TRUE(eventually([&] { return table_.banned("odd"); }));
}

TEST_F(NewsRoundsTest, tells_of_the_registries_that_are_asked_here_or_will_be) {
  holdings_.registries_ = {{"mirror.example.com", {true, 0ms}}, {"held.example.com", {false, 7ms}}};
  auto wanted = layer_;
  wanted.origins = {{"docker.io", "library/nginx"}};
  views_.interest(wanted, clock_.now());
  start({});
  const RegistryWords told{{registry_name("mirror.example.com"), {true, 0ms}},
                           {registry_name("held.example.com"), {false, 7ms}},
                           {registry_name("docker.io"), {true, 0ms}}};
  EXPECT_TRUE(eventually([&] { return rounds_->registry_words().size() == 3; }));
  EXPECT_EQ(rounds_->registry_words(), told);
}

TEST_F(NewsRoundsTest, lets_who_is_away_or_never_ends_be_silent) {
  for (const auto then : {Then::hang_up, Then::overflow}) {
    const auto text = then == Then::hang_up ? "" : "HTTP/1.1 200 x\r\n\r\n";
    Peer& away = peer("away", [=](auto&) { return says(text, then); });
    views_.interest(layer_, clock_.now());
    start({at(away)});
    EXPECT_TRUE(eventually([&] {
      const auto known = table_.find(at(away));
      return known && known->failures > 0;
    }));
    EXPECT_TRUE(members().empty());
  }
}

TEST_F(NewsRoundsTest, shows_its_proof_once_it_knows_whom_it_asks) {
  const auto manifest = util::Sha256::of(util::as_bytes("manifest"));
  access_.secrets[manifest] = util::Sha256::of(util::as_bytes("secret"));
  Peer& strict = peer("strict", [&](auto& asked) {
    return asked.header("Swarmfs-Proof").empty() ? Peer::answer(403, "show it\n")
                                                 : Peer::answer(200, told(true));
  });
  views_.interest(layer_, clock_.now());
  start({at(strict)});
  EXPECT_TRUE(eventually([&] { return !members().empty(); }));
  EXPECT_EQ(strict.asked().at(1).header("Swarmfs-Proof"),
            make_proof(access_, "strict", "me", kRepository));
}

TEST_F(NewsRoundsTest, may_die_while_somebody_is_asked) {
  Peer& slow = peer("slow", [](auto&) { return says("", Then::wait); });
  views_.interest(layer_, clock_.now());
  start({at(slow)});
  EXPECT_TRUE(slow.wait_for_requests(1));
  rounds_.reset();
  EXPECT_TRUE(slow.wait_for_departures(1));
  EXPECT_EQ(table_.find(at(slow))->in_flight, 0u);
}

class DemandClientTest : public DemandTest {
 protected:
  util::Outcome<std::string> get(const Peer& peer, std::chrono::milliseconds patience = 10s) {
    return client_.get(at(peer), "/v1/x", {{"repository", kRepository}}, patience, 1'000);
  }
};

TEST_F(DemandClientTest, gets_a_document_or_says_what_became_of_it) {
  EXPECT_EQ(*get(peer("a", [](auto&) { return Peer::answer(200, "document"); })), "document");
  const std::vector<std::pair<Peer::Answer, Fault>> answers{
      {Peer::answer(404, ""), Fault::not_found},
      {Peer::answer(403, ""), Fault::denied},
      {Peer::answer(500, ""), Fault::unavailable},
      {Peer::answer(200, std::string(1'001, 'x')), Fault::invalid},
      {says("HTTP/1.1 200 x\r\n\r\n", Then::overflow), Fault::invalid},
      {says("HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nshort", Then::hang_up),
       Fault::unavailable}};
  for (size_t i = 0; i < answers.size(); ++i) {
    Peer& one = peer("b", [&](auto&) { return answers[i].first; });
    table_.met(at(one), "b", "");
    EXPECT_EQ(get(one).failure().fault, answers[i].second) << i;
    EXPECT_EQ(one.asked().size(), 1u) << i;
    EXPECT_EQ(table_.find(at(one))->in_flight, 0u) << i;
  }
  Peer& mute = peer("mute", [](auto&) { return says("", Then::wait); });
  EXPECT_EQ(get(mute, 100ms).failure().fault, Fault::timed_out);
  EXPECT_EQ(get(mute).failure().fault, Fault::unavailable) << "it is silent for a second";
  EXPECT_LE(mute.asked().size(), 1u) << "none where the handshake took the 100 ms";
}

TEST_F(DemandClientTest, is_denied_by_who_does_not_trust_its_certificate) {
  const support::Authority other("cluster");
  Peer& stranger = peers_.emplace_back(ca_.issue("a"), other.pem(),
                                       [](auto&) { return Peer::answer(200, "document"); });
  const auto answer = get(stranger);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.failure().fault, Fault::denied) << answer.failure().message;
  EXPECT_NE(table_.find(at(stranger))->failure.find("rejects our certificate"), std::string::npos);
  EXPECT_TRUE(stranger.asked().empty());
}

}  // namespace
}  // namespace swarmfs::swarm
