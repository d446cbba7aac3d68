// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// Catalog: whose a layer is.

#include "catalog_fixture.h"

namespace swarmfs::daemon {
namespace {

TEST_F(CatalogTest, a_manifest_that_names_a_layer_shows_nothing) {
  start();
  resolve("one");
  EXPECT_FALSE(catalog_->is_shown(digest_of("one 0"), kName));
  EXPECT_EQ(catalog_->size_of(digest_of("one 0"), kName), 9u);
  EXPECT_FALSE(catalog_->size_of(digest_of("two 0"), kName));
  EXPECT_TRUE(catalog_->names_manifest(image_of("one").digest, kName));
  EXPECT_FALSE(catalog_->names_manifest(image_of("two").digest, kName));
  catalog_->showed(digest_of("two 0"), kName);
  EXPECT_FALSE(catalog_->is_shown(digest_of("two 0"), kName)) << "it does not even name it";
  catalog_->showed(digest_of("one 0"), kName);
  EXPECT_TRUE(catalog_->is_shown(digest_of("one 0"), kName));
  EXPECT_FALSE(catalog_->is_shown(digest_of("shared"), kName));
}

TEST_F(CatalogTest, what_came_in_one_name_alone_is_its_also_after_a_restart) {
  inquiries_.credentials = true;
  inquiries_.refusal = Fault::denied;
  start();
  resolve("one");
  catalog_->came(digest_of("one 0"), {{"reg.example.com", "team/app"}});
  catalog_->came(digest_of("shared"), {{"reg.example.com", "team/app"}, {"evil.example.com", "x"}});
  settle();
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(catalog_->is_shown(digest_of("one 0"), kName));
    EXPECT_FALSE(catalog_->is_shown(digest_of("shared"), kName)) << "who gave it is not known";
    start();
  }
}

TEST_F(CatalogTest, what_is_of_a_public_repository_anybody_may_have_as_long_as_it_is_public) {
  const std::string other = "reg.example.com/team/other";
  inquiries_.credentials = true;
  start();
  resolve("one");
  ASSERT_TRUE(is_public());
  catalog_->showed(digest_of("one 0"), kName);
  EXPECT_TRUE(catalog_->is_shown(digest_of("one 0"), other));
  EXPECT_TRUE(catalog_->is_shown(digest_of("one 0"), "")) << "in nobody's name, too";
  EXPECT_TRUE(catalog_->are_open({{"reg.example.com", "team/app"}}, other));
  clock_.advance(minutes(61));
  EXPECT_FALSE(catalog_->is_shown(digest_of("one 0"), other));
  EXPECT_TRUE(catalog_->is_shown(digest_of("one 0"), kName));
  EXPECT_FALSE(catalog_->are_open({{"reg.example.com", "team/app"}}, other));
  EXPECT_TRUE(catalog_->are_open({{"reg.example.com", "team/app"}}, kName));
  EXPECT_TRUE(catalog_->are_open({}, "")) << "nothing came";
}

TEST_F(CatalogTest, two_public_names_share_what_came_in_both) {
  start();
  resolve("one");
  catalog_->resolved(at("reg.example.com/team/other:v1"), kPlatform, image_of("two"));
  settle();
  catalog_->came(digest_of("shared"),
                 {{"reg.example.com", "team/app"}, {"reg.example.com", "team/other"}});
  EXPECT_TRUE(catalog_->is_shown(digest_of("shared"), kName));
  EXPECT_TRUE(catalog_->is_shown(digest_of("shared"), "reg.example.com/team/other"));
}

TEST_F(CatalogTest, a_document_of_an_older_version_shows_nothing) {
  start();
  resolve("one");
  catalog_->showed(digest_of("one 0"), kName);
  settle();
  catalog_.reset();
  const std::string document = "repository/reg.example.com%2Fteam%2Fapp";
  auto text = std::string(util::as_text(*store_.load_document(document)));
  const std::string shown = R"(,"shown":[")" + digest_of("one 0").hex() + R"("])";
  ASSERT_NE(text.find(shown), std::string::npos) << text;
  text.erase(text.find(shown), shown.size());
  store_.save_document(document, util::as_bytes(text));
  start();
  EXPECT_TRUE(catalog_->belongs(digest_of("one 0"), kName));
  EXPECT_FALSE(catalog_->is_shown(digest_of("one 0"), kName));
}

}  // namespace
}  // namespace swarmfs::daemon
