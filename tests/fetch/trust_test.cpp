// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <atomic>
#include <fstream>
#include <latch>

#include "fetch_fixture.h"

namespace swarmfs::fetch {
namespace {

using chunk::Class;
using chunk::Plan;
using std::chrono::milliseconds;
using util::ByteRange;
using util::Fault;

using Names = std::vector<std::string>;
constexpr ByteRange kRange{0, 65'536};

/// What a reader may see of sealed and of provisional layers.
class TrustTest : public FetchTest {
 protected:
  /// Of other bytes, the first of which is another.
  [[nodiscard]] std::shared_ptr<const chunk::HashTree> false_tree() const {
    std::string other = content_;
    other[0] = static_cast<char>(~other[0]);
    chunk::HashTreeBuilder builder;
    builder.feed(util::as_bytes(other));
    return std::make_shared<const chunk::HashTree>(builder.finish());
  }
};

TEST_F(TrustTest, a_flipped_bit_is_blamed_and_another_source_gives_the_right_bytes) {
  start_with_peer();
  layer_->seal(tree());
  peer_.set_supplier("10.0.0.3:7946");
  peer_.flip(20'000);
  auto one = read(kRange);
  peer_.answer_all();
  EXPECT_EQ(peer_.blamed(), Names{"10.0.0.3:7946"});
  EXPECT_EQ(peer_.open(), 0u);
  ASSERT_EQ(source_.requests(), 1u);
  EXPECT_EQ(source_.asked(0), (ByteRange{16'384, 65'536 - 16'384}));
  EXPECT_FALSE(one.is_ready());
  source_.answer_all();
  expect_bytes(one, kRange);
  EXPECT_EQ(layer_->bytes_by_source().at("peer"), 16'384u);
  EXPECT_EQ(layer_->bytes_by_source().at("registry"), 65'536u - 16'384u);
  EXPECT_EQ(mismatches("peer"), 1);
  await_cached(kRange);
  auto again = read(kRange);
  expect_bytes(again, kRange);
}

TEST_F(TrustTest, a_reader_of_a_sealed_layer_gets_no_byte_of_a_block_that_is_not_whole) {
  start_with_peer();
  layer_->seal(tree());
  auto one = read({0, 100});
  peer_.answer(0, 16'383);
  EXPECT_FALSE(one.is_ready());
  peer_.answer(0, 1);
  expect_bytes(one, {0, 100});
}

TEST_F(TrustTest, readers_that_meet_the_same_wrong_block_in_the_cache_are_one_request) {
  constexpr uint64_t kBlock = chunk::kBlockSize;
  constexpr ByteRange kBoth{0, 2 * kBlock};
  start();
  auto second = read({kBlock, kBlock}, Class::pull);
  source_.answer_all();
  expect_bytes(second, {kBlock, kBlock});
  await_cached({kBlock, kBlock});
  layer_->seal(tree());
  const auto file = "layers/" + layer_->ref().digest.hex() + ".bytes";
  std::fstream(directory_.path() / file, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(kBlock + 5)
      .put('!');
  const auto held = std::make_shared<std::latch>(2), seen = std::make_shared<std::latch>(1);
  for (int i = 0; i < 2; ++i)
    workers_.post(util::Workers::Urgency::urgent, [held, seen] {
      held->count_down();
      seen->wait();
    });
  held->wait();
  // Nothing is checked before both have seen that it is there.
  auto one = read(kBoth, Class::pull), other = read(kBoth, Class::pull);
  seen->count_down();
  await([&] { return mismatches("cache") >= 1 && source_.requests() >= 3; });
  while (!one.is_ready() || !other.is_ready()) source_.answer_all();
  expect_bytes(one, kBoth);
  expect_bytes(other, kBoth);
  uint64_t asked = 0;
  for (size_t id = 0; id < source_.requests(); ++id) asked += source_.asked(id).length;
  EXPECT_EQ(asked, 3 * kBlock) << "what came first, and both blocks once";
}

TEST_F(TrustTest, the_short_last_block_is_checked_too) {
  start_with_peer();
  layer_->seal(tree());
  peer_.flip(kSize - 1);
  auto one = read({kSize - 10, 10});
  peer_.answer_all();
  EXPECT_EQ(peer_.blamed().size(), 1u);
  source_.answer_all();
  expect_bytes(one, {kSize - 10, 10});
}

TEST_F(TrustTest, where_everybody_lies_the_read_fails_and_nothing_is_kept) {
  start_with_peer();
  layer_->seal(tree());
  peer_.flip(5);
  source_.flip(5);
  auto one = read(kRange);
  peer_.answer_all();
  source_.answer_all();
  source_.answer_all();
  expect_fault(one, Fault::corrupt);
  EXPECT_EQ(mismatches("registry"), 1) << "it says the same as the peer";
  EXPECT_EQ(layer_->bytes_by_source().at("registry"), 0u);
  source_.flip(5);
  peer_.set_plan(std::nullopt);
  auto two = read(kRange);
  source_.answer_all();
  expect_bytes(two, kRange);
}

TEST_F(TrustTest, what_the_registry_contradicts_is_so_though_a_peer_fails_otherwise_after_it) {
  start_with_peer();
  layer_->seal(tree());
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  source_.flip(5);
  auto one = read(kRange);
  await([&] { return source_.requests() == 1; });
  source_.answer_all();
  EXPECT_FALSE(one.is_ready()) << "the peer may have the right ones";
  peer_.set_plan(std::nullopt);
  peer_.fail(0, {Fault::unavailable, "it went"});
  EXPECT_FALSE(one.is_ready()) << "it may have been a bad moment";
  EXPECT_EQ(source_.requests(), 2u);
  source_.answer_all();
  expect_fault(one, Fault::corrupt);
}

TEST_F(TrustTest, one_wrong_answer_of_the_registry_is_made_good_by_its_second) {
  start();
  layer_->seal(tree(), "b0b");
  source_.flip(5);
  auto one = read(kRange);
  source_.answer(0, UINT64_MAX);
  source_.flip(5);  // and back
  source_.answer_all();
  expect_bytes(one, kRange);
  EXPECT_EQ(source_.requests(), 2u);
}

TEST_F(TrustTest, a_registry_that_is_wrong_in_another_way_each_time_contradicts_nothing) {
  start_with_peer();
  layer_->seal(tree(), "b0b");
  peer_.set_plan(std::nullopt);
  auto one = read(kRange);
  for (const uint64_t at : {5, 6}) {
    source_.flip(at);
    source_.answer(source_.requests() - 1, UINT64_MAX);
  }
  expect_fault(one, Fault::unavailable);
  EXPECT_EQ(source_.requests(), 2u);
  EXPECT_EQ(mismatches("registry"), 2);
}

TEST_F(TrustTest, one_wrong_answer_and_then_none_contradict_nothing) {
  start_with_peer();
  layer_->seal(tree(), "b0b");
  source_.flip(5);
  auto one = read(kRange);
  peer_.set_plan(std::nullopt);
  peer_.fail(0, {Fault::unavailable, "it went"});
  source_.answer(0, UINT64_MAX);
  source_.fail(1, {Fault::unavailable, "down"});
  expect_fault(one, Fault::unavailable);
}

TEST_F(TrustTest, more_than_was_asked_for_is_counted_and_takes_nothing_back) {
  start();
  layer_->seal(tree(), "b0b");
  source_.set_plan(Plan{16'384});
  auto one = read({0, 10}, Class::pull), two = read({20'000, 10}, Class::pull);
  source_.say(0, content_.substr(0, 16'384) + "surplus");
  source_.say(1, content_.substr(16'384, 16'384) + "surplus");
  expect_bytes(one, {0, 10});
  expect_bytes(two, {20'000, 10});
  EXPECT_EQ(mismatches("registry"), 2);
}

TEST_F(TrustTest, who_contradicts_a_claim_is_barred_and_blamed_when_it_is_proven) {
  start_with_peer();
  layer_->seal(tree(), "b0b");
  peer_.set_supplier("liar");
  peer_.flip(5);
  auto one = read(kRange);
  peer_.answer_all();
  EXPECT_TRUE(peer_.blamed().empty()) << "who is wrong is not known";
  EXPECT_EQ(peer_.barred(), std::set<std::string>{"liar"});
  EXPECT_EQ(mismatches("peer"), 1);
  source_.answer_all();
  expect_bytes(one, kRange);
  layer_->seal(tree(), "b0b");
  EXPECT_TRUE(peer_.blamed().empty());
  EXPECT_EQ(peer_.barred(), std::set<std::string>{"liar"});
  layer_->seal(tree());
  EXPECT_EQ(peer_.blamed(), Names{"liar"});
  EXPECT_TRUE(peer_.barred().empty());
}

TEST_F(TrustTest, who_contradicted_a_claim_that_proves_false_is_asked_again) {
  start_with_peer();
  layer_->seal(false_tree(), "b0b");
  auto one = read(kRange);
  peer_.answer_all();
  source_.answer_all();
  expect_fault(one, Fault::corrupt);
  EXPECT_EQ(peer_.barred(), std::set<std::string>{"fake"});
  layer_->discard("is in dispute");
  EXPECT_TRUE(peer_.blamed().empty());
  layer_->seal(tree());
  EXPECT_TRUE(peer_.blamed().empty());
  EXPECT_TRUE(peer_.barred().empty());
  auto two = read(kRange);
  EXPECT_EQ(peer_.open(), 1u);
  peer_.answer_all();
  expect_bytes(two, kRange);
}

TEST_F(TrustTest, what_came_before_a_claim_convicts_nobody_until_it_is_proven) {
  for (const bool is_true : {false, true}) {
    start_with_peer();
    if (is_true) peer_.flip(5);
    auto one = read({0, 10});
    peer_.answer_all();
    ASSERT_EQ(one.answer.wait_for(std::chrono::seconds(5)), std::future_status::ready);
    await_cached({0, 10});
    layer_->seal(is_true ? tree() : false_tree(), "b0b");
    EXPECT_TRUE(peer_.blamed().empty());
    EXPECT_EQ(peer_.barred(), std::set<std::string>{"fake"});
    layer_->discard("is in dispute");
    EXPECT_TRUE(peer_.blamed().empty()) << "nothing says that what it gave is wrong";
    layer_->seal(tree());
    EXPECT_EQ(peer_.blamed().empty(), !is_true);
    EXPECT_TRUE(peer_.barred().empty());
  }
}

TEST_F(TrustTest, whose_word_a_seal_is_is_said_at_once) {
  start();
  const auto one = tree(), other = false_tree();
  layer_->seal(one, "b0b");
  std::atomic<bool> over{false};
  unsigned wrong = 0;
  std::thread look([&] {
    while (!over) wrong += layer_->sealed_by_us();
  });
  for (int i = 0; i < 2'000; ++i) {
    layer_->seal(nullptr);
    layer_->seal(i % 2 ? one : other, "b0b");
  }
  over = true;
  look.join();
  EXPECT_EQ(wrong, 0u);
}

TEST_F(TrustTest, one_wrong_answer_is_no_contradiction_of_all_while_another_did_not_answer) {
  start_with_peer();
  layer_->seal(tree());
  for (const bool peer_first : {true, false}) {
    peer_.set_plan(peer_first ? Plan{UINT64_MAX} : Plan{UINT64_MAX, milliseconds(2)});
    peer_.flip(5);
    const auto asked = peer_.requests(), asked_registry = source_.requests();
    auto one = read(kRange);
    if (!peer_first) await([&] { return source_.requests() == asked_registry + 1; });
    if (!peer_first) source_.fail(asked_registry, {Fault::unavailable, "down"});
    peer_.set_plan(std::nullopt);
    peer_.answer(asked, UINT64_MAX);
    if (peer_first) source_.fail(asked_registry, {Fault::unavailable, "down"});
    expect_fault(one, Fault::unavailable);
    peer_.flip(5);
  }
}

TEST_F(TrustTest, where_only_peers_can_be_asked_and_lie_the_read_fails_as_corrupt) {
  start_with_peer();
  layer_->seal(tree());
  source_.set_plan(std::nullopt);
  peer_.flip(5);
  auto one = read(kRange);
  peer_.set_plan(std::nullopt);
  peer_.answer_all();
  expect_fault(one, Fault::corrupt);
}

TEST_F(TrustTest, a_contradiction_counts_no_more_once_a_peer_gave_what_fits) {
  start_with_peer();
  layer_->seal(tree());
  source_.flip(5);
  peer_.set_plan(std::nullopt);
  auto one = read(kRange);
  source_.answer(0, UINT64_MAX);
  peer_.set_plan(Plan{UINT64_MAX});
  source_.answer(1, UINT64_MAX);
  await([&] { return peer_.requests() == 1; });
  peer_.answer(0, 20'000);
  peer_.set_plan(std::nullopt);
  peer_.fail(0, {Fault::unavailable, "it went"});
  expect_fault(one, Fault::unavailable);
}

TEST_F(TrustTest, a_lie_does_not_win_against_a_slower_truth) {
  start_with_peer();
  layer_->seal(tree());
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  peer_.flip(5);
  auto one = read(kRange);
  await([&] { return source_.requests() == 1; });
  peer_.answer_all();
  EXPECT_EQ(source_.open(), 1u);
  EXPECT_EQ(source_.requests(), 1u);
  source_.answer_all();
  expect_bytes(one, kRange);
}

TEST_F(TrustTest, a_seal_that_comes_during_a_flight_holds_for_the_rest_of_it) {
  start_with_peer();
  peer_.flip(40'000);
  auto one = read(kRange);
  peer_.answer(0, 16'384);
  layer_->seal(tree());
  EXPECT_TRUE(peer_.blamed().empty());
  peer_.answer_all();
  EXPECT_EQ(peer_.blamed().size(), 1u);
  source_.answer_all();
  expect_bytes(one, kRange);
}

TEST_F(TrustTest, a_reader_that_had_a_wrong_block_before_the_seal_begins_again) {
  start_with_peer();
  peer_.flip(5);
  auto one = read(kRange);
  peer_.answer(0, 16'384);
  peer_.set_plan(std::nullopt);
  layer_->seal(tree());
  EXPECT_EQ(peer_.blamed().size(), 1u);
  peer_.answer_all();
  source_.answer_all();
  expect_bytes(one, kRange);
  await_cached(kRange);
  auto again = read(kRange);
  expect_bytes(again, kRange);
}

TEST_F(TrustTest, what_is_brought_in_and_was_wrong_before_the_seal_is_brought_in_again) {
  start_with_peer();
  peer_.flip(5);
  std::promise<util::Outcome<util::Done>> done;
  const auto operation = fetcher_->bring_in(
      layer_, Class::pull,
      [&](const util::Outcome<util::Done>& outcome) { done.set_value(outcome); });
  peer_.answer(0, 16'384);
  peer_.set_plan(std::nullopt);
  layer_->seal(tree());
  EXPECT_EQ(peer_.blamed().size(), 1u);
  peer_.answer_all();
  answer_until(done);
  EXPECT_TRUE(layer_->stored().has(chunk::blocks_covering({0, kSize})));
  auto all = read({0, kSize});
  expect_bytes(all, {0, kSize});
}

TEST_F(TrustTest, what_a_peer_put_into_the_cache_before_the_seal_is_made_good) {
  start_with_peer();
  peer_.flip(5);
  auto one = read(kRange);
  peer_.answer_all();
  ASSERT_EQ(one.answer.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  await_cached(kRange);
  peer_.set_plan(std::nullopt);
  layer_->seal(tree());
  EXPECT_EQ(peer_.blamed(), Names{"fake"});
  auto two = read(kRange);
  await([&] { return source_.requests() == 1; });
  EXPECT_EQ(source_.asked(0), (ByteRange{0, 16'384}));
  source_.answer_all();
  expect_bytes(two, kRange);
}

TEST_F(TrustTest, what_the_registry_gave_before_the_seal_is_checked_when_it_is_read) {
  start();
  source_.flip(5);
  auto one = read(kRange);
  source_.answer_all();
  await_cached(kRange);
  source_.flip(5);
  layer_->seal(tree());
  auto two = read(kRange);
  await([&] { return source_.requests() > 1; });
  source_.answer_all();
  expect_bytes(two, kRange);
}

TEST_F(TrustTest, a_verified_layer_is_sealed_without_looking_again) {
  start();
  auto all = read({0, kSize}, Class::pull);
  source_.answer_all();
  expect_bytes(all, {0, kSize});
  await_cached({0, kSize});
  layer_->stored().mark_verified();
  layer_->seal(tree());
  auto again = read(kRange);
  expect_bytes(again, kRange);
  std::string bytes(4096, 0);
  EXPECT_TRUE(
      fetcher_->try_read_now(*layer_, {0, 4096}, reinterpret_cast<std::byte*>(bytes.data())));
  EXPECT_TRUE(bytes == content_.substr(0, 4096));
}

TEST_F(TrustTest, the_only_supplier_of_bytes_that_were_discarded_is_blamed) {
  start_with_peer();
  auto one = read(kRange);
  peer_.answer_all();
  expect_bytes(one, kRange);
  await_cached(kRange);
  layer_->discard("the digest does not match");
  EXPECT_EQ(peer_.blamed(), Names{"fake"});
  EXPECT_EQ(mismatches("peer"), 1);
  EXPECT_EQ(layer_->stored().bytes_present(), 0u);
  auto two = read(kRange);
  EXPECT_EQ(peer_.requests(), 1u);
  source_.answer_all();
  expect_bytes(two, kRange);
}

TEST_F(TrustTest, who_gave_what_fitted_a_discarded_claim_is_not_asked_again) {
  start_with_peer();
  layer_->seal(tree(), "b0b");
  auto one = read(kRange);
  peer_.answer_all();
  expect_bytes(one, kRange);
  const unsigned before = layer_->discards();
  layer_->discard("the digest does not match");
  EXPECT_EQ(layer_->discards(), before + 1);
  EXPECT_TRUE(peer_.blamed().empty()) << "it may have been deceived";
  auto two = read(kRange);
  EXPECT_EQ(peer_.requests(), 1u);
  source_.answer_all();
  expect_bytes(two, kRange);
}

TEST_F(TrustTest, of_several_suppliers_of_discarded_bytes_a_later_seal_finds_the_liar) {
  start_with_peer();
  auto one = read(kRange);
  peer_.answer_all();
  peer_.set_supplier("liar");
  peer_.flip(600'000);
  auto two = read({600'000, 10});
  peer_.answer_all();
  await_cached({600'000, 10});
  layer_->discard("the digest does not match");
  EXPECT_TRUE(peer_.blamed().empty());
  EXPECT_EQ(mismatches("peer"), 2);
  layer_->seal(tree());
  EXPECT_EQ(peer_.blamed(), Names{"liar"});
  auto three = read(kRange);
  EXPECT_EQ(peer_.open(), 1u);  // peers are trusted with it again
}

TEST_F(TrustTest, a_discard_begins_reads_and_bulk_again) {
  start_with_peer();
  std::promise<util::Outcome<util::Done>> done;
  const auto backfill = fetcher_->bring_in(
      layer_, Class::pull, [&](util::Outcome<util::Done> o) { done.set_value(std::move(o)); });
  peer_.flip(5);
  auto one = read(kRange, Class::pull);
  peer_.answer(0, 16'384);
  layer_->discard("the digest does not match");
  EXPECT_EQ(peer_.open(), 0u);
  source_.answer_all();
  expect_bytes(one, kRange);
  auto future = done.get_future();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_TRUE(future.get());
  await_cached({0, kSize});
}

TEST_F(TrustTest, an_unsealed_layer_is_provisional_again) {
  start_with_peer();
  layer_->seal(tree());
  EXPECT_TRUE(layer_->sealed());
  layer_->seal(nullptr);
  EXPECT_FALSE(layer_->sealed());
  peer_.flip(5);
  auto one = read(kRange);
  peer_.answer_all();
  ASSERT_EQ(one.answer.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_TRUE(peer_.blamed().empty());
}

TEST_F(TrustTest, a_seal_outlives_a_change_of_origins) {
  start_with_peer();
  layer_->seal(tree());
  layer_ = fetcher_->open({layer_->ref().digest, kSize, {{"elsewhere", "library/nginx"}}});
  EXPECT_TRUE(layer_->sealed());
}

TEST_F(TrustTest, a_layer_is_fetched_from_all_origins_that_it_was_opened_with) {
  start();
  const auto open = [&](const char* registry) {
    return fetcher_->open({layer_->ref().digest, kSize, {{registry, "library/nginx"}}});
  };
  const auto first = open("one");
  open("two");
  open("one");
  const std::vector<chunk::Origin> both{{"one", "library/nginx"}, {"two", "library/nginx"}};
  EXPECT_EQ(first->with_origins().origins, both);
  auto reading = read(kRange);
  source_.answer_all();
  expect_bytes(reading, kRange);
  EXPECT_EQ(source_.asked_of().back().origins, both);
}

}  // namespace
}  // namespace swarmfs::fetch
