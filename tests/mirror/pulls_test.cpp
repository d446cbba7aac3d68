// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/pulls.h"

#include <gtest/gtest.h>

namespace swarmfs::mirror {
namespace {

using namespace std::chrono_literals;

util::Digest digest_of(const std::string& text) {
  return util::Sha256::of(util::as_bytes(text));
}

Document document_of(const std::string& text) {
  const auto bytes = util::as_bytes(text);
  return Document::of({bytes.begin(), bytes.end()});
}

std::string descriptor(const std::string& name) {
  return R"({"digest":")" + digest_of(name).to_string() +
         R"(","size":5,"mediaType":"application/vnd.oci.image.layer.v1.tar"})";
}

Document image(const std::vector<std::string>& layers) {
  std::string text = R"({"schemaVersion":2,"config":)" + descriptor("config") + R"(,"layers":[)";
  for (const auto& layer : layers) text += (layer == layers[0] ? "" : ",") + descriptor(layer);
  return document_of(text + "]}");
}

/// What happens, in order; each line that it causes is heard.
class PullsTest : public testing::Test {
 protected:
  static oci::Reference reference(const std::string& text) { return *oci::Reference::parse(text); }
  void hear(const Pulls::Ended& ended) {
    for (const auto& pull : ended) heard_.push_back(in_words(pull));
  }
  void manifest(const std::string& what, const std::optional<Document>& document,
                const Caller& who) {
    auto given = document ? std::optional(Pulls::contents_of(*document)) : std::nullopt;
    hear(pulls_.manifest(now_, who, reference(what), std::move(given), "the manifest: 404"));
  }
  void manifest(const std::string& what, const std::optional<Document>& document) {
    manifest(what, document, who_);
  }
  oci::Reference blob_of(const std::string& repository, const std::string& name) {
    return reference(repository + "@" + digest_of(name).to_string());
  }
  Pulls::Id begin(const std::string& repository, const std::string& name, const Caller& who) {
    Pulls::Ended ended;
    const auto id = pulls_.blob_begins(now_, who, blob_of(repository, name), ended);
    hear(ended);
    return id;
  }
  void finish(Pulls::Id id, const std::string& name, std::map<std::string, uint64_t> sources,
              bool last = true, const std::string& failure = "") {
    hear(pulls_.blob_ended(now_, id, digest_of(name), sources, last, failure));
  }
  void blob(const std::string& repository, const std::string& name,
            std::map<std::string, uint64_t> sources = {{"cache", 1000}}) {
    const auto id = begin(repository, name, {who_.agent, "127.0.0.1:" + std::to_string(++port_)});
    now_ += 1s;
    finish(id, name, std::move(sources));
  }

  Pulls pulls_;
  util::SteadyTime now_{};
  const Caller who_{"containerd/1.6.20", "127.0.0.1:4000"};
  int port_ = 4000;
  std::vector<std::string> heard_;
  using Lines = std::vector<std::string>;
};

TEST_F(PullsTest, all_that_a_manifest_names_is_one_pull) {
  manifest("r.io/app:v1", image({"a", "b"}));
  manifest("r.io/app@" + image({"a", "b"}).digest.to_string(), image({"a", "b"}));
  blob("r.io/app", "config");
  blob("r.io/app", "a", {{"peer", 2'000'000}});
  blob("r.io/app", "a", {{"cache", 5}});
  EXPECT_EQ(heard_, Lines{});
  blob("r.io/app", "b", {{"cache", 500'000}, {"registry", 1'500'000}});
  EXPECT_EQ(heard_, Lines{"pulled r.io/app:v1 for containerd/1.6.20 at 127.0.0.1:4000: 3 blobs, "
                          "4.0 MB (cache 501 kB, peer 2.0 MB, registry 1.5 MB) in 4.0 s"});
  hear(pulls_.end_all());
  EXPECT_EQ(heard_.size(), 1u);
}

TEST_F(PullsTest, an_index_and_its_manifest_are_one_pull) {
  const auto child = image({"a"});
  const auto index = document_of(
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)"
      R"({"digest":")" +
      child.digest.to_string() +
      R"(","size":5,"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
      R"("platform":{"os":"linux","architecture":"amd64"}}]})");
  manifest("r.io/app:v1", index);
  manifest("r.io/app@" + index.digest.to_string(), index);
  manifest("r.io/app@" + child.digest.to_string(), child);
  blob("r.io/app", "config");
  blob("r.io/app", "a");
  EXPECT_EQ(heard_, Lines{"pulled r.io/app:v1 for containerd/1.6.20 at 127.0.0.1:4000: 2 blobs, "
                          "2.0 kB (cache 2.0 kB) in 2.0 s"});
}

TEST_F(PullsTest, what_the_client_has_already_ends_a_pull_by_silence_but_never_a_blob_under_way) {
  manifest("r.io/app:v1", image({"a", "b"}));
  now_ += 1s;
  const auto id = begin("r.io/app", "a", who_);
  now_ += 1h;
  hear(pulls_.tend(now_));
  EXPECT_EQ(heard_, Lines{});
  finish(id, "a", {{"registry", 7000}});
  now_ += Pulls::kIdle - 1s;
  hear(pulls_.tend(now_));
  EXPECT_EQ(heard_, Lines{});
  now_ += 1s;
  hear(pulls_.tend(now_));
  EXPECT_EQ(heard_, Lines{"pulled r.io/app:v1 for containerd/1.6.20 at 127.0.0.1:4000: 1 of 3 "
                          "blobs, 7.0 kB (registry 7.0 kB) in 3601.0 s"});
}

TEST_F(PullsTest, says_what_failed_but_not_that_it_was_asked_who_it_is) {
  manifest("r.io/app:v1", std::nullopt);
  manifest("r.io/app:v1", image({"a"}));
  blob("r.io/app", "config");
  hear(pulls_.blob_failed(now_, who_, blob_of("r.io/app", "a"), "blob a: 503"));
  const auto id = begin("r.io/app", "a", who_);
  finish(id, "a", {{"peer", 100}}, false, "blob a: the client left");
  blob("r.io/app", "a");
  EXPECT_EQ(heard_, Lines{"pulled r.io/app:v1 for containerd/1.6.20 at 127.0.0.1:4000: 2 blobs, "
                          "2.1 kB (cache 2.0 kB, peer 100 B) in 2.0 s; 2 answers failed: blob a: "
                          "the client left"});
  heard_.clear();
  manifest("r.io/none:v1", std::nullopt);
  hear(pulls_.end_all());
  EXPECT_EQ(heard_, Lines{"pulled r.io/none:v1 for containerd/1.6.20 at 127.0.0.1:4000: 0 blobs, "
                          "0 B (nothing) in 0.0 s; 1 answer failed: the manifest: 404"});
}

TEST_F(PullsTest, clients_repositories_and_images_are_told_apart) {
  manifest("r.io/app:v1", image({"a", "b"}));
  manifest("r.io/app:v2", image({"c", "d"}));
  manifest("r.io/other:v1", image({"a", "b"}));
  manifest("r.io/app:v1", image({"a", "b"}), {"skopeo/1 go/2 (linux)", "127.0.0.1:4000"});
  manifest("r.io/app:v1", image({"a", "b"}), {who_.agent, "10.0.0.7:4000"});
  blob("r.io/app", "d");
  blob("r.io/app", "a");
  blob("r.io/app", "b");
  blob("r.io/app", "c");
  hear(pulls_.end_all());
  ASSERT_EQ(heard_.size(), 5u);
  const char* parts[] = {"app:v1 for containerd/1.6.20 at 127.0.0.1:4000: 2 of 3 blobs",
                         "app:v2 for containerd/1.6.20 at 127.0.0.1:4000: 2 of 3 blobs",
                         "other:v1 for containerd/1.6.20 at 127.0.0.1:4000: 0 of 3 blobs",
                         "app:v1 for skopeo/1 at 127.0.0.1:4000: 0 of 3 blobs",
                         "app:v1 for containerd/1.6.20 at 10.0.0.7:4000: 0 of 3 blobs"};
  for (size_t i = 0; i < 5; ++i)
    EXPECT_NE(heard_[i].find(parts[i]), std::string::npos) << heard_[i];
}

TEST_F(PullsTest, a_tag_that_is_asked_for_again_is_another_pull) {
  manifest("r.io/app:v1", image({"a"}));
  blob("r.io/app", "a");
  manifest("r.io/app:v1", image({"a"}));
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_NE(heard_[0].find("1 of 2 blobs"), std::string::npos) << heard_[0];
}

TEST_F(PullsTest, a_blob_without_a_manifest_is_a_pull_of_its_own) {
  blob("r.io/app", "x");
  blob("r.io/app", "y");
  hear(pulls_.end_all());
  EXPECT_EQ(heard_, Lines{"pulled r.io/app@" + digest_of("x").to_string() +
                          " for containerd/1.6.20 at 127.0.0.1:4001: 2 blobs, 2.0 kB (cache 2.0 "
                          "kB) in 2.0 s"});
}

TEST_F(PullsTest, a_name_of_a_client_can_write_no_line_of_its_own) {
  manifest("r.io/app:v1", image({"a"}), {"\x1b[2J\nx" + std::string(500, 'y'), "127.0.0.1:1"});
  manifest("r.io/app:v1", image({"a"}), {"", "127.0.0.1:1"});
  hear(pulls_.end_all());
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_NE(heard_[0].find("for ?[2J?xyyy"), std::string::npos) << heard_[0];
  EXPECT_LT(heard_[0].size(), 250u);
  EXPECT_NE(heard_[1].find("for a client without a name at"), std::string::npos) << heard_[1];
}

TEST_F(PullsTest, they_are_bounded_and_those_that_make_room_are_told) {
  const auto id = begin("r.io/first", "x", who_);
  now_ += 1s;
  for (size_t i = 0; i < Pulls::kMost + 10; ++i)
    manifest("r.io/app:v" + std::to_string(i), image({"a"}));
  EXPECT_EQ(heard_.size(), 11u);
  finish(id, "x", {{"cache", 5}});
  EXPECT_EQ(heard_.size(), 11u);
  hear(pulls_.end_all());
  EXPECT_EQ(heard_.size(), Pulls::kMost + 11);
  EXPECT_TRUE(heard_[11].starts_with("pulled r.io/first")) << heard_[11];
  EXPECT_NE(heard_[11].find(": 1 blob, 5 B (cache 5 B)"), std::string::npos)
      << heard_[11] << ": whose blob is on its way makes no room";
}

TEST_F(PullsTest, none_of_which_a_blob_is_on_its_way_makes_room) {
  std::vector<Pulls::Id> ids;
  for (size_t i = 0; i < Pulls::kMost + 3; ++i) {
    ids.push_back(begin("r.io/app" + std::to_string(i), "x", who_));
    now_ += 1s;
  }
  EXPECT_EQ(heard_, Lines{});
  for (const auto id : ids) finish(id, "x", {{"cache", 5}});
  hear(pulls_.end_all());
  ASSERT_EQ(heard_.size(), Pulls::kMost + 3);
  for (const auto& line : heard_)
    EXPECT_NE(line.find("5 B (cache 5 B)"), std::string::npos) << line;
}

}  // namespace
}  // namespace swarmfs::mirror
