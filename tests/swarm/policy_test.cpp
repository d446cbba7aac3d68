// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>

namespace swarmfs::swarm {
namespace {

using chunk::Class;
using std::chrono::milliseconds;
using std::chrono::seconds;
using util::Duration;

const util::Digest kLayer = util::Sha256::of(util::as_bytes("layer"));

std::vector<std::string> members(size_t count) {
  std::vector<std::string> result;
  for (size_t i = 0; i < count; ++i)
    result.push_back(util::Sha256::of(util::as_bytes(std::to_string(i))).hex().substr(0, 32));
  return result;
}

Candidate peer(const std::string& id, Duration expected = milliseconds(5),
               const std::string& zone = "") {
  Candidate made;
  made.endpoint = Endpoint{id + ".local", 7946};
  made.node_id = id;
  made.zone = zone;
  made.expected = expected;
  return made;
}

/// The node ids of the steps, "registry" for it.
std::vector<std::string> names(const Question& question) {
  std::vector<std::string> result;
  for (const Step& step : steps(question))
    result.push_back(step.peer ? question.peers[*step.peer].node_id : "registry");
  return result;
}

Question question(std::span<const Candidate> peers, Class cls = Class::pull) {
  Question result;
  result.layer = kLayer;
  result.cls = cls;
  result.self = "self";
  result.peers = peers;
  return result;
}

std::vector<size_t> owners(const util::Digest& layer, uint64_t chunk,
                           const std::vector<std::string>& members, size_t count) {
  const std::vector<std::string_view> views(members.begin(), members.end());
  return swarm::owners(layer, chunk, views, count);
}

/// A chunk whose owners come in this order.
uint64_t chunk_owned_by(const std::vector<std::string>& order) {
  for (uint64_t chunk = 0;; ++chunk) {
    const auto found = owners(kLayer, chunk, order, order.size());
    if (std::is_sorted(found.begin(), found.end())) return chunk;
  }
}

TEST(Rendezvous, weighs_the_same_on_every_machine) {
  EXPECT_EQ(Rendezvous(util::Digest(), 0)(""), 16495171091374299981ULL);
}

TEST(Rendezvous, agrees_whatever_the_order_in_which_members_are_known) {
  auto forth = members(9);
  auto back = forth;
  std::reverse(back.begin(), back.end());
  for (uint64_t chunk = 0; chunk < 100; ++chunk) {
    const auto a = owners(kLayer, chunk, forth, 3);
    const auto b = owners(kLayer, chunk, back, 3);
    ASSERT_EQ(a.size(), 3u);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(forth[a[i]], back[b[i]]);
    const Rendezvous weigh(kLayer, chunk);
    EXPECT_GT(weigh(forth[a[0]]), weigh(forth[a[1]]));
  }
  EXPECT_EQ(owners(kLayer, 0, members(2), 5).size(), 2u);
  EXPECT_TRUE(owners(kLayer, 0, {}, 5).empty());
}

TEST(Rendezvous, deals_fairly_and_moves_only_the_share_of_who_leaves) {
  const auto all = members(8);
  const std::vector<std::string> rest(all.begin(), all.end() - 1);
  std::map<size_t, int> dealt;
  for (uint64_t chunk = 0; chunk < 8000; ++chunk) {
    const size_t owner = owners(kLayer, chunk, all, 1).front();
    dealt[owner]++;
    const size_t after = owners(kLayer, chunk, rest, 1).front();
    if (owner != 7)
      EXPECT_EQ(after, owner);
    else
      EXPECT_EQ(after, owners(kLayer, chunk, all, 2).back()) << "the next in order takes over";
  }
  for (const auto& [owner, count] : dealt) EXPECT_NEAR(count, 1000, 150) << owner;
}

TEST(Choose, takes_our_zone_first_then_the_quickest_counting_our_queue) {
  std::vector<Candidate> peers{
      peer("far", milliseconds(1), "b"), peer("slow", milliseconds(9), "a"),
      peer("quick", milliseconds(4), "a"), peer("busy", milliseconds(3), "a")};
  peers[3].in_flight = 1;
  EXPECT_EQ(choose(peers, "a"), (std::vector<size_t>{2, 3, 1, 0}));
  EXPECT_EQ(choose(peers, "b"), (std::vector<size_t>{0, 2, 3, 1}));
  peers[2].node_id = peers[1].node_id;
  EXPECT_EQ(choose(peers, "a"), (std::vector<size_t>{2, 3, 0})) << "one node, two endpoints";
}

TEST(HedgeDelay, follows_the_p95_within_bounds) {
  const auto with = [](Duration p95, Duration relay) {
    return Candidate{{}, "", "", {}, p95, relay, 0};
  };
  const std::tuple<Class, Duration, Duration, Duration, bool, Duration> table[] = {
      {Class::fault, {}, {}, {}, true, milliseconds(20)},
      {Class::fault, milliseconds(24), {}, {}, true, milliseconds(30)},
      {Class::fault, seconds(9), {}, {}, true, milliseconds(50)},
      {Class::fault, milliseconds(24), seconds(9), seconds(9), false, milliseconds(180)},
      {Class::pull, seconds(9), {}, {}, true, milliseconds(500)},
      {Class::backfill, {}, {}, {}, false, seconds(1)},
      {Class::backfill, {}, milliseconds(500), {}, false, seconds(2)},
      {Class::backfill, {}, milliseconds(500), seconds(1), false, seconds(4)},
      {Class::prefetch, {}, seconds(90), {}, false, seconds(20)},
  };
  for (const auto& [cls, p95, relay, registry, has_it, delay] : table)
    EXPECT_EQ(hedge_delay(cls, with(p95, relay), has_it, registry), delay)
        << chunk::to_string(cls) << " " << delay.count();
  Candidate coming = with({}, milliseconds(500));
  coming.coming = true;
  EXPECT_EQ(hedge_delay(Class::pull, coming, true, {}), seconds(2)) << "from the registry first";
  EXPECT_EQ(hedge_delay(Class::fault, coming, true, {}), milliseconds(20));
}

TEST(MostAtOnce, is_a_quarter_of_a_chunk_that_comes_to_its_holder_and_that_few_want) {
  constexpr uint64_t kAll = UINT64_MAX, kQuarter = 256 << 10;
  EXPECT_EQ(most_at_once(Class::pull, true, 0), kQuarter);
  EXPECT_EQ(most_at_once(Class::backfill, true, 8), kQuarter);
  EXPECT_EQ(most_at_once(Class::pull, true, 9), kAll);
  EXPECT_EQ(most_at_once(Class::pull, false, 3), kAll);
  EXPECT_EQ(most_at_once(Class::fault, true, 3), kAll);
}

TEST(Steps, alone_we_go_to_the_registry) {
  EXPECT_EQ(names(question({})), (std::vector<std::string>{"registry"}));
  const std::vector<Candidate> strangers{peer("")};
  EXPECT_EQ(names(question(strangers)), (std::vector<std::string>{"registry"}))
      << "who was never met owns nothing";
}

TEST(Steps, our_own_share_comes_from_the_registry_and_the_others_from_their_owners) {
  const std::vector<Candidate> peers{peer("a"), peer("b")};
  Question it = question(peers);
  it.chunk = chunk_owned_by({"self", "a", "b"});
  EXPECT_EQ(names(it), (std::vector<std::string>{"registry"}));
  it.chunk = chunk_owned_by({"a", "self", "b"});
  EXPECT_EQ(names(it), (std::vector<std::string>{"a", "registry"}));
  it.chunk = chunk_owned_by({"a", "b", "self"});
  EXPECT_EQ(names(it), (std::vector<std::string>{"a", "b", "registry"}));
  EXPECT_EQ(steps(it)[1].hedge, 4 * steps(it)[0].hedge);
  EXPECT_EQ(steps(it)[2].hedge, Duration::max());
  it.cls = Class::fault;
  EXPECT_EQ(names(it), (std::vector<std::string>{"a", "registry"})) << "a reader does not wait";
}

TEST(Steps, of_who_has_its_own_share_lead_to_the_registry_where_it_is_next_and_nobody_has_it) {
  const std::vector<Candidate> peers{peer("a"), peer("b")};
  const std::tuple<std::vector<std::string>, std::vector<size_t>, Class, std::vector<std::string>>
      table[] = {
          {{"a", "self", "b"}, {}, Class::pull, {"registry"}},
          {{"a", "b", "self"}, {}, Class::pull, {"a", "b", "registry"}},
          {{"a", "self", "b"}, {1}, Class::pull, {"b", "a", "registry"}},
          {{"a", "self", "b"}, {}, Class::fault, {"a", "registry"}},
      };
  for (const auto& [order, holders, cls, expected] : table) {
    Question it = question(peers, cls);
    it.spare = true;
    it.chunk = chunk_owned_by(order);
    it.holders = holders;
    EXPECT_EQ(names(it), expected) << order[1] << " " << holders.size();
  }
}

TEST(Steps, holders_come_before_owners_even_before_ourselves) {
  const std::vector<Candidate> peers{peer("a"), peer("b"), peer("c", milliseconds(1)), peer("d"),
                                     peer("e", milliseconds(90))};
  Question it = question(peers);
  it.chunk = chunk_owned_by({"self", "a", "b", "c", "d", "e"});
  it.holders = {1, 2};
  EXPECT_EQ(names(it), (std::vector<std::string>{"c", "b", "registry"}));
  it.holders = {4, 3, 2, 1};
  EXPECT_EQ(names(it), (std::vector<std::string>{"c", "b", "d", "registry"})) << "three at most";
  it.chunk = chunk_owned_by({"a", "b", "c", "d", "e", "self"});
  it.holders = {2, 0};
  EXPECT_EQ(names(it), (std::vector<std::string>{"c", "a", "b", "registry"})) << "none twice";
  it.cls = Class::fault;
  it.holders = {2};
  EXPECT_EQ(names(it), (std::vector<std::string>{"c", "registry"}));
}

TEST(Steps, of_bulk_go_to_who_is_not_full_first_but_stay_in_the_zone) {
  std::vector<Candidate> peers{peer("a"), peer("b"), peer("c")};
  peers[2].zone = "elsewhere";
  Question it = question(peers);
  it.cls = Class::pull;
  it.chunk = chunk_owned_by({"self", "a", "b", "c"});
  it.holders = {0, 1, 2};
  EXPECT_EQ(names(it), (std::vector<std::string>{"a", "b", "c", "registry"}));
  peers[0].full = true;
  EXPECT_EQ(names(it), (std::vector<std::string>{"b", "a", "c", "registry"}));
  it.cls = Class::fault;
  EXPECT_EQ(names(it), (std::vector<std::string>{"a", "b", "c", "registry"}));
}

TEST(IsToBeHad, unless_few_have_all_that_many_want) {
  const std::tuple<ChunkCopies, bool> table[] = {
      {{0, 0, 0}, false}, {{0, 1, 0}, true}, {{0, 1, 1}, false}, {{0, 2, 1}, true},
      {{0, 1, 7}, false}, {{1, 0, 1}, true}, {{1, 1, 7}, true},  {{0, 8, 7}, true},
  };
  for (const auto& [copies, expected] : table)
    EXPECT_EQ(is_to_be_had(copies), expected)
        << copies.of_wanting << " " << copies.of_others << " " << copies.wanting;
}

TEST(IsToBeHad, by_a_crowd_unless_all_who_have_it_are_full) {
  const std::tuple<ChunkCopies, bool> table[] = {
      {{1, 0, 9, 1}, false}, {{2, 0, 9, 1}, true}, {{0, 10, 9, 10}, false},
      {{1, 9, 9, 9}, true},  {{1, 0, 8, 1}, true}, {{0, 9, 8, 9}, true},
  };
  for (const auto& [copies, expected] : table)
    EXPECT_EQ(is_to_be_had(copies), expected) << copies.of_wanting << " " << copies.of_others << " "
                                              << copies.wanting << " " << copies.full;
}

TEST(IsOurs, goes_by_the_shares_whoever_has_the_chunk) {
  std::vector<Candidate> peers{peer("a"), peer("b", seconds(5)), peer("c"), peer("has it")};
  for (size_t i = 0; i < 3; ++i) peers[i].wants = true;
  Question it = question(peers);
  it.chunk = chunk_owned_by({"self", "a", "b", "c"});
  EXPECT_TRUE(is_ours(it));
  it.holders = {0, 2};
  EXPECT_TRUE(is_ours(it));
  it.chunk = chunk_owned_by({"a", "self", "b", "c"});
  EXPECT_FALSE(is_ours(it));
  it.chunk = chunk_owned_by({"b", "self", "a", "c"});
  EXPECT_TRUE(is_ours(it)) << "b is far behind";
  it.chunk = chunk_owned_by({"has it", "self", "a", "c"});
  EXPECT_TRUE(is_ours(it)) << "who has it brings nothing in";
  EXPECT_TRUE(is_ours(question({}))) << "alone";
}

TEST(IsOurs, not_on_a_link_far_narrower_than_those_of_the_others) {
  std::vector<Candidate> peers{peer("a"), peer("b"), peer("c")};
  for (Candidate& one : peers) one.wants = true;
  Question it = question(peers);
  const auto ours_of = [&](double self, std::array<double, 3> others) {
    for (size_t i = 0; i < 3; ++i) peers[i].link = others[i];
    it.link = self;
    it.chunk = chunk_owned_by({"self", "a", "b", "c"});
    return is_ours(it);
  };
  constexpr double kLink = 12e6;
  const std::tuple<double, std::array<double, 3>, bool, const char*> table[] = {
      {kLink, {kLink, kLink, kLink}, true, "all alike"},
      {kLink / 5, {kLink, kLink, kLink}, false, "a fifth of the others'"},
      {kLink / 4, {kLink, kLink, kLink}, true, "a quarter"},
      {0, {kLink, kLink, kLink}, true, "ours is not known"},
      {kLink / 5, {kLink, 0, 0}, true, "who is narrow of two?"},
      {kLink / 5, {kLink, kLink, 0}, false, "two of three"},
      {kLink / 5, {kLink / 5, kLink / 5, kLink}, true, "most are like us"},
      {kLink / 5, {kLink / 5, kLink, kLink}, true, "half are"},
      {50e3, {400e3, 400e3, 400e3}, true, "nobody gets anything"},
  };
  for (const auto& [self, others, ours, what] : table)
    EXPECT_EQ(ours_of(self, others), ours) << what;
  ours_of(kLink / 5, {kLink, kLink, kLink});
  for (Candidate& one : peers) one.wants = false;
  EXPECT_TRUE(is_ours(it)) << "nobody else brings it";
}

TEST(IsOurs, measures_links_against_those_who_bring_it_in) {
  std::vector<Candidate> peers{peer("a"), peer("b"), peer("x"), peer("y"), peer("z")};
  for (size_t i = 0; i < peers.size(); ++i) {
    peers[i].wants = i < 2;
    peers[i].link = i < 2 ? 1e6 : 100e6;
  }
  Question it = question(peers);
  it.link = 1e6;
  it.chunk = chunk_owned_by({"a", "self", "b"});
  EXPECT_FALSE(is_ours(it));
  it.chunk = chunk_owned_by({"self", "a", "b"});
  EXPECT_TRUE(is_ours(it));
}

TEST(Steps, measure_links_against_those_of_the_zones_that_may_be_asked) {
  std::vector<Candidate> peers;
  for (const char* far : {"u", "v", "w", "x", "y", "z"})
    peers.push_back(peer(far, milliseconds(5), "far"));
  for (const char* near : {"a", "b"}) peers.push_back(peer(near));
  for (Candidate& one : peers) one.link = one.zone.empty() ? 1e6 : 100e6;
  Question it = question(peers);
  it.link = 1e6;
  it.cross_zone = false;
  it.chunk = chunk_owned_by({"a", "b", "self"});
  EXPECT_EQ(names(it), (std::vector<std::string>{"a", "b", "registry"}));
}

TEST(Steps, pass_over_owners_on_narrow_links_themselves_among_them) {
  std::vector<Candidate> peers{peer("a"), peer("b"), peer("c")};
  for (Candidate& one : peers) one.link = 12e6;
  peers[0].link = 2e6;
  Question it = question(peers);
  it.link = 12e6;
  it.chunk = chunk_owned_by({"a", "b", "c", "self"});
  EXPECT_EQ(names(it), (std::vector<std::string>{"b", "c", "registry"}));
  peers[0].link = 12e6;
  it.link = 2e6;
  it.chunk = chunk_owned_by({"self", "b", "c", "a"});
  EXPECT_EQ(names(it), (std::vector<std::string>{"b", "c", "registry"}));
  it.holders = {0};
  EXPECT_EQ(names(it).front(), "a") << "better slowly than from the registry";
}

TEST(Steps, pass_over_owners_that_are_far_behind) {
  const std::vector<Candidate> peers{peer("a", seconds(5)), peer("b"), peer("c")};
  Question it = question(peers);
  it.chunk = chunk_owned_by({"a", "b", "c", "self"});
  EXPECT_EQ(names(it), (std::vector<std::string>{"b", "c", "registry"}));
  it.holders = {0};
  EXPECT_EQ(names(it).front(), "a") << "better slowly than from the registry";
}

TEST(Steps, leave_out_other_zones_when_their_budget_is_used_up) {
  const std::vector<Candidate> peers{peer("a", milliseconds(5), "far"), peer("b")};
  Question it = question(peers);
  it.chunk = chunk_owned_by({"a", "b", "self"});
  it.holders = {0};
  it.cross_zone = false;
  EXPECT_EQ(names(it), (std::vector<std::string>{"b", "registry"}));
}

TEST(IsScarce, while_no_more_have_it_than_want_it_and_none_of_these) {
  std::vector<Candidate> peers{peer("a"), peer("b"), peer("c"), peer("d"), peer("e")};
  peers[0].wants = peers[1].wants = true;
  const std::pair<std::vector<size_t>, bool> table[] = {
      {{}, false}, {{2}, true}, {{2, 3}, true}, {{2, 3, 4}, false}, {{0, 2}, false},
  };
  for (const auto& [holders, expected] : table) {
    Question it = question(peers);
    it.holders = holders;
    EXPECT_EQ(is_scarce(it), expected) << holders.size();
  }
}

TEST(Steps, of_holders_take_those_who_want_the_layer_where_the_others_are_few) {
  std::vector<Candidate> peers{peer("seed"), peer("a", milliseconds(15)), peer("b")};
  peers[1].wants = peers[2].wants = true;
  Question it = question(peers);
  it.holders = {0, 1};
  it.chunk = chunk_owned_by({"self", "seed", "a", "b"});
  EXPECT_EQ(names(it), (std::vector<std::string>{"a", "seed", "registry"}));
  peers[1].full = true;
  EXPECT_EQ(names(it), (std::vector<std::string>{"seed", "a", "registry"}));
  peers[1].full = false;
  peers[1].expected = milliseconds(50);
  EXPECT_EQ(names(it), (std::vector<std::string>{"seed", "a", "registry"})) << "a is narrow";
  peers[1].expected = milliseconds(15);
  it.cls = Class::fault;
  EXPECT_EQ(names(it), (std::vector<std::string>{"seed", "a", "registry"})) << "the fastest";
  it.cls = Class::pull;
  peers[2].wants = false;
  it.holders = {0, 1, 2};
  EXPECT_NE(names(it).front(), "a") << "they are not few: the fastest";
}

TEST(Steps, of_the_few_that_have_it_those_without_room_come_after_all_who_want_the_layer) {
  std::vector<Candidate> peers{
      peer("seed", milliseconds(10), "a"), peer("near", milliseconds(15), "a"),
      peer("far", milliseconds(20), "b"), peer("other", milliseconds(20), "a")};
  for (const size_t i : {1, 2, 3}) peers[i].wants = true;
  Question it = question(peers);
  it.zone = "a";
  it.holders = {0, 1, 2};
  const auto asked = [&] {
    auto made = names(it);
    made.resize(3);
    return made;
  };
  peers[1].busy = peers[2].busy = true;
  EXPECT_EQ(asked(), (std::vector<std::string>{"seed", "near", "far"})) << "it has room";
  peers[0].full = true;
  EXPECT_EQ(asked(), (std::vector<std::string>{"near", "far", "seed"}));
  peers[0].full = false;
  peers[0].busy = true;
  EXPECT_EQ(asked(), (std::vector<std::string>{"near", "far", "seed"}));
}

TEST(IsSlow, measures_against_the_crowd_and_alone_against_the_registry) {
  const std::vector<Candidate> crowd{peer("a", seconds(1)), peer("b", milliseconds(20)),
                                     peer("c", milliseconds(20)), peer("d", milliseconds(400))};
  EXPECT_TRUE(is_slow(crowd[0], crowd, {}));
  EXPECT_FALSE(is_slow(crowd[3], crowd, {})) << "not yet half a second";
  const std::vector<Candidate> all_slow{peer("a", seconds(3)), peer("b", seconds(2)),
                                        peer("c", seconds(2))};
  EXPECT_FALSE(is_slow(all_slow[0], all_slow, milliseconds(1)));
  const std::vector<Candidate> one{peer("a", seconds(3))};
  EXPECT_TRUE(is_slow(one[0], one, {}));
  EXPECT_FALSE(is_slow(one[0], one, seconds(1))) << "the registry is slow as well";
}

TEST(Lags, looks_at_silence_and_at_the_rate) {
  const uint64_t mib = 1 << 20;
  const std::tuple<const char*, Class, Progress, bool> table[] = {
      {"nothing yet", Class::fault, {mib, 0, seconds(9), {}, seconds(9)}, false},
      {"all here", Class::fault, {mib, mib, seconds(9), {}, seconds(9)}, false},
      {"a silent fault", Class::fault, {mib, 1, milliseconds(110), {}, milliseconds(100)}, true},
      {"silent bulk", Class::pull, {mib, mib - 1, seconds(2), {}, seconds(1)}, true},
      {"bulk takes a breath", Class::pull, {mib, 1, seconds(1), {}, milliseconds(900)}, false},
      {"a crawling fault", Class::fault, {mib, 1000, milliseconds(60), {}, {}}, true},
      {"nearly there", Class::fault, {mib, mib - 1000, milliseconds(60), {}, {}}, false},
      {"crawling bulk", Class::pull, {mib, mib / 10, seconds(3), milliseconds(100), {}}, true},
      {"as expected", Class::pull, {mib, mib / 10, seconds(3), seconds(20), {}}, false},
  };
  for (const auto& [what, cls, progress, expected] : table)
    EXPECT_EQ(lags(cls, progress), expected) << what;
}

TEST(MayOvertake, bulk_does_not_while_our_own_link_is_full) {
  const std::tuple<Class, bool, bool> table[] = {
      {Class::fault, false, true}, {Class::fault, true, true},     {Class::pull, false, true},
      {Class::pull, true, false},  {Class::prefetch, true, false}, {Class::backfill, true, false}};
  for (const auto& [cls, congested, expected] : table)
    EXPECT_EQ(may_overtake(cls, congested), expected) << chunk::to_string(cls) << congested;
}

TEST(Busy, a_fault_goes_elsewhere_and_bulk_comes_again_for_a_while) {
  EXPECT_FALSE(pause_when_busy(Class::fault, 0));
  EXPECT_EQ(pause_when_busy(Class::pull, 0), milliseconds(50));
  EXPECT_EQ(pause_when_busy(Class::backfill, 19), milliseconds(400));
  EXPECT_EQ(pause_when_busy(Class::pull, 1000), milliseconds(400));
  EXPECT_EQ(wait_as_told(Class::pull, "777"), milliseconds(777));
  EXPECT_EQ(wait_as_told(Class::backfill, "0"), milliseconds(50));
  EXPECT_EQ(wait_as_told(Class::pull, "4000000000"), milliseconds(5'000));
  for (const char* nonsense : {"", "soon", "-5", "12ms", " 7", "99999999999999999999"})
    EXPECT_FALSE(wait_as_told(Class::pull, nonsense)) << nonsense;
  EXPECT_FALSE(wait_as_told(Class::fault, "777"));
}

TEST(Admission, keeps_room_for_faults) {
  const ServeLimits limits{.requests = 4, .bulk_requests = 2, .per_peer = 3, .bytes = 1000};
  const std::tuple<ServeLoad, Class, uint64_t, bool> table[] = {
      {{}, Class::pull, 100, true},
      {{}, Class::pull, 5000, true},  // alone, anything passes
      {{1, 1, 1, 900}, Class::pull, 101, false},
      {{1, 1, 1, 900}, Class::pull, 100, true},
      {{2, 2, 1, 0}, Class::pull, 1, false},
      {{2, 2, 1, 0}, Class::fault, 1, true},
      {{3, 1, 3, 0}, Class::pull, 1, false},
      {{3, 1, 3, 0}, Class::fault, 1, true},  // behind no bulk of its own
      {{4, 0, 1, 0}, Class::fault, 1, false},
  };
  const ServeLimits wide{.requests = 9, .per_peer = 3, .bytes = 1000};
  EXPECT_FALSE(admits(wide, {6, 0, 6, 0}, Class::fault, 1));
  for (const auto& [load, cls, length, admitted] : table)
    EXPECT_EQ(admits(limits, load, cls, length), admitted)
        << load.requests << " " << load.bytes << " " << length;
}

TEST(Admission, lets_bulk_that_is_here_flow_a_little_at_a_time) {
  const std::tuple<uint64_t, Class, uint64_t, bool> table[] = {
      {0, Class::pull, 5000, true},  // nothing goes before it
      {600, Class::pull, 400, true},      {600, Class::pull, 401, false},
      {600, Class::backfill, 401, false}, {1000, Class::fault, 5000, true},
  };
  for (const auto& [unsent, cls, length, sent] : table)
    EXPECT_EQ(may_send(1000, unsent, cls, length), sent) << unsent << " " << length;
}

TEST(Admission, lets_more_flow_than_the_link_takes_in_half_a_second) {
  ServeLimits limits;
  limits.bulk_unsent = 12'000'000;
  const std::pair<double, uint64_t> table[] = {{0, 2 << 20},  // not known
                                               {600e3, (2 << 20) + 300'000},
                                               {12.5e6, (2 << 20) + 6'250'000},
                                               {125e6, 12'000'000}};
  for (const auto& [rate, most] : table) EXPECT_EQ(unsent_limit(limits, rate), most) << rate;
  limits.bulk_unsent = 1000;
  EXPECT_EQ(unsent_limit(limits, 125e6), 1000u);
}

TEST(Steps, bulk_goes_to_who_is_busy_last_and_faults_do_not_care) {
  std::vector<Candidate> peers{peer("near and busy", milliseconds(1), "a"),
                               peer("near", milliseconds(9), "a"),
                               peer("far", milliseconds(2), "b")};
  peers[0].busy = true;
  auto bulk = question(peers);
  bulk.zone = "a";
  bulk.holders = {0, 1, 2};
  auto asked = names(bulk);
  asked.resize(3);
  EXPECT_EQ(asked, (std::vector<std::string>{"near", "far", "near and busy"}));
  bulk.cls = Class::fault;
  asked = names(bulk);
  EXPECT_EQ(asked, (std::vector<std::string>{"near and busy", "near", "far", "registry"}));
}

TEST(Patience, of_a_crowd_grows_with_it_and_holds_while_anything_comes) {
  const struct {
    Class cls;
    milliseconds steps;
    size_t wanting;
    milliseconds lasts;
    bool in_turns;
  } table[] = {
      {Class::pull, milliseconds(1'500), 0, milliseconds(1'500), false},
      {Class::pull, milliseconds(1'500), 1, milliseconds(1'500), true},
      {Class::pull, milliseconds(1'500), 8, milliseconds(1'500), true},
      {Class::pull, milliseconds(1'600), 9, milliseconds(1'800), true},
      {Class::backfill, milliseconds(1'500), 64, milliseconds(12'000), true},
      {Class::pull, milliseconds(1'500), 1000, milliseconds(120'000), true},
      {Class::pull, milliseconds(150'000), 1000, milliseconds(150'000), true},
      {Class::fault, milliseconds(50), 1000, milliseconds(50), false},
  };
  for (const auto& row : table) {
    const auto made = patience_with_peers(row.cls, row.steps, row.wanting);
    EXPECT_EQ(made.lasts, Duration(row.lasts)) << row.steps.count() << " " << row.wanting;
    EXPECT_EQ(made.in_turns, row.in_turns) << row.wanting;
  }
  EXPECT_EQ(patience_with_peers(Class::pull, Duration::max(), 1000).lasts, Duration::max());
}

TEST(Serving, sends_what_is_here_refers_to_who_has_it_and_relays_the_rest) {
  EXPECT_EQ(how_to_serve(true, true, true), Serve::send);
  EXPECT_EQ(how_to_serve(true, false, true), Serve::refer);
  EXPECT_EQ(how_to_serve(false, false, true), Serve::refer) << "costs nothing";
  EXPECT_EQ(how_to_serve(true, false, false), Serve::relay);
  EXPECT_EQ(how_to_serve(false, false, false), Serve::busy);
  EXPECT_EQ(how_to_serve(false, true, false), Serve::busy);
}

}  // namespace
}  // namespace swarmfs::swarm
