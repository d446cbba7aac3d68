// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_reads.h"

#include <gtest/gtest.h>

#include "torrent_fixture.h"

namespace swarmfs::torrent_test {

class TorrentReadsTest : public testing::Test {
 protected:
  static constexpr uint64_t kBlock = chunk::kBlockSize, kStretch = swarm::TorrentReads::kStretch;

  ~TorrentReadsTest() override { calls_->wait(); }

  std::shared_ptr<swarm::TorrentLayer> layer_of(const Subject& subject,
                                                const std::shared_ptr<MemoryLayer>& stored) {
    return std::make_shared<swarm::TorrentLayer>(subject.ref, subject.tree, stored, "", workers_);
  }
  /// What comes, or the fault's name in brackets.
  void read(const std::shared_ptr<swarm::TorrentLayer>& layer, util::ByteRange range) {
    reads_.read(layer, range, [this](const util::Outcome<util::SharedBytes>& bytes) {
      came_.push_back(bytes ? std::string(util::as_text(bytes->view())) : "[fault]");
    });
  }
  std::vector<std::string> run() {
    network_.restart();
    network_.run();
    return std::exchange(came_, {});
  }
  void expect_read(util::ByteRange range) {
    read(layer_, range);
    EXPECT_TRUE(run() == std::vector{subject_.content.substr(range.offset, range.length)});
  }

  const Subject subject_{kStretch + 5 * kBlock + 77};
  util::Workers workers_{1};
  const std::shared_ptr<MemoryLayer> stored_ =
      std::make_shared<MemoryLayer>(subject_.ref.digest, subject_.ref.size, workers_);
  std::shared_ptr<swarm::TorrentLayer> layer_ = layer_of(subject_, stored_);
  lt::io_context network_;
  const std::shared_ptr<swarm::StoreCalls> calls_ = std::make_shared<swarm::StoreCalls>();
  swarm::TorrentReads reads_{network_, calls_};
  std::vector<std::string> came_;
};

TEST_F(TorrentReadsTest, the_store_is_asked_once_for_the_blocks_of_a_stretch) {
  stored_->put(subject_.content);
  for (const uint64_t block : {3, 4, 15}) read(layer_, {block * kBlock, kBlock});
  const auto came = run();
  ASSERT_EQ(came.size(), 3u);
  EXPECT_TRUE(came[0] == subject_.content.substr(3 * kBlock, kBlock));
  EXPECT_TRUE(came[1] == subject_.content.substr(4 * kBlock, kBlock));
  EXPECT_TRUE(came[2] == subject_.content.substr(15 * kBlock, kBlock));
  expect_read({0, kBlock});
  EXPECT_EQ(stored_->reads(), 1u);
  expect_read({kStretch + 5 * kBlock, 77});
  EXPECT_EQ(stored_->reads(), 2u);
}

TEST_F(TorrentReadsTest, what_lies_in_two_stretches_or_in_none_comes_too) {
  stored_->put(subject_.content);
  expect_read({kStretch - 10, kBlock});
  expect_read({subject_.ref.size, 0});
}

TEST_F(TorrentReadsTest, is_never_answered_before_read_returns) {
  stored_->put(subject_.content);
  expect_read({0, kBlock});
  read(layer_, {0, kBlock});
  EXPECT_TRUE(came_.empty());
  EXPECT_EQ(run().size(), 1u);
}

TEST_F(TorrentReadsTest, a_layer_that_has_lost_its_bytes_is_broken) {
  stored_->put(subject_.content, {0, 4});
  read(layer_, {0, kBlock});
  read(layer_, {kBlock, kBlock});
  EXPECT_EQ(run(), (std::vector<std::string>{"[fault]", "[fault]"}));
  EXPECT_TRUE(layer_->broken());
  stored_->put(subject_.content);
  expect_read({0, kBlock});
}

TEST_F(TorrentReadsTest, holds_no_layer_that_it_is_to_forget) {
  stored_->put(subject_.content);
  expect_read({0, kBlock});
  read(layer_, {kStretch, kBlock});  // on its way
  reads_.forget(*layer_);
  EXPECT_EQ(reads_.kept(), 0u);
  const auto came = run();
  ASSERT_EQ(came.size(), 1u);
  EXPECT_TRUE(came[0] == subject_.content.substr(kStretch, kBlock));
  EXPECT_EQ(reads_.kept(), 0u);
  const std::weak_ptr<swarm::TorrentLayer> gone = layer_;
  layer_.reset();
  EXPECT_TRUE(await([&] { return gone.expired(); })) << "the store's callback may hold it a while";
}

TEST_F(TorrentReadsTest, keeps_what_was_used_last_and_no_end_of_it) {
  const Subject large(swarm::TorrentReads::kMostKept + 4 * kStretch, 2);
  const auto stored = std::make_shared<MemoryLayer>(large.ref.digest, large.ref.size, workers_);
  stored->put(large.content);
  const auto layer = layer_of(large, stored);
  const uint64_t all = large.ref.size / kStretch;
  for (uint64_t i = 0; i < all; ++i) {
    read(layer, {i * kStretch, kBlock});
    read(layer, {0, kBlock});
    run();
  }
  EXPECT_EQ(reads_.kept(), swarm::TorrentReads::kMostKept);
  EXPECT_EQ(stored->reads(), all) << "the first was used all the time";
  read(layer, {kStretch, kBlock});
  EXPECT_TRUE(run() == std::vector{large.content.substr(kStretch, kBlock)});
  EXPECT_EQ(stored->reads(), all + 1);
}

}  // namespace swarmfs::torrent_test
