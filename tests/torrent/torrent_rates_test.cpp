// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_rates.h"

#include <libtorrent/settings_pack.hpp>
#include <set>

#include "torrent_fixture.h"

namespace swarmfs::torrent_test {
namespace {

constexpr uint32_t kOfAll = 1U << static_cast<uint32_t>(lt::session::global_peer_class_id);
constexpr auto kUpload = &lt::peer_class_info::upload_limit;
constexpr auto kDownload = &lt::peer_class_info::download_limit;

lt::settings_pack deaf() {
  lt::settings_pack settings;
  settings.set_str(lt::settings_pack::listen_interfaces, "");
  for (const int off : {lt::settings_pack::enable_dht, lt::settings_pack::enable_lsd,
                        lt::settings_pack::enable_upnp, lt::settings_pack::enable_natpmp})
    settings.set_bool(off, false);
  return settings;
}

class TorrentRatesTest : public testing::Test {
 protected:
  /// The classes of a peer at this address.
  uint32_t flags(const std::string& address) {
    return session_.get_peer_class_filter().access(lt::make_address(address));
  }
  /// The limits of all its classes; `of`: kUpload or kDownload.
  std::multiset<int> limits(const std::string& address, int lt::peer_class_info::*of) {
    std::multiset<int> made;
    for (uint32_t i = 0; i < 32; ++i)
      if (flags(address) >> i & 1) made.insert(session_.get_peer_class(lt::peer_class_t(i)).*of);
    return made;
  }

  lt::session session_{deaf()};
  swarm::TorrentRates rates_{session_};
};

TEST_F(TorrentRatesTest, gives_each_peer_that_was_met_a_limit_of_its_own) {
  std::set<uint32_t> classes{flags("10.0.0.1")};
  EXPECT_EQ(flags("10.0.0.1"), flags("fd00::1")) << "nobody was met";
  for (int i = 1; i <= 28; ++i) {
    const std::string address =
        i % 2 ? "10.0.0." + std::to_string(i) : "fd00::" + std::to_string(i);
    rates_.meet(address);
    EXPECT_TRUE(classes.insert(flags(address)).second) << address;
    EXPECT_TRUE(flags(address) & kOfAll) << address;
  }
  for (const char* address : {"10.0.0.1", "no address", "203.0.113.7"}) rates_.meet(address);
  EXPECT_EQ(flags("203.0.113.7"), flags("10.0.0.1")) << "no more classes";
  EXPECT_TRUE(flags("10.1.2.3") & kOfAll);
}

TEST_F(TorrentRatesTest, limits_all_together_and_each) {
  rates_.set({3'000, 2'000, 1'000, 500});
  rates_.meet("10.0.0.1");
  for (const char* address : {"10.0.0.1", "203.0.113.7", "fe80::1", "127.0.0.1"}) {
    EXPECT_EQ(limits(address, kUpload), (std::multiset<int>{1'000, 3'000})) << address;
    EXPECT_EQ(limits(address, kDownload), (std::multiset<int>{500, 2'000})) << address;
  }
  rates_.set({0, 0, uint64_t{5} << 40});
  EXPECT_EQ(limits("10.0.0.1", kUpload), (std::multiset<int>{0, std::numeric_limits<int>::max()}));
  rates_.set({});
  for (const auto of : {kUpload, kDownload})
    EXPECT_EQ(limits("10.0.0.1", of), (std::multiset<int>{0, 0}));
}

TEST(TorrentExchange, gives_each_peer_no_more_than_it_may) {
  constexpr double kEach = 200e3;
  const Subject subject(8 << 20);
  Node seed("127.0.0.21", {}, {}, {0, 0, static_cast<uint64_t>(kEach)});
  Node first("127.0.0.22"), second("127.0.0.23");
  seed.take(subject, true);
  const auto begun = std::chrono::steady_clock::now();
  for (Node* node : {&first, &second}) {
    seed.session().meet(node->endpoint().address);
    node->take(subject, false, {seed.endpoint()});
    node->want_all();
  }
  const auto may_have = [&] {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
    return kEach * (passed.count() + 2);
  };
  const auto received = [](const Node& node) { return node.meters().received.value(); };
  ASSERT_TRUE(await([&] { return received(first) + received(second) > 1.2 * may_have(); }))
      << "they do not share what one may have";
  for (const Node* node : {&first, &second}) {
    EXPECT_LE(received(*node), may_have()) << node->endpoint().to_string();
    EXPECT_FALSE(node->complete());
  }
  seed.session().set_rates({});
  ASSERT_TRUE(await([&] { return first.complete() && second.complete(); }));
  for (Node* node : {&first, &second}) EXPECT_TRUE(node->stored().content() == subject.content);
}

TEST(TorrentExchange, takes_from_each_peer_no_more_than_it_may) {
  constexpr double kEach = 200e3;
  const Subject subject(8 << 20);
  Node first("127.0.0.25"), second("127.0.0.26");
  Node taker("127.0.0.27", {}, {}, {0, 0, 0, static_cast<uint64_t>(kEach)});
  const auto begun = std::chrono::steady_clock::now();
  for (Node* node : {&first, &second}) {
    node->take(subject, true);
    taker.session().meet(node->endpoint().address);
  }
  taker.take(subject, false, {first.endpoint(), second.endpoint()});
  taker.want_all();
  const auto may_have = [&](unsigned peers) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
    return peers * kEach * (passed.count() + 2);
  };
  const auto received = [&] { return taker.meters().received.value(); };
  ASSERT_TRUE(await([&] { return received() > 1.2 * may_have(1); }))
      << "they do not share what one may give";
  EXPECT_LE(received(), may_have(2));
  EXPECT_FALSE(taker.complete());
  taker.session().set_rates({});
  ASSERT_TRUE(await([&] { return taker.complete(); }));
  EXPECT_TRUE(taker.stored().content() == subject.content);
}

}  // namespace
}  // namespace swarmfs::torrent_test
