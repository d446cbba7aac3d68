// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/passage.h"

#include "mirror_fixture.h"

namespace swarmfs::mirror {
namespace {

using End = BlobDelivery::End;

class PassageTest : public testing::Test {
 protected:
  PassageTest() { upstream_.holds[kRepository] = blob_; }
  Passage of(util::ByteRange range) {
    return {
        upstream_, fronts_,   {"r.example.com", "app", {}, util::Sha256::of(util::as_bytes(blob_))},
        range,     "Basic x", {20s, 20s}};
  }
  void gives(Passage& passage, const util::ByteRange& range) { gives(passage, range, blob_); }
  static void gives(Passage& passage, const util::ByteRange& range, const std::string& blob) {
    Collector client;
    ASSERT_TRUE(passage.begin());
    EXPECT_EQ(passage.send(client), End::whole);
    EXPECT_TRUE(client.body == blob.substr(range.offset, range.length)) << range.offset;
    EXPECT_EQ(passage.sent(), range.length);
  }
  const std::string blob_ = pattern(2 * Passage::kPiece + 12'345);
  FakeUpstream upstream_;
  Fronts fronts_;
  Collector client_;
};

TEST_F(PassageTest, gives_what_the_registry_gives_the_caller) {
  const util::ByteRange ranges[] = {
      {0, blob_.size()}, {0, Passage::kPiece}, {Passage::kPiece - 1, 2}, {blob_.size() - 1, 1}};
  for (const auto& range : ranges) {
    auto passage = of(range);
    gives(passage, range);
  }
  for (const auto& asked : upstream_.proofs) {
    EXPECT_EQ(asked.authorization, "Basic x");
    EXPECT_LE(asked.range.length, Passage::kPiece);
  }
}

TEST_F(PassageTest, begins_with_nothing_that_does_not_come) {
  upstream_.holds.clear();
  EXPECT_EQ(of({0, 10}).begin().failure().fault, Fault::not_found);
  upstream_.down = true;
  EXPECT_EQ(of({0, 10}).begin().failure().fault, Fault::unavailable);
}

TEST_F(PassageTest, ends_where_the_rest_does_not_come) {
  auto passage = of({0, blob_.size()});
  ASSERT_TRUE(passage.begin());
  upstream_.down = true;
  EXPECT_EQ(passage.send(client_), End::broken);
  EXPECT_TRUE(client_.body == blob_.substr(0, Passage::kPiece));
}

TEST_F(PassageTest, ends_when_the_client_goes) {
  client_.most = 1;
  {
    auto passage = of({0, blob_.size()});
    ASSERT_TRUE(passage.begin());
    EXPECT_EQ(passage.send(client_), End::left);
  }
  EXPECT_EQ(upstream_.proofs.size(), 2u) << "no more is asked for";
}

TEST_F(PassageTest, a_registry_without_ranges_gives_it_from_its_front) {
  upstream_.ranges = false;
  const util::ByteRange ranges[] = {
      {0, blob_.size()}, {0, 10}, {Passage::kPiece - 1, 2}, {blob_.size() - 1, 1}};
  for (const auto& range : ranges) {
    auto passage = of(range);
    gives(passage, range);
    EXPECT_EQ(passage.showed_all(), range.length == blob_.size());
    EXPECT_EQ(upstream_.fronts.back().authorization, "Basic x");
    EXPECT_EQ(upstream_.fronts.back().range.end(), range.end());
  }
}

TEST_F(PassageTest, wrong_bytes_show_nothing) {
  upstream_.ranges = false;
  upstream_.holds[kRepository].back() ^= 1;
  auto passage = of({0, blob_.size()});
  ASSERT_TRUE(passage.begin());
  EXPECT_EQ(passage.send(client_), End::whole);
  EXPECT_TRUE(client_.body == upstream_.holds[kRepository]);
  EXPECT_FALSE(passage.showed_all());
}

TEST_F(PassageTest, a_front_that_is_cut_ends_it) {
  upstream_.ranges = false;
  upstream_.cut = 300'000;
  auto passage = of({0, blob_.size()});
  ASSERT_TRUE(passage.begin());
  EXPECT_EQ(passage.send(client_), End::broken);
  EXPECT_TRUE(client_.body == blob_.substr(0, upstream_.cut));
  upstream_.cut = 0;
  EXPECT_EQ(of({0, 10}).begin().failure().fault, Fault::unavailable);
}

TEST_F(PassageTest, a_front_waits_for_who_reads_it) {
  upstream_.ranges = false;
  const std::string large = pattern(10 * FrontStream::kAhead);
  upstream_.holds[kRepository] = large;
  struct Slow final : http::BodyWriter {
    bool write(util::ByteView bytes) override {
      most = std::max(most, bytes.size());
      body += util::as_text(bytes);
      std::this_thread::sleep_for(20ms);
      return true;
    }
    std::string body;
    size_t most = 0;
  } slow;
  auto passage = of({0, large.size()});
  ASSERT_TRUE(passage.begin());
  EXPECT_EQ(passage.send(slow), End::whole);
  EXPECT_TRUE(slow.body == large);
  EXPECT_LE(slow.most, FrontStream::kAhead + 20'000);
}

TEST_F(PassageTest, who_takes_nothing_loses_its_place_at_the_registry_where_others_wait) {
  upstream_.ranges = false;
  const std::string large = pattern(4 * FrontStream::kAhead);
  upstream_.holds[kRepository] = large;
  std::promise<void> go_on;
  const auto gone_on = go_on.get_future().share();
  const auto take_slowly = [&] {
    auto passage = of({0, large.size()});
    if (!passage.begin()) return std::pair(End::broken, std::string("nothing"));
    Collector slow;
    slow.on_sent = [&](size_t) { gone_on.wait(); };
    const auto end = passage.send(slow);
    return std::pair(end, slow.body);
  };
  std::vector<std::future<std::pair<End, std::string>>> slow;
  for (size_t i = 0; i < Fronts::kMost; ++i) {
    slow.push_back(std::async(std::launch::async, take_slowly));
    while (upstream_.count_fronts() <= i) std::this_thread::sleep_for(1ms);
  }
  const auto begun = std::chrono::steady_clock::now();
  auto quick = of({0, large.size()});
  gives(quick, {0, large.size()}, large);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
  go_on.set_value();
  size_t cut = 0;
  for (auto& one : slow) {
    const auto [end, body] = one.get();
    cut += end != End::whole;
    EXPECT_EQ(end, body == large ? End::whole : End::broken);
    EXPECT_TRUE(body == large.substr(0, body.size()));
  }
  EXPECT_EQ(cut, 1u) << "one place was wanted";
}

TEST_F(PassageTest, a_front_ends_when_the_client_goes) {
  upstream_.ranges = false;
  client_.most = 1;
  auto passage = of({0, blob_.size()});
  ASSERT_TRUE(passage.begin());
  EXPECT_EQ(passage.send(client_), End::left);
  EXPECT_FALSE(passage.showed_all());
}

}  // namespace
}  // namespace swarmfs::mirror
