// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/tree_document.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/tar_maker.h"
#include "util/file.h"

namespace swarmfs::content {
namespace {

TreeDocument sample(const std::string& claimant, const std::string& claim) {
  chunk::HashTreeBuilder builder;
  builder.feed(util::as_bytes(support::noise(100'000, 3)));
  return {std::make_shared<const chunk::HashTree>(builder.finish()),
          util::Sha256::of(util::as_bytes("index")), claimant, claim};
}

TEST(TreeDocument, survives_its_document) {
  for (const auto& made : {sample("", ""), sample("3fa4", R"({"root":"…"})")}) {
    const auto read = TreeDocument::parse(made.serialize());
    ASSERT_TRUE(read) << read.failure().message;
    EXPECT_EQ(read->tree->root(), made.tree->root());
    EXPECT_EQ(read->tree->leaves(), made.tree->leaves());
    EXPECT_EQ(read->tree->size(), 100'000u);
    EXPECT_EQ(read->index, made.index);
    EXPECT_EQ(read->claimant, made.claimant);
    EXPECT_EQ(read->claim, made.claim);
    EXPECT_EQ(read->claimed(), !made.claimant.empty());
  }
}

TEST(TreeDocument, refuses_a_damaged_document) {
  const auto good = sample("3fa4", "claim").serialize();
  for (size_t at = 0; at < good.size(); ++at) {
    auto bad = good;
    bad[at] ^= std::byte{0x40};
    EXPECT_FALSE(TreeDocument::parse(bad)) << at;
  }
  for (size_t keep = 0; keep < good.size(); ++keep)
    EXPECT_FALSE(TreeDocument::parse(util::ByteView(good).first(keep))) << keep;
}

TEST(TreeDocument, refuses_every_crime_of_the_museum) {
  size_t seen = 0;
  for (const auto& file : std::filesystem::directory_iterator(SWARMFS_REFUSE_TREES)) {
    if (file.path().extension() != ".tree") continue;
    const auto outcome = TreeDocument::parse(*util::read_file(file.path()));
    ASSERT_FALSE(outcome) << file.path().filename();
    EXPECT_EQ(outcome.failure().fault, util::Fault::corrupt);
    ++seen;
  }
  EXPECT_GE(seen, 13u);
}

}  // namespace
}  // namespace swarmfs::content
