// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>
#include <future>
#include <latch>
#include <mutex>
#include <thread>

#include "swarm/peer_source_fixture.h"
#include "swarm/proof.h"

namespace swarmfs::swarm {
namespace {

TEST_F(PeerSourceTest, gives_what_a_holder_has) {
  Peer& holder = peer("a", right);
  know(holder, "a");
  const auto got = fetch(kRange);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange));
  EXPECT_EQ(got->supplier(), name_of(holder, "a"));
  EXPECT_EQ(table_.find(at(holder))->bytes_given, kRange.length);
  EXPECT_EQ(table_.find(at(holder))->in_flight, 0u);
  ASSERT_EQ(holder.asked().size(), 1u);
  const auto asked = holder.asked().front();
  EXPECT_EQ(asked.target, "/v1/layers/" + layer_.digest.hex() +
                              "/bytes?class=pull&fetch=0&port=4711&repository=docker.io%2Flibrary"
                              "%2Fnginx&zone=here");
  EXPECT_EQ(range_of(asked), kRange);
}

TEST_F(PeerSourceTest, takes_from_other_zones_what_the_cap_says_and_the_cap_can_change) {
  know(peer("a", right), "a", true, "there");
  chunk::FetchContext context;
  context.cls = Class::pull;
  const auto may_ask = [&] { return source_.plan(layer_, kRange, context).has_value(); };
  EXPECT_TRUE(may_ask());
  source_.set_cross_zone_rate(1);
  EXPECT_FALSE(fetch(kRange)->fault()) << "the first may overdraw it";
  EXPECT_FALSE(may_ask());
  source_.set_cross_zone_rate(0);
  EXPECT_TRUE(may_ask());
}

TEST_F(PeerSourceTest, asks_an_owner_that_has_it_not_to_fetch_it) {
  std::string name = "a";  // of a node that owns the first chunk, and not we
  while (owners(layer_.digest, 0, std::vector<std::string_view>{"me", name}, 1).front() == 0)
    name += "a";
  Peer& owner = peer(name, right);
  know(owner, name, false);
  const ByteRange range{0, 4096};
  const auto got = fetch(range);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(range));
  EXPECT_NE(owner.asked().front().target.find("&fetch=1&"), std::string::npos);
}

/// Else it would bring in the same for the second time, and both later.
TEST_F(PeerSourceTest, asks_no_second_owner_while_the_registry_is_slow_for_everybody) {
  using std::chrono::milliseconds;
  std::string first = "a", second = "b";  // the owners of the first chunk, before us
  for (int i = 0;; ++i) {
    const std::vector<std::string_view> names{"me", first, second};
    if (owners(layer_.digest, 0, names, 2) == std::vector<size_t>{1, 2}) break;
    (i % 2 ? first : second) += "x";
  }
  Peer& slow = peer(first, [](auto&) { return says("", Then::wait); });
  Peer& other = peer(second, right);
  know(slow, first, false);
  know(other, second, false);
  const ByteRange range{0, 4096};
  const auto begun = std::chrono::steady_clock::now();
  Fetch waits(source_, layer_, range, Class::pull, {}, {}, util::SteadyTime::max(),
              [] { return milliseconds(2'500); });
  EXPECT_FALSE(waits.fault());
  EXPECT_TRUE(waits.bytes() == part(range));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds(2'500));
  EXPECT_EQ(other.asked().size(), 1u);
}

TEST_F(PeerSourceTest, gives_the_short_end_of_a_layer) {
  know(peer("a", right), "a");
  const ByteRange end{kSize - 777, 777};
  const auto got = fetch(end, Class::fault);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(end));
}

TEST_F(PeerSourceTest, ends_at_the_end_of_a_chunk) {
  know(peer("a", right), "a");
  const auto plan = source_.plan(layer_, {240 * 1024, 64 * 1024}, {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->length, 16u * 1024);
}

TEST_F(PeerSourceTest, asks_for_a_quarter_of_a_chunk_that_its_holder_has_yet_to_get) {
  chunk::LayerRef layer = layer_;
  layer.size = 1 << 30;
  const Peer& holder = peer("a", right);
  table_.met(at(holder), "a", "here");
  const auto now = std::chrono::steady_clock::now();
  views_.interest(layer, now);
  LayerNews said{layer.size, true, false, BlockSet(chunk::block_count(layer.size))};
  said.blocks.add({0, 128});
  said.coming = {{64, 64}};
  views_.heard(at(holder), kRepository, {layer.digest}, {"here", {{layer.digest, said}}}, now);
  const auto asked = [&](uint64_t chunk, Class cls) {
    const uint64_t size = chunk::chunk_size(layer.size);
    chunk::FetchContext context;
    context.cls = cls;
    return source_.plan(layer, {chunk * size, size}, context)->length;
  };
  EXPECT_EQ(asked(0, Class::pull), 1u << 20);
  EXPECT_EQ(asked(1, Class::pull), 256u << 10);
  EXPECT_EQ(asked(1, Class::fault), 1u << 20);
}

TEST_F(PeerSourceTest, has_no_plan_where_nobody_has_the_layer_or_a_peer_asks) {
  EXPECT_FALSE(source_.plan(layer_, kRange, {}));
  know(peer("a", right), "a");
  EXPECT_TRUE(source_.plan(layer_, kRange, {}));
  chunk::FetchContext context;
  context.for_peer = true;
  EXPECT_FALSE(source_.plan(layer_, kRange, context));
}

TEST_F(PeerSourceTest, fails_where_nobody_is_left_to_ask) {
  EXPECT_EQ(fetch(kRange)->fault(), Fault::unavailable);
  Peer& without = peer("a", [](auto&) { return Peer::answer(404, "not here\n"); });
  know(without, "a");
  const auto got = fetch(kRange);
  EXPECT_EQ(got->fault(), Fault::unavailable);
  EXPECT_EQ(got->bytes().size(), 0u);
  const auto blocks = chunk::blocks_covering(kRange);
  for (const auto& member : views_.members(layer_.digest, blocks, clock_.now()))
    EXPECT_FALSE(member.holds) << "it said so";
  EXPECT_EQ(table_.find(at(without))->failures, 0u) << "whoever declines is alive";
}

TEST_F(PeerSourceTest, never_asks_again_whom_it_banned_for_wrong_bytes) {
  Peer& liar = peer("liar", [](auto& asked) {
    return partial(range_of(asked), std::string(range_of(asked).length, '!'));
  });
  know(liar, "liar");
  const auto got = fetch(kRange);
  EXPECT_FALSE(got->fault()) << "what came is for others to check";
  EXPECT_TRUE(got->bytes() == std::string(kRange.length, '!'));
  source_.blame(layer_, got->supplier(), "block 16 is wrong");
  EXPECT_TRUE(table_.banned("liar"));
  EXPECT_EQ(table_.find(at(liar))->banned, "block 16 is wrong");
  EXPECT_FALSE(source_.plan(layer_, kRange, {}));
  EXPECT_EQ(fetch(kRange)->fault(), Fault::unavailable);
  EXPECT_EQ(liar.asked().size(), 1u);
}

TEST_F(PeerSourceTest, does_not_ask_for_a_layer_who_is_barred_from_it) {
  Peer& one = peer("one", right);
  know(one, "one");
  const chunk::LayerRef other{util::Sha256::of({}), layer_.size, layer_.origins};
  source_.bar(other, name_of(one, "one"), "another");
  EXPECT_TRUE(source_.plan(layer_, kRange, {})) << "it is another layer";
  source_.bar(layer_, name_of(one, "one"), "another");
  source_.bar(layer_, "peers", "another");
  EXPECT_FALSE(source_.plan(layer_, kRange, {}));
  EXPECT_EQ(fetch(kRange)->fault(), Fault::unavailable);
  EXPECT_FALSE(table_.banned("one"));
  source_.unbar(layer_);
  EXPECT_FALSE(fetch(kRange)->fault());
  EXPECT_EQ(one.asked().size(), 1u);
}

TEST_F(PeerSourceTest, blames_who_contradicts_its_own_claim) {
  Peer& one = peer("one", right);
  know(one, "one");
  source_.bar(layer_, name_of(one, "one"), "one");
  EXPECT_TRUE(table_.banned("one"));
}

TEST_F(PeerSourceTest, goes_on_elsewhere_where_a_peer_hangs_up) {
  Peer& weak = peer("weak", [](auto& asked) {
    const auto whole = partial(range_of(asked), part(range_of(asked))).text;
    return says(whole.substr(0, whole.size() - range_of(asked).length + 50'000), Then::hang_up);
  });
  know(weak, "weak");
  const auto alone = fetch(kRange);
  EXPECT_EQ(alone->fault(), Fault::unavailable);
  EXPECT_TRUE(alone->bytes() == part({kRange.offset, 50'000})) << "what came is right";
  EXPECT_EQ(table_.find(at(weak))->failures, 1u);
}

TEST_F(PeerSourceTest, continues_with_the_next_where_the_first_stopped) {
  // Whoever is asked first hangs up.
  std::atomic<int> asked_so_far{0};
  const auto script = [&](auto& asked) {
    auto whole = right(asked);
    if (asked_so_far++ > 0) return whole;
    return says(whole.text.substr(0, whole.text.size() - kRange.length + 50'000), Then::hang_up);
  };
  for (const char* name : {"a", "b"}) know(peer(name, script), name);
  const auto got = fetch(kRange);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange)) << "each byte once";
  EXPECT_EQ(peers_.front().asked().size(), 1u);
  EXPECT_EQ(peers_.back().asked().size(), 1u);
  auto ranges =
      std::vector{range_of(peers_.front().asked()[0]), range_of(peers_.back().asked()[0])};
  std::sort(ranges.begin(), ranges.end(), [](auto& a, auto& b) { return a.offset < b.offset; });
  EXPECT_EQ(ranges[0], kRange);
  EXPECT_EQ(ranges[1], (ByteRange{kRange.offset + 50'000, kRange.length - 50'000}));
}

TEST_F(PeerSourceTest, blames_nobody_for_a_block_that_two_peers_gave) {
  std::atomic<int> asked_so_far{0};
  const auto script = [&](auto& asked) {
    auto whole = right(asked);
    if (asked_so_far++ > 0) return whole;
    return says(whole.text.substr(0, whole.text.size() - kRange.length + 50'000), Then::hang_up);
  };
  for (const char* name : {"a", "b"}) know(peer(name, script), name);
  std::mutex mutex;
  std::vector<std::pair<size_t, std::string>> came;  ///< up to here, from whom
  const auto got = fetch(kRange, Class::pull, [&](Fetch& self) {
    const std::lock_guard hold(mutex);
    came.emplace_back(self.bytes().size(), self.supplier());
  });
  EXPECT_FALSE(got->fault());
  const bool a_first = range_of(peers_.front().asked().front()) == kRange;
  const auto first = name_of(a_first ? peers_.front() : peers_.back(), a_first ? "a" : "b");
  const auto second = name_of(a_first ? peers_.back() : peers_.front(), a_first ? "b" : "a");
  for (const auto& [end, supplier] : came)
    EXPECT_EQ(supplier, end <= 50'000 ? first : end <= 65'536 ? "peers" : second) << end;
  const auto at_seam = [](const auto& one) { return one.first == 65'536; };
  EXPECT_EQ(std::count_if(came.begin(), came.end(), at_seam), 1) << "a piece ends with that block";
}

TEST_F(PeerSourceTest, takes_nothing_beyond_the_range) {
  const std::vector<Peer::Script> scripts{
      [](auto& asked) {
        auto made = right(asked);
        made.text.replace(made.text.find("Content-Length"), 14, "X-Not-A-Length");
        return says(made.text, Then::overflow);
      },
      [](auto& asked) {
        const auto range = range_of(asked);
        return partial({range.offset, range.length + 1}, part({range.offset, range.length + 1}));
      }};
  for (const auto& script : scripts) {
    Peer& endless = peer("endless", script);
    know(endless, "endless");
    const auto got = fetch(kRange);
    EXPECT_FALSE(got->fault()) << "all that was wanted came";
    EXPECT_TRUE(got->bytes() == part(kRange));
    EXPECT_EQ(table_.find(at(endless))->failures, 1u);
    views_.gone(at(endless));
  }
}

TEST_F(PeerSourceTest, takes_nothing_from_who_answers_with_the_whole_or_with_another_range) {
  const std::vector<Peer::Script> scripts{
      [](auto&) { return Peer::answer(200, content()); },
      [](auto&) { return says("HTTP/1.1 200 OK\r\n\r\n", Then::overflow); },
      [](auto& asked) { return Peer::answer(203, part(range_of(asked))); },
      [](auto& asked) {
        auto range = range_of(asked);
        return partial({range.offset + 1, range.length}, part({range.offset + 1, range.length}));
      },
      [](auto& asked) { return Peer::answer(206, part(range_of(asked))); },
      [](auto&) { return says("HTTP/1.1 206 x\r\nX: ", Then::overflow); },
      [](auto&) { return says("nonsense\r\n\r\n", Then::hang_up); }};
  for (size_t i = 0; i < scripts.size(); ++i) {
    Peer& odd = peer("odd", scripts[i]);
    know(odd, "odd");
    const auto got = fetch(kRange);
    EXPECT_EQ(got->fault(), Fault::unavailable) << i;
    EXPECT_EQ(got->bytes().size(), 0u) << i;
    EXPECT_EQ(table_.find(at(odd))->bytes_given, 0u) << i;
    EXPECT_EQ(table_.find(at(odd))->failures, 1u) << i;
    views_.gone(at(odd));
  }
}

TEST_F(PeerSourceTest, gives_up_on_who_says_nothing) {
  Peer& mute = peer("mute", [](auto&) { return says("", Then::wait); });
  know(mute, "mute");
  EXPECT_EQ(fetch(kRange, Class::fault)->fault(), Fault::unavailable);
  EXPECT_TRUE(mute.wait_for_departures(1));
  EXPECT_EQ(table_.find(at(mute))->failures, 1u);
  EXPECT_FALSE(source_.plan(layer_, kRange, {})) << "it is silent now, and no member";
}

TEST_F(PeerSourceTest, overtakes_a_slow_peer_and_lets_it_go) {
  // Whoever is asked first says nothing.
  std::atomic<int> asked_so_far{0};
  const auto script = [&](auto& asked) {
    return asked_so_far++ == 0 ? says("", Then::wait) : right(asked);
  };
  for (const char* name : {"a", "b"}) know(peer(name, script), name);
  const auto got = fetch(kRange, Class::fault);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange));
  Peer& slow = got->supplier() == name_of(peers_.front(), "a") ? peers_.back() : peers_.front();
  EXPECT_TRUE(slow.wait_for_departures(1));
  EXPECT_EQ(table_.find(at(slow))->in_flight, 0u);
  EXPECT_EQ(table_.find(at(slow))->failures, 0u) << "late is not dead";
}

TEST_F(PeerSourceTest, overtakes_nobody_for_bulk_while_our_own_link_is_full) {
  // Whoever is asked first says nothing; it is dropped for that after 5 s.
  std::atomic<int> asked_so_far{0}, looks{0};
  const auto script = [&](auto& asked) {
    return asked_so_far++ == 0 ? says("", Then::wait) : right(asked);
  };
  for (const char* name : {"a", "b"}) know(peer(name, script), name);
  Fetch got(source_, layer_, kRange, Class::pull, {}, [&] {
    if (looks++ > 0) return false;
    EXPECT_EQ(asked_so_far, 1);
    return true;
  });
  EXPECT_FALSE(got.fault());
  EXPECT_TRUE(got.bytes() == part(kRange));
  EXPECT_EQ(asked_so_far, 2);
  EXPECT_GE(looks, 2) << "asked again after the full link";
}

TEST_F(PeerSourceTest, overtakes_a_peer_that_lags) {
  // Whoever is asked first stops after a while.
  std::atomic<int> asked_so_far{0};
  const auto script = [&](auto& asked) {
    auto whole = right(asked);
    if (asked_so_far++ > 0) return whole;
    return says(whole.text.substr(0, whole.text.size() - kRange.length + 50'000), Then::wait);
  };
  for (const char* name : {"a", "b"}) know(peer(name, script), name);
  const auto got = fetch(kRange, Class::fault);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange)) << "each byte once";
  Peer& slow = got->supplier() == name_of(peers_.front(), "a") ? peers_.back() : peers_.front();
  EXPECT_EQ(range_of(slow.asked().front()), kRange);
  EXPECT_TRUE(slow.wait_for_departures(1));
  EXPECT_EQ(table_.find(at(slow))->failures, 0u) << "late is not dead";
}

TEST_F(PeerSourceTest, asks_again_whom_it_dropped_for_a_peer_that_lags_now) {
  // The first is late, so that the second is asked as well, and then stops midway.
  std::atomic<int> asked_so_far{0};
  std::promise<void> second_asked;
  auto second = second_asked.get_future().share();
  const auto script = [&](auto& asked) {
    const auto whole = right(asked).text;
    const int number = asked_so_far++;
    if (number == 1) second_asked.set_value();
    if (number == 1) return says("", Then::wait);
    if (number == 2) return says(whole, Then::listen);
    second.wait();
    return says(whole.substr(0, whole.size() - kRange.length + 50'000), Then::wait);
  };
  for (const char* name : {"a", "b"}) know(peer(name, script), name);
  const auto got = fetch(kRange, Class::fault);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange));
  EXPECT_EQ(asked_so_far, 3);
}

TEST_F(PeerSourceTest, asks_each_peer_in_a_repository_that_it_knows_the_layer_in) {
  Peer& other = peer("other", right);
  know(other, "other");
  auto both = layer_;
  both.origins.push_back({"docker.io", "library/other"});
  views_.interest(both, clock_.now());
  const News here{"here", {{layer_.digest, news(true)}}};
  views_.heard(at(other), kRepository, {layer_.digest}, {}, clock_.now());
  views_.heard(at(other), "docker.io/library/other", {layer_.digest}, here, clock_.now());
  views_.heard(at(other), kRepository, {layer_.digest}, {}, clock_.now());
  const auto name_asked_in = [&](const chunk::LayerRef& layer) {
    Fetch got(source_, layer, kRange, Class::pull);
    EXPECT_FALSE(got.fault());
    const auto target = other.asked().back().target;
    return target.substr(target.find("repository="));
  };
  EXPECT_TRUE(name_asked_in(both).starts_with("repository=docker.io%2Flibrary%2Fother&"));
  EXPECT_TRUE(name_asked_in(layer_).starts_with("repository=docker.io%2Flibrary%2Fnginx&"))
      << "what is wanted for one repository does not come in the name of another";
  views_.heard(at(other), "docker.io/library/other", {layer_.digest}, {}, clock_.now());
  EXPECT_FALSE(source_.plan(layer_, kRange, {})) << "gone where it was";
}

TEST_F(PeerSourceTest, stops_when_it_is_cancelled_in_flight) {
  for (const bool midway : {false, true}) {
    Peer& slow = peer("slow", [midway](auto& asked) {
      const auto whole = right(asked).text;
      return says(midway ? whole.substr(0, whole.size() - 1) : "", Then::wait);
    });
    know(slow, "slow");
    const auto got = fetch(kRange);
    EXPECT_TRUE(slow.wait_for_requests(1));
    got->cancel();
    EXPECT_TRUE(slow.wait_for_departures(1));
    EXPECT_EQ(table_.find(at(slow))->in_flight, 0u);
    EXPECT_EQ(got->ends(), 0u) << "nobody is told";
    views_.gone(at(slow));
  }
}

TEST_F(PeerSourceTest, may_be_cancelled_in_its_own_callback_and_while_it_waits_for_a_busy_peer) {
  Peer& giver = peer("a", right);
  know(giver, "a");
  std::promise<void> first;
  std::atomic<bool> gone{false};
  auto got = fetch(kRange, Class::pull, [&](Fetch& self) {
    if (gone.exchange(true)) return;
    self.cancel();
    first.set_value();
  });
  first.get_future().wait();
  EXPECT_EQ(got->ends(), 0u);
  views_.gone(at(giver));

  Peer& busy = peer("b", [](auto&) { return Peer::answer(503, "later\n"); });
  know(busy, "b");
  got = fetch(kRange);
  EXPECT_TRUE(busy.wait_for_requests(2)) << "bulk asks again";
  got->cancel();
  EXPECT_EQ(got->ends(), 0u);
}

// As fetch::Brain does. Whether the answer overtakes fetch() is chance: on busy processors it does,
// once in some hundred times.
TEST_F(PeerSourceTest, never_waits_in_fetch_for_a_callback_that_waits_for_fetch) {
  Peer& poor = peer("a", [](auto&) { return Peer::answer(404, "not here\n"); });
  std::atomic<bool> enough{false};
  std::vector<std::jthread> burners;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i)
    burners.emplace_back([&] {
      while (!enough) {
      }
    });
  for (int i = 0; i < 3000; ++i) {
    know(poor, "a");
    std::latch fetched{1};
    std::promise<void> ended;
    const auto transfer = source_.fetch(
        layer_, kRange, {}, [](util::ByteView) {},
        [&](const util::Outcome<util::Done>&) {
          fetched.wait();
          ended.set_value();
        });
    fetched.count_down();
    ended.get_future().wait();
  }
  enough = true;
}

TEST_F(PeerSourceTest, owns_nothing_on_a_link_far_narrower_than_those_of_others) {
  const auto now = std::chrono::steady_clock::now();
  for (const char* name : {"a", "b"}) {
    const Peer& other = peer(name, right);
    know(other, name, false);
    News said{"here", {{layer_.digest, news(false)}}};
    said.link = 12'000'000;
    views_.heard(at(other), kRepository, {layer_.digest}, said, now);
  }
  chunk::FetchContext context;
  context.cls = Class::pull;
  const auto owned = [&] {
    unsigned count = 0;
    for (uint64_t at = 0; at < kSize; at += chunk::chunk_size(kSize))
      count += !source_.plan(layer_, {at, 1024}, context);
    return count;
  };
  EXPECT_GT(owned(), 0u);
  link_->arrived(1'000'000, now - std::chrono::seconds(4));
  EXPECT_EQ(owned(), 0u);
}

TEST_F(PeerSourceTest, may_die_with_transfers_under_way) {
  Peer& slow = peer("slow", [](auto&) { return says("", Then::wait); });
  know(slow, "slow");
  auto source = std::make_unique<PeerSource>(
      PeerSourceOptions{"here", [] { return std::string("me"); }, true, 0, {}}, client_, table_,
      views_, timers_, metrics_);
  Fetch got(*source, layer_, kRange, Class::pull);
  EXPECT_TRUE(slow.wait_for_requests(1));
  source.reset();
  got.cancel();
  EXPECT_TRUE(slow.wait_for_departures(1));
}

TEST_F(PeerSourceTest, shows_that_it_may_pull_once_it_knows_whom_it_asks) {
  const auto manifest = util::Sha256::of(util::as_bytes("manifest"));
  access_.secrets[manifest] = util::Sha256::of(util::as_bytes("secret"));
  Peer& strict = peer("strict", [](auto& asked) {
    return asked.header("Swarmfs-Proof").empty() ? Peer::answer(403, "show it\n") : right(asked);
  });
  know(strict, "");  // heard of, never met
  const auto got = fetch(kRange);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange));
  ASSERT_EQ(strict.asked().size(), 2u);
  EXPECT_EQ(strict.asked().back().header("Swarmfs-Proof"),
            make_proof(access_, "strict", "me", kRepository));
}

TEST_F(PeerSourceTest, takes_a_refusal_for_an_answer) {
  Peer& strict = peer("strict", [](auto&) { return Peer::answer(403, "you may not\n"); });
  know(strict, "strict");
  EXPECT_EQ(fetch(kRange)->fault(), Fault::unavailable);
  EXPECT_EQ(strict.asked().size(), 1u);
}

TEST_F(PeerSourceTest, takes_no_provisional_bytes_where_it_must_not) {
  PeerSource strict({"here", [] { return std::string("me"); }, false, 0, {}}, client_, table_,
                    views_, timers_, metrics_);
  know(peer("a", right), "a");
  chunk::FetchContext context;
  EXPECT_FALSE(strict.plan(layer_, kRange, context));
  context.sealed = true;
  EXPECT_TRUE(strict.plan(layer_, kRange, context));
}

/// Windows, of a layer that members vouch for.
class PeerWindowsTest : public PeerSourceTest {
 protected:
  void knows_index(const Peer& peer, const std::string& name, bool sealed = true) {
    know(peer, name);
    News said{"here", {{layer_.digest, news(true, sealed)}}};
    views_.heard(at(peer), kRepository, {layer_.digest}, said, std::chrono::steady_clock::now());
  }
  std::unique_ptr<Fetch> fetch_windows(Class cls = Class::fault) {
    return std::make_unique<Fetch>(source_, windows_, kRange, cls);
  }
  std::optional<chunk::Plan> plan(Class cls = Class::fault) {
    chunk::FetchContext context;
    context.cls = cls;
    context.sealed = true;
    return source_.plan(windows_, kRange, context);
  }
  static Peer::Answer nothing(const Peer::Asked&) {
    return {"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n"};
  }
  const chunk::LayerRef windows_ =
      chunk::LayerRef::windows_of(layer_, util::Sha256::of(util::as_bytes("name")), kSize);
};

TEST_F(PeerWindowsTest, come_from_who_vouches_for_the_index) {
  Peer& holder = peer("a", right);
  Peer& unsealed = peer("b", right);
  knows_index(unsealed, "b", false);
  EXPECT_FALSE(plan()) << "who only has the layer has no windows to give";
  knows_index(holder, "a");
  EXPECT_TRUE(plan());
  const auto got = fetch_windows();
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange));
  ASSERT_EQ(holder.asked().size(), 1u);
  EXPECT_EQ(holder.asked().front().target,
            "/v1/layers/" + layer_.digest.hex() +
                "/windows?class=fault&name=" + windows_.digest.hex() +
                "&port=4711&repository=docker.io%2Flibrary%2Fnginx&zone=here");
  EXPECT_TRUE(unsealed.asked().empty());
}

TEST_F(PeerWindowsTest, are_asked_only_once_of_who_has_others) {
  Peer& other = peer("a", nothing);
  knows_index(other, "a");
  for (const auto cls : {Class::fault, Class::pull}) {
    EXPECT_EQ(plan(cls).has_value(), cls == Class::fault);
    EXPECT_EQ(fetch_windows(cls)->fault(), Fault::unavailable);
  }
  EXPECT_EQ(other.asked().size(), 1u);
  EXPECT_FALSE(table_.banned("a"));
  const auto members = views_.members(layer_.digest, {0, 1}, std::chrono::steady_clock::now());
  ASSERT_EQ(members.size(), 1u);
  EXPECT_TRUE(members.front().holds) << "it still has the layer";
}

TEST_F(PeerWindowsTest, that_are_wrong_ban_who_gave_them_until_the_claim_proves_false) {
  Peer& liar = peer("a", right);
  knows_index(liar, "a");
  const auto got = fetch_windows();
  EXPECT_FALSE(got->fault());
  source_.blame(windows_, got->supplier(), "wrong");
  EXPECT_TRUE(table_.banned("a"));
  EXPECT_FALSE(plan());
  table_.pardon(layer_.digest);
  EXPECT_FALSE(table_.banned("a"));
}

}  // namespace
}  // namespace swarmfs::swarm
