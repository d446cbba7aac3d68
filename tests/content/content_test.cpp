// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content_fixture.h"

#include <fstream>
#include <latch>

#include "util/file.h"

namespace swarmfs::content {
namespace {

using util::as_bytes;
using util::ByteRange;
using util::Fault;
using util::Outcome;

TEST_F(ContentTest, a_layer_that_was_built_is_sealed_and_can_be_published) {
  start(layer_);
  EXPECT_FALSE(library_->published(ref_.digest));
  EXPECT_FALSE(library_->may_publish(ref_.digest));
  const auto content = open();
  EXPECT_TRUE(library_->may_publish(ref_.digest));
  ASSERT_TRUE(content->bytes->sealed());
  EXPECT_EQ(content->bytes->tree()->root(), tree_of(layer_)->root());
  const auto published = library_->published(ref_.digest);
  ASSERT_TRUE(published);
  EXPECT_EQ(published->index, index_of(layer_).serialize());
  EXPECT_EQ(published->leaves, tree_of(layer_)->leaf_bytes());
  EXPECT_EQ(published->root, tree_of(layer_)->root());
  EXPECT_EQ(published->size, layer_.size());
  EXPECT_EQ(published->claim, own_claim());
  expect_true_bytes(content);
}

TEST_F(ContentTest, a_sealed_layer_is_sealed_after_a_restart_and_nothing_is_hashed_again) {
  start(layer_);
  open();
  start("");
  EXPECT_TRUE(library_->may_publish(ref_.digest)) << "before anybody opened it";
  const auto content = library_->open_known(ref_);
  ASSERT_TRUE(content);
  ASSERT_TRUE(content->bytes->sealed());
  EXPECT_EQ(content->bytes->tree()->root(), tree_of(layer_)->root());
  EXPECT_TRUE(content->bytes->stored().verified());
  EXPECT_TRUE(library_->verify(*content));
  EXPECT_EQ(source_->requests(), 0u);
  EXPECT_EQ(library_->published(ref_.digest)->claim, own_claim());
}

TEST_F(ContentTest, a_known_layer_takes_in_where_else_it_can_be_had) {
  start(layer_);
  const auto content = open();
  auto elsewhere = ref_;
  elsewhere.origins = {{"elsewhere.example.com", "team/app"}};
  EXPECT_EQ(library_->open(elsewhere)->get(), content.get());
  EXPECT_EQ(content->bytes->with_origins().origins.back(), elsewhere.origins.front());
}

TEST_F(ContentTest, without_a_cluster_nothing_is_published) {
  start(layer_, false);
  EXPECT_TRUE(open()->bytes->sealed());
  EXPECT_FALSE(library_->published(ref_.digest));
}

TEST_F(ContentTest, a_claim_makes_a_layer_lazy_and_sealed_before_any_byte_has_come) {
  start(layer_);
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  EXPECT_EQ(source_->requests(), 0u);
  ASSERT_TRUE(content->bytes->sealed());
  EXPECT_TRUE(content->standing->claimed());
  expect_true_bytes(content);
  const auto held = fetcher_->held_block(*content->bytes);
  ASSERT_TRUE(held);
  EXPECT_FALSE(*held) << "what fits a claim may be nothing of the layer's";
  EXPECT_FALSE(library_->published(ref_.digest)) << "not all windows of the index are here";
  EXPECT_FALSE(library_->may_publish(ref_.digest));
  bring_windows(content);
  EXPECT_TRUE(library_->may_publish(ref_.digest));
  EXPECT_EQ(library_->published(ref_.digest)->claim, "claim of b0b") << "passed on";

  start(layer_);
  const auto again = library_->open_known(ref_);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->bytes->sealed());
  EXPECT_TRUE(again->standing->claimed()) << "a restart makes no claim true";
}

TEST_F(ContentTest, a_claim_that_held_on_completion_becomes_this_nodes_own_word) {
  start(layer_);
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  const auto outcome = complete(*content);
  ASSERT_TRUE(outcome) << outcome.failure().message;
  EXPECT_FALSE(content->standing->claimed());
  EXPECT_EQ(library_->published(ref_.digest)->claim, own_claim());
  EXPECT_TRUE(content->bytes->stored().verified());
  EXPECT_EQ(claims_.hashed, std::vector{ref_.digest}) << "its bytes are told of";
  EXPECT_TRUE(claims_.blamed.empty());
  start("");
  EXPECT_FALSE(library_->open_known(ref_)->standing->claimed());
}

TEST_F(ContentTest, who_waits_for_a_claimed_layer_waits_for_its_digest_alone) {
  start(layer_);
  claims_.offers = {claim_of("liar")};
  claims_.offers.front().index = wrong_index();
  const auto content = open();
  bring_all(*content);
  RunningDigest digest(*fetcher_, content);
  EXPECT_TRUE(digest.advance());
  ASSERT_TRUE(library_->verify_digest(digest));
  EXPECT_TRUE(content->bytes->stored().verified());
  EXPECT_TRUE(content->standing->claimed()) << "of the index nobody knows yet";
  EXPECT_TRUE(library_->verify_digest(digest)) << "and once more";
  EXPECT_TRUE(claims_.blamed.empty());
  EXPECT_EQ(library_->verify(*content).failure().fault, Fault::corrupt);
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_EQ(open()->index->files, index_of(layer_).files);
}

TEST_F(ContentTest, bytes_of_another_digest_are_found_out_though_they_fit_the_claimed_tree) {
  auto other = layer_;
  other[other.size() / 2] ^= 1;
  start(other);
  const auto content = open_by_root_of(other);
  bring_all(*content);
  RunningDigest digest(*fetcher_, content);
  EXPECT_TRUE(digest.advance());
  EXPECT_EQ(library_->verify_digest(digest).failure().fault, Fault::corrupt);
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_EQ(content->bytes->stored().bytes_present(), 0u);
}

TEST_F(ContentTest, of_a_layer_that_is_here_no_claim_is_asked) {
  start(layer_);
  open();
  stop();
  std::filesystem::remove_all(directory_.path() / "docs");
  start("");
  claims_.offers = {claim_of("b0b")};
  EXPECT_FALSE(open()->standing->claimed());
  EXPECT_EQ(claims_.offers.size(), 1u);
}

TEST_F(ContentTest, a_claim_of_another_size_is_blamed_and_the_next_one_asked) {
  start(layer_);
  auto wrong_tree = claim_of("liar1"), wrong_index = claim_of("liar2");
  wrong_tree.tree = tree_of(layer_ + "more");
  auto index = index_of(layer_);
  ++index.layer_size;
  wrong_index.index = index.serialize();
  claims_.offers = {wrong_tree, wrong_index, claim_of("b0b")};
  const auto content = open();
  EXPECT_EQ(claims_.blamed, (std::vector<std::string>{"liar1", "liar2"})) << claims_.reasons;
  EXPECT_EQ(failures("peer"), 2);
  EXPECT_EQ(content->standing->document()->claimant, "b0b");
}

TEST_F(ContentTest, an_unreadable_index_is_blamed_and_one_of_another_version_is_not) {
  start(layer_);
  auto unreadable = claim_of("liar"), newer = claim_of("newer");
  unreadable.index[100] ^= std::byte{1};
  newer.index[7] = std::byte{'9'};
  claims_.offers = {unreadable, newer};
  const auto content = open();
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_FALSE(content->standing->claimed()) << "built here";
  expect_true_bytes(content);
}

TEST_F(ContentTest, a_claim_for_a_layer_without_random_access_is_not_needed) {
  support::TarMaker tar;
  tar.file("big", support::noise(17 << 20, 4));
  const std::string whole = support::zstd(tar.finish());
  start(whole);
  claims_.offers = {{tree_of(whole), index_of(whole).serialize(), "b0b", "claim"}};
  const chunk::LayerRef ref{util::Sha256::of(as_bytes(whole)), whole.size(), {}};
  const auto opened = served([&] { return library_->open(ref); });
  ASSERT_TRUE(opened) << opened.failure().message;
  EXPECT_FALSE((*opened)->standing->claimed());
  const auto bytes = read(*opened, "big", {5'000'000, 1000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_EQ(*bytes, support::noise(17 << 20, 4).substr(5'000'000, 1000));
}

TEST_F(ContentTest, a_span_beyond_the_limit_is_no_random_access) {
  const std::string file = support::noise(18 << 20, 6);
  support::TarMaker tar;
  tar.file("big", file);
  const std::string gzipped = support::gzip(tar.finish());
  const chunk::LayerRef ref{util::Sha256::of(as_bytes(gzipped)), gzipped.size(), {}};
  auto index = index_of(gzipped);
  ASSERT_TRUE(index.seekable());
  // One checkpoint less than there must be, as another program might write it.
  const auto& points = index.checkpoints;
  size_t last = 1;
  while (last + 1 < points.size() && points[last + 1].space_offset <= layer::LayerIndex::kMaxSpan)
    ++last;
  index.checkpoints.erase(index.checkpoints.begin() + 1,
                          index.checkpoints.begin() + static_cast<std::ptrdiff_t>(last));
  EXPECT_TRUE(index.seekable()) << "the first span is as long as it may be";
  index.checkpoints.erase(index.checkpoints.begin() + 1);
  EXPECT_FALSE(index.seekable());
  for (auto& point : index.checkpoints) point.window = {}, point.window_hash = {};
  index.windows.clear();
  start(gzipped);
  cache_->save_document("index/" + ref.digest.hex(), index.serialize());
  const auto content = library_->open_known(ref);
  ASSERT_TRUE(content);
  ASSERT_TRUE(content->space) << "inflated as a whole";
  const auto bytes = read(content, "big", {17 << 20, 5000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_TRUE(*bytes == file.substr(17 << 20, 5000));
}

TEST_F(ContentTest, a_wrong_root_is_found_out_and_the_layer_gets_its_true_one) {
  start(layer_);
  const auto content = open_by_root_of(damaged(layer_));
  const auto outcome = complete(*content);
  ASSERT_TRUE(outcome) << outcome.failure().message;
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_EQ(failures("peer"), 1);
  EXPECT_EQ(content->bytes->tree()->root(), tree_of(layer_)->root());
  EXPECT_EQ(library_->published(ref_.digest)->claim, own_claim());
  expect_true_bytes(content);
}

TEST_F(ContentTest, bytes_that_fit_a_lying_root_do_not_pass_the_digest) {
  start(damaged(layer_));
  const auto content = open_by_root_of(damaged(layer_));
  EXPECT_EQ(complete(*content).failure().fault, Fault::corrupt);
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_EQ(content->bytes->stored().bytes_present(), 0u);
  EXPECT_FALSE(library_->published(ref_.digest));
  EXPECT_FALSE(library_->may_publish(ref_.digest));
  EXPECT_FALSE(library_->open_known(ref_));
  EXPECT_EQ(read(content, "big", {0, 10}).failure().fault, Fault::corrupt);

  start(layer_);
  const auto again = open();
  EXPECT_EQ(again->bytes->tree()->root(), tree_of(layer_)->root());
  expect_true_bytes(again);
}

TEST_F(ContentTest, a_wrong_index_is_found_out_and_never_read_through_again) {
  start(layer_);
  claims_.offers = {claim_of("liar")};
  claims_.offers.front().index = wrong_index();
  const auto content = open();
  EXPECT_EQ(complete(*content).failure().fault, Fault::corrupt);
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_EQ(read(content, "big", {0, 10}).failure().fault, Fault::corrupt);
  EXPECT_FALSE(library_->verify(*content));

  const size_t asked = source_->requests();
  const auto again = open();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->index->files, index_of(layer_).files);
  expect_true_bytes(again);
  EXPECT_EQ(source_->requests(), asked) << "the bytes were right and are still here";
}

TEST_F(ContentTest, a_claim_with_a_wrong_checkpoint_is_a_wrong_index) {
  start(layer_);
  auto lie = claim_of("liar");
  auto index = index_of(layer_);
  ASSERT_GT(index.checkpoints.size(), 2u);
  index.checkpoints[1].window_hash[5] ^= std::byte{1};
  lie.index = index.serialize();
  claims_.offers = {lie};
  EXPECT_FALSE(complete(*open()));
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
}

TEST_F(ContentTest, a_registry_that_contradicts_an_honest_claim_is_not_believed) {
  start(damaged(layer_));
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  EXPECT_EQ(complete(*content).failure().fault, Fault::corrupt);
  EXPECT_TRUE(claims_.blamed.empty()) << claims_.reasons;
  EXPECT_GE(failures("registry"), 1);
  EXPECT_EQ(content->bytes->tree()->root(), tree_of(layer_)->root());
}

TEST_F(ContentTest, a_read_under_a_lying_root_gets_the_true_bytes_and_the_lie_is_settled) {
  start(layer_);
  const auto content = open_by_root_of(damaged(layer_, 300'000));
  expect_true_bytes(content);
  served([&] {
    reader_.reset();  // waits for what it started
    return true;
  });
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_EQ(content->bytes->tree()->root(), tree_of(layer_)->root());
  EXPECT_FALSE(content->standing->claimed());
}

TEST_F(ContentTest, a_span_that_the_disk_lost_without_a_crash_is_fetched_again) {
  start(layer_);
  open();
  stop();
  const auto file = directory_.path() / "layers" / (ref_.digest.hex() + ".bytes");
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(200'000)
      .write(std::string(5000, '!').data(), 5000);
  start(layer_);
  const auto content = library_->open_known(ref_);
  const auto bytes = read(content, "big", {0, 900'000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_TRUE(*bytes == kFile);
  EXPECT_EQ(failures("cache"), 1);
}

TEST_F(ContentTest, a_dispute_lays_the_claim_aside_until_the_whole_layer_has_decided) {
  start(layer_);
  const auto content = open_by_root_of(damaged(layer_));
  EXPECT_TRUE(library_->dispute(*content));
  EXPECT_FALSE(content->bytes->sealed());
  EXPECT_FALSE(library_->published(ref_.digest));
  expect_true_bytes(content);
  EXPECT_TRUE(served([&] { return library_->settle(*content); }));
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_EQ(content->bytes->tree()->root(), tree_of(layer_)->root());
  EXPECT_FALSE(library_->dispute(*content)) << "nothing is claimed any more";
}

TEST_F(ContentTest, all_who_dispute_a_claim_at_once_go_on_when_it_is_laid_aside) {
  start(layer_);
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  const auto tree = content->bytes->tree();
  for (int i = 0; i < 50; ++i) {
    content->bytes->seal(tree, "b0b");
    content->standing->set_dispute(Standing::Dispute::none);
    std::latch together(3);
    std::vector<std::future<bool>> all;
    for (int k = 0; k < 3; ++k)
      all.push_back(std::async(std::launch::async, [&] {
        together.arrive_and_wait();
        return library_->dispute(*content) && !content->bytes->sealed();
      }));
    for (auto& one : all) EXPECT_TRUE(one.get());
  }
}

TEST_F(ContentTest, all_who_find_a_lie_at_once_share_one_look_at_it) {
  start(damaged(layer_));
  const auto content = open_by_root_of(damaged(layer_));
  bring_all(*content);
  std::latch together(4);
  std::vector<std::future<Outcome<util::Done>>> all;
  for (int i = 0; i < 4; ++i)
    all.push_back(std::async(std::launch::async, [&] {
      together.arrive_and_wait();
      return library_->verify(*content);
    }));
  for (auto& one : all) EXPECT_EQ(one.get().failure().fault, Fault::corrupt);
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"});
  EXPECT_EQ(failures("peer"), 1);
}

TEST_F(ContentTest, a_dispute_that_cannot_be_settled_now_ends_with_the_claim_in_place) {
  start(layer_);
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  ASSERT_TRUE(library_->dispute(*content));
  fetcher_->stop();
  EXPECT_EQ(library_->settle(*content).failure().fault, Fault::cancelled);
  EXPECT_TRUE(content->bytes->sealed());
  EXPECT_TRUE(claims_.blamed.empty());
}

TEST_F(ContentTest, a_damaged_tree_document_is_refused_and_made_again) {
  start(layer_);
  open();
  stop();
  std::fstream(tree_file(), std::ios::in | std::ios::out | std::ios::binary).seekp(90).put('!');
  start("");
  const auto content = library_->open_known(ref_);
  ASSERT_TRUE(content) << "the index is still good";
  EXPECT_FALSE(content->bytes->sealed());
  EXPECT_FALSE(library_->published(ref_.digest));
  EXPECT_TRUE(library_->verify(*content));
  ASSERT_TRUE(content->bytes->sealed());
  EXPECT_EQ(content->bytes->tree()->root(), tree_of(layer_)->root());
  EXPECT_EQ(source_->requests(), 0u);
  EXPECT_TRUE(TreeDocument::parse(*util::read_file(tree_file())));
}

TEST_F(ContentTest, an_index_of_unknown_origin_is_held_against_the_bytes) {
  start(layer_);
  open();
  cache_->save_document("index/" + ref_.digest.hex(), wrong_index());
  start("");
  const auto content = library_->open_known(ref_);
  ASSERT_TRUE(content);
  EXPECT_FALSE(content->bytes->sealed()) << "its tree belongs to another index";
  EXPECT_EQ(library_->verify(*content).failure().fault, Fault::corrupt);
  EXPECT_EQ(open()->index->files, index_of(layer_).files);
}

TEST_F(ContentTest, a_block_that_rots_before_an_unclean_stop_is_fetched_again) {
  start(layer_);
  open();
  crash();
  const auto file = directory_.path() / "layers" / (ref_.digest.hex() + ".bytes");
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(200'000).put('!');
  start(layer_);
  const auto content = library_->open_known(ref_);
  ASSERT_TRUE(content);
  const auto bytes = read(content, "big", {0, 900'000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_TRUE(*bytes == kFile);
  EXPECT_EQ(source_->requests(), 1u);
  EXPECT_EQ(failures("cache"), 1);
}

TEST_F(ContentTest, what_the_disk_lost_of_a_claimed_layer_is_not_the_claimants_fault) {
  start(layer_);
  claims_.offers = {claim_of("b0b")};
  { bring_all(*open()); }
  stop();
  const auto file = directory_.path() / "layers" / (ref_.digest.hex() + ".bytes");
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(200'000).put('!');
  start(layer_);
  const auto content = library_->open_known(ref_);
  const auto outcome = served([&] { return library_->verify(*content); });
  EXPECT_TRUE(outcome) << outcome.failure().message;
  EXPECT_TRUE(claims_.blamed.empty()) << claims_.reasons;
  EXPECT_FALSE(content->standing->claimed());
  expect_true_bytes(content);
}

TEST_F(ContentTest, bytes_of_an_earlier_run_that_are_wrong_are_fetched_again) {
  start(layer_);
  {
    util::Bytes wrong(chunk::kBlockSize, std::byte('!'));
    std::promise<void> written;
    cache_->open(ref_.digest, ref_.size, chunk::Form::bytes)
        ->write(chunk::BlockIndex{1}, util::SharedBytes::of(std::move(wrong)), chunk::Class::pull,
                [&](const Outcome<util::Done>& outcome) {
                  EXPECT_TRUE(outcome);
                  written.set_value();
                });
    written.get_future().wait();
  }
  start(layer_);
  const auto content = open();
  ASSERT_TRUE(content);
  expect_true_bytes(content);
}

TEST_F(ContentTest, all_who_open_a_layer_share_it) {
  start(layer_);
  const auto content = open();
  EXPECT_EQ(open(), content);
  EXPECT_EQ(library_->open_known(ref_), content);
}

}  // namespace
}  // namespace swarmfs::content
