// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "catalog_fixture.h"
#include "daemon/follow_indexes.h"

namespace swarmfs::daemon {
namespace {

TEST_F(CatalogTest, knows_which_layers_belong_to_a_repository) {
  start();
  EXPECT_FALSE(catalog_->belongs(digest_of("one 0"), kName));
  resolve("one");
  EXPECT_TRUE(catalog_->belongs(digest_of("one 0"), kName));
  EXPECT_TRUE(catalog_->belongs(digest_of("shared"), kName));
  EXPECT_FALSE(catalog_->belongs(digest_of("two 0"), kName));
  EXPECT_FALSE(catalog_->belongs(digest_of("one 0"), "reg.example.com/team/other"));
  resolve("two");
  EXPECT_TRUE(catalog_->belongs(digest_of("two 0"), kName));
  EXPECT_TRUE(catalog_->belongs(digest_of("one 0"), kName));
}

TEST_F(CatalogTest, names_each_stored_layer_once_and_no_config) {
  start();
  resolve("one");
  catalog_->resolved(at("reg.example.com/other:v1"), kPlatform, image_of("two"));
  settle();
  store_.layers_ = {digest_of("shared"), digest_of(config_text("one"))};
  EXPECT_EQ(catalog_->stored_layers(), std::set<util::Digest>{digest_of("shared")});
}

TEST_F(CatalogTest, without_credentials_what_was_resolved_is_public_and_nobody_is_asked) {
  start();
  EXPECT_FALSE(is_public()) << "nothing was resolved yet";
  resolve("one");
  EXPECT_TRUE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 0);
}

TEST_F(CatalogTest, with_credentials_the_registry_is_asked_once_an_hour) {
  inquiries_.credentials = true;
  start();
  resolve("one");
  EXPECT_TRUE(is_public());
  EXPECT_EQ(inquiries_.last, kName + "@" + image_of("one").digest.to_string());
  resolve("one");
  resolve("two");
  EXPECT_EQ(inquiries_.asked_as_nobody, 1);
  inquiries_.refusal = Fault::denied;
  clock_.advance(minutes(49));
  EXPECT_TRUE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 1);
  clock_.advance(minutes(2));
  EXPECT_TRUE(is_public()) << "still believed while it is asked again";
  EXPECT_EQ(inquiries_.asked_as_nobody, 2);
  EXPECT_FALSE(is_public()) << "and now it is closed";
}

TEST_F(CatalogTest, a_belief_ends_after_an_hour_when_the_registry_does_not_answer) {
  inquiries_.credentials = true;
  start();
  resolve("one");
  inquiries_.refusal = Fault::timed_out;
  clock_.advance(minutes(55));
  EXPECT_TRUE(is_public());
  clock_.advance(minutes(6));
  EXPECT_FALSE(is_public());
  inquiries_.refusal.reset();
  clock_.advance(minutes(2));
  EXPECT_FALSE(is_public());
  EXPECT_TRUE(is_public()) << "it was asked once more";
}

TEST_F(CatalogTest, a_registry_that_is_silent_is_not_asked_again_within_a_minute) {
  inquiries_.credentials = true;
  inquiries_.refusal = Fault::unavailable;
  start();
  resolve("one");
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 1);
  clock_.advance(minutes(1));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 2);
}

TEST_F(CatalogTest, a_closed_repository_gives_the_secret_of_each_manifest) {
  inquiries_.credentials = true;
  inquiries_.refusal = Fault::denied;
  start();
  resolve("one");
  resolve("two");
  const auto access = catalog_->access(kName);
  EXPECT_FALSE(access.known_public);
  EXPECT_EQ(access.secrets,
            (std::map<util::Digest, util::Digest>{{image_of("one").digest, secret_of("one")},
                                                  {image_of("two").digest, secret_of("two")}}));
  EXPECT_EQ(inquiries_.asked_for_config, 2);
}

TEST_F(CatalogTest, a_config_that_did_not_come_is_asked_for_again_when_a_peer_wants_to_know) {
  inquiries_.config_there = false;
  start();
  resolve("one");
  EXPECT_TRUE(catalog_->access(kName).secrets.empty());
  inquiries_.config_there = true;
  clock_.advance(minutes(1));
  EXPECT_TRUE(catalog_->access(kName).secrets.empty());
  settle();
  EXPECT_EQ(catalog_->access(kName).secrets.at(image_of("one").digest), secret_of("one"));
}

TEST_F(CatalogTest, a_member_is_believed_only_where_there_is_nothing_to_give_away) {
  start();
  resolve("one", true);
  EXPECT_TRUE(is_public());
  EXPECT_TRUE(catalog_->belongs(digest_of("one 0"), kName));
  EXPECT_EQ(inquiries_.asked_as_nobody + inquiries_.asked_for_config, 0)
      << "the registry was spared";
}

TEST_F(CatalogTest, a_member_is_not_believed_by_who_has_credentials) {
  inquiries_.credentials = true;
  inquiries_.refusal = Fault::denied;
  start();
  resolve("one", true);
  EXPECT_FALSE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 1);
  // The credentials go, but what they gave is still here: the registry decides.
  inquiries_.credentials = false;
  clock_.advance(minutes(70));
  resolve("two", true);
  EXPECT_FALSE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 2);
}

TEST_F(CatalogTest, a_member_opens_no_layer_that_is_here_from_elsewhere) {
  start();
  store_.layers_ = {digest_of("one 0")};
  resolve("one", true);
  EXPECT_FALSE(is_public());
  EXPECT_FALSE(catalog_->belongs(digest_of("one 0"), kName)) << "it would be given to anybody";
  catalog_->resolved(at("reg.example.com/other:v1"), kPlatform, image_of("one"));
  settle();
  resolve("one", true);
  EXPECT_TRUE(catalog_->belongs(digest_of("one 0"), kName)) << "it is public already";
  EXPECT_TRUE(is_public());
}

TEST_F(CatalogTest, of_what_a_runtime_pulled_the_registry_is_asked_who_may_have_it) {
  start();
  const auto config = bytes_of(config_text("one"));
  EXPECT_TRUE(catalog_->found(at(kName + ":v1"), kPlatform, image_of("one"), config));
  settle();
  EXPECT_EQ(inquiries_.asked_as_nobody, 1) << "though this node has no credentials";
  EXPECT_EQ(inquiries_.asked_for_config, 0) << "the runtime had it";
  EXPECT_TRUE(is_public());
  EXPECT_TRUE(catalog_->belongs(digest_of("one 0"), kName));
  EXPECT_EQ(catalog_->access(kName).secrets.at(image_of("one").digest), secret_of("one"));
  EXPECT_FALSE(catalog_->manifest(kName + ":v1", kPlatform.to_string())) << "a name is only a name";
}

TEST_F(CatalogTest, what_a_runtime_pulled_is_private_where_the_registry_says_so) {
  for (const auto refusal : {Fault::denied, Fault::not_found, Fault::timed_out}) {
    inquiries_.refusal = refusal;
    start();
    EXPECT_TRUE(catalog_->found(at(kName + ":v1"), kPlatform, image_of("one"),
                                bytes_of("a config of something else")));
    settle();
    EXPECT_FALSE(is_public());
    clock_.advance(std::chrono::hours(2));
  }
  EXPECT_EQ(catalog_->access(kName).secrets.at(image_of("one").digest), secret_of("one"))
      << "of the config that the registry gave";
}

TEST_F(CatalogTest, a_runtime_opens_no_layer_of_another_registrys) {
  inquiries_.refusal = Fault::denied;
  start();
  resolve("one", false);
  store_.layers_ = {digest_of("one 0")};
  const auto found = [&](const std::string& name, const std::string& image) {
    return catalog_->found(at(name + ":v1"), kPlatform, image_of(image), {});
  };
  EXPECT_TRUE(found("reg.example.com/team/other", "one"))
      << "the registry has looked after its own";
  EXPECT_FALSE(found("reg.example.com.evil.org/x", "one"));
  EXPECT_FALSE(found("reg.example.co/x", "one"));
  EXPECT_FALSE(catalog_->belongs(digest_of("one 0"), "reg.example.co/x"));
}

TEST_F(CatalogTest, a_runtime_opens_no_layer_that_it_has_from_elsewhere_too_unless_it_is_public) {
  start();
  const std::vector<util::Digest> elsewhere{digest_of("one 0")};
  const auto found = [&] {
    return catalog_->found(at("evil.org/x:v1"), kPlatform, image_of("one"), {}, elsewhere);
  };
  EXPECT_FALSE(found()) << "though nothing of it is in the cache";
  EXPECT_FALSE(catalog_->belongs(digest_of("one 0"), "evil.org/x"));
  resolve("one", false);
  ASSERT_TRUE(is_public());
  EXPECT_TRUE(found());
}

TEST_F(CatalogTest, a_member_that_says_closed_says_nothing_of_us) {
  inquiries_.refusal = Fault::not_found;
  start();
  resolve("one", false);
  EXPECT_FALSE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 1);
}

TEST_F(CatalogTest, a_reference_stands_for_what_the_registry_said_last) {
  start();
  resolve("one");
  resolve("two", {}, "v2");
  const auto v1 = catalog_->manifest("reg.example.com/team/app:v1", "linux/amd64");
  ASSERT_TRUE(v1);
  EXPECT_EQ(v1->digest, image_of("one").digest);
  EXPECT_EQ(v1->bytes, image_of("one").manifest);
  EXPECT_FALSE(catalog_->manifest("reg.example.com/team/app:v1", "linux/arm64"));
  EXPECT_FALSE(catalog_->manifest("reg.example.com/team/app:v3", "linux/amd64"));
  EXPECT_FALSE(catalog_->manifest("no reference at all", "linux/amd64"));
  const auto by_digest =
      catalog_->manifest("reg.example.com/team/app@" + v1->digest.to_string(), "linux/amd64");
  ASSERT_TRUE(by_digest);
  EXPECT_EQ(by_digest->bytes, v1->bytes);
  resolve("two");
  EXPECT_EQ(catalog_->manifest("reg.example.com/team/app:v1", "linux/amd64")->digest,
            image_of("two").digest);
  resolve("one", true);
  EXPECT_FALSE(catalog_->manifest("reg.example.com/team/app:v1", "linux/amd64"))
      << "what a member said is not passed on";
}

/// An index with the image "one" for our platform, and another for another one.
util::Bytes index_text() {
  const auto entry = [](const std::string& image, const std::string& architecture) {
    return R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","size":9,"digest":")" +
           image_of(image).digest.to_string() + R"(","platform":{"os":"linux","architecture":")" +
           architecture + "\"}}";
  };
  return bytes_of(R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",)"
                  R"("manifests":[)" +
                  entry("other", "arm64") + "," + entry("one", "amd64") + "]}");
}

TEST_F(CatalogTest, an_index_is_given_by_its_digest_and_nothing_else_is) {
  const auto digest = util::Sha256::of(index_text());
  const std::string name = kName + "@" + digest.to_string();
  start();
  resolve("one");
  EXPECT_FALSE(catalog_->manifest(name, "linux/amd64"));
  auto resolved = image_of("one");
  resolved.indexes.push_back(index_text());
  catalog_->resolved(at(name), kPlatform, resolved);
  settle();
  for (int i = 0; i < 2; ++i) {
    const auto given = catalog_->manifest(name, "linux/amd64");
    ASSERT_TRUE(given);
    EXPECT_EQ(given->digest, digest);
    EXPECT_EQ(given->bytes, index_text());
    EXPECT_EQ(catalog_->manifest(kName + "@" + resolved.digest.to_string(), "linux/amd64")->bytes,
              resolved.manifest);
    EXPECT_FALSE(catalog_->manifest(kName + "@" + digest_of("unknown").to_string(), "linux/amd64"));
    start();  // from the disk
  }
}

TEST_F(CatalogTest, keeps_the_newest_indexes) {
  start();
  std::vector<util::Digest> digests;
  auto resolved = image_of("one");
  for (size_t i = 0; i <= Repository::kIndexes; ++i) {
    auto index = index_text();
    index.insert(index.end(), i, std::byte(' '));
    digests.push_back(util::Sha256::of(index));
    resolved.indexes = {index};
    catalog_->resolved(at(kName + ":v1"), kPlatform, resolved);
  }
  settle();
  const auto knows = [&](const util::Digest& digest) {
    return catalog_->manifest(kName + "@" + digest.to_string(), "linux/amd64").has_value();
  };
  EXPECT_FALSE(knows(digests[0]));
  for (size_t i = 1; i < digests.size(); ++i) EXPECT_TRUE(knows(digests[i])) << i;
}

TEST(FollowIndexes, leads_from_an_index_to_the_manifest_of_a_platform) {
  const auto index = index_text();
  std::vector<std::string> asked;
  const auto fetch = [&](const oci::Reference& reference) -> util::Outcome<Document> {
    asked.push_back(reference.to_string());
    if (asked.size() == 1) return Document{util::Sha256::of(index), index};
    return Document{image_of("one").digest, image_of("one").manifest};
  };
  const auto found = follow_indexes(at(kName + ":v1"), kPlatform, fetch);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->digest, image_of("one").digest);
  EXPECT_EQ(found->manifest, image_of("one").manifest);
  EXPECT_EQ(found->indexes, std::vector<util::Bytes>{index});
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_NE(asked[1].find(image_of("one").digest.to_string()), std::string::npos);
  asked.clear();
  const auto none = follow_indexes(at(kName + ":v1"), {"windows", "amd64", ""}, fetch);
  EXPECT_EQ(none.failure().fault, Fault::not_found);
}

TEST(FollowIndexes, ends_with_indexes_that_lead_nowhere) {
  const auto fetch = [](const oci::Reference&) -> util::Outcome<Document> {
    return Document{util::Sha256::of(index_text()), index_text()};
  };
  EXPECT_EQ(follow_indexes(at(kName + ":v1"), kPlatform, fetch).failure().fault, Fault::invalid);
}

TEST_F(CatalogTest, a_manifest_of_a_closed_repository_is_not_given) {
  inquiries_.credentials = true;
  inquiries_.refusal = Fault::denied;
  start();
  resolve("one");
  EXPECT_FALSE(catalog_->manifest(kName + ":v1", "linux/amd64"));
}

TEST_F(CatalogTest, all_of_it_is_back_after_a_restart) {
  start();
  resolve("one");
  inquiries_ = {};
  inquiries_.credentials = true;
  inquiries_.refusal = Fault::denied;
  start();
  EXPECT_TRUE(catalog_->belongs(digest_of("one 0"), kName));
  EXPECT_TRUE(is_public());
  EXPECT_EQ(catalog_->access(kName).secrets.at(image_of("one").digest), secret_of("one"));
  EXPECT_EQ(catalog_->manifest(kName + ":v1", "linux/amd64")->bytes, image_of("one").manifest);
  EXPECT_EQ(inquiries_.asked_as_nobody + inquiries_.asked_for_config, 0);
}

TEST_F(CatalogTest, what_was_found_long_before_a_restart_is_asked_again) {
  inquiries_.credentials = true;
  start();
  resolve("one");
  catalog_.reset();
  const std::string document = "repository/reg.example.com%2Fteam%2Fapp";
  auto text = std::string(util::as_text(*store_.load_document(document)));
  const size_t at = text.find(R"("found_at":)");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, text.find(',', at) - at, R"("found_at":1700000000)");
  store_.save_document(document, util::as_bytes(text));
  start();
  EXPECT_FALSE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 2);
  EXPECT_TRUE(is_public());
}

TEST_F(CatalogTest, without_a_cluster_no_registry_is_asked) {
  start(false);
  resolve("one");
  EXPECT_FALSE(catalog_->access(kName).known_public);
  clock_.advance(minutes(70));
  EXPECT_FALSE(is_public());
  EXPECT_EQ(inquiries_.asked_as_nobody, 0);
  EXPECT_TRUE(catalog_->belongs(digest_of("one 0"), kName));
}

TEST_F(CatalogTest, forgets_the_repositories_that_were_not_resolved_for_longest) {
  start(false);
  resolve("one");
  for (size_t i = 0; i < Catalog::kRepositories; ++i)
    catalog_->resolved(at("many.example.com/r" + std::to_string(i) + ":v1"), kPlatform,
                       image_of("two"));
  settle();
  EXPECT_FALSE(catalog_->belongs(digest_of("one 0"), kName));
  EXPECT_FALSE(store_.load_document("repository/reg.example.com%2Fteam%2Fapp"));
  EXPECT_TRUE(catalog_->belongs(digest_of("two 0"), "many.example.com/r1023"));
}

TEST(Repository, keeps_the_newest_manifests_and_references) {
  Repository repository(kName);
  const auto add = [&](int i) {
    const auto image = image_of("i" + std::to_string(i));
    repository.add(*Repository::read(image.digest, image.manifest),
                   kName + ":v" + std::to_string(i), "linux/amd64", false);
  };
  for (int i = 0; i < 64; ++i) add(i);
  add(0);
  add(64);
  EXPECT_EQ(repository.manifests().size(), Repository::kManifests);
  EXPECT_TRUE(repository.names_layer(digest_of("i0 0"))) << "resolved again, so it is young";
  EXPECT_FALSE(repository.names_layer(digest_of("i1 0")));
  EXPECT_TRUE(repository.find(kName + ":v0", "linux/amd64"));
  EXPECT_FALSE(repository.find(kName + ":v1", "linux/amd64"));
}

TEST(Repository, takes_no_manifest_that_is_not_its_digests) {
  const auto one = image_of("one");
  EXPECT_TRUE(Repository::read(one.digest, one.manifest));
  EXPECT_FALSE(Repository::read(one.digest, image_of("two").manifest));
  const std::string index = R"({"schemaVersion":2,"manifests":[]})";
  EXPECT_FALSE(Repository::read(digest_of(index), util::as_bytes(index)));
}

TEST(Repository, reads_only_documents_that_make_sense) {
  Repository repository(kName);
  const auto one = image_of("one");
  repository.add(*Repository::read(one.digest, one.manifest), kName + ":v1", "linux/amd64", false);
  const std::string good = repository.to_json();
  ASSERT_TRUE(Repository::parse(good));
  EXPECT_EQ(Repository::parse(good)->to_json(), good);
  for (const char* bad : {"", "[]", "{}", R"({"version":2})", R"({"version":1,"repository":7})"})
    EXPECT_FALSE(Repository::parse(bad)) << bad;
  std::string changed = good;
  changed.replace(changed.find("schemaVersion"), 6, "SCHEMA");
  const auto rest = Repository::parse(changed);
  ASSERT_TRUE(rest);
  EXPECT_TRUE(rest->manifests().empty());
  EXPECT_FALSE(rest->find(kName + ":v1", "linux/amd64"));
}

}  // namespace
}  // namespace swarmfs::daemon
