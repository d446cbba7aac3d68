// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "containerd/choice.h"

#include <gtest/gtest.h>

#include <fstream>

#include "containerd/content_store.h"
#include "support/temporary_directory.h"

namespace swarmfs::containerd {
namespace {

const std::string kSource = "containerd.io/distribution.source.";

TEST(Choice, a_blob_came_from_where_its_labels_say) {
  struct Case {
    Labels labels;
    chunk::Origin origin;
    bool came;
  };
  const std::vector<Case> cases{
      {{{kSource + "docker.io", "library/nginx"}}, {"docker.io", "library/nginx"}, true},
      {{{kSource + "docker.io", "a/b,library/nginx,z"}}, {"docker.io", "library/nginx"}, true},
      {{{kSource + "docker.io", "library/nginx,z"}}, {"docker.io", "z"}, true},
      {{{kSource + "127.0.0.1", "app"}}, {"127.0.0.1:5000", "app"}, true},
      {{{kSource + "::1", "app"}}, {"[::1]:5000", "app"}, true},
      {{{kSource + "::1", "app"}}, {"[::1]", "app"}, true},
      {{{kSource + "docker.io", "library/nginx2"}}, {"docker.io", "library/nginx"}, false},
      {{{kSource + "docker.io", "my/library/nginx"}}, {"docker.io", "library/nginx"}, false},
      {{{kSource + "docker.io", "library/nginx"}}, {"quay.io", "library/nginx"}, false},
      {{{kSource + "docker.io", ""}}, {"docker.io", ""}, false},
      {{{kSource + "docker.io", "a,,b"}}, {"docker.io", ""}, false},
      {{{"distribution.source.docker.io", "z"}}, {"docker.io", "z"}, false},
      {{}, {"docker.io", "z"}, false},
  };
  for (const auto& one : cases)
    EXPECT_EQ(came_from(one.labels, one.origin), one.came)
        << one.origin.registry << " " << one.origin.repository;
}

TEST(Choice, a_name_that_is_a_reference_is_one_to_the_manifest) {
  const auto digest = util::Sha256::of(util::as_bytes("manifest"));
  const std::string at = "@" + digest.to_string();
  const std::vector<std::pair<std::string, std::string>> cases{
      {"docker.io/library/nginx:latest", "docker.io/library/nginx" + at},
      {"127.0.0.1:5000/app:v1", "127.0.0.1:5000/app" + at},
      {"quay.io/a/b" + at, "quay.io/a/b" + at},
      {"quay.io/a/b:v1@" + util::Digest().to_string(), "quay.io/a/b" + at},
      {"", ""},
      {"overlayfs@sha", ""},
      {"quay.io/A B", ""},
  };
  for (const auto& [name, expected] : cases) {
    const auto made = reference_of(name, digest);
    EXPECT_EQ(made ? made->to_string() : "", expected) << name;
  }
}

TEST(Choice, knows_a_blob_that_is_from_elsewhere_too) {
  const chunk::Origin origin{"reg.example.com:5000", "app"};
  const std::string source = "containerd.io/distribution.source.";
  EXPECT_FALSE(is_elsewhere_too({}, origin));
  EXPECT_FALSE(is_elsewhere_too({{source + "reg.example.com", "app,other"}}, origin));
  EXPECT_FALSE(is_elsewhere_too({{"containerd.io/gc.ref.content.0", "x"}}, origin));
  EXPECT_TRUE(
      is_elsewhere_too({{source + "reg.example.com", "app"}, {source + "docker.io", "x"}}, origin));
}

class ContentStoreTest : public testing::Test {
 protected:
  ContentStoreTest() { std::filesystem::create_directories(directory_.path() / "blobs/sha256"); }
  util::Digest put(const std::string& text, std::optional<util::Digest> name = {}) {
    const auto digest = name.value_or(util::Sha256::of(util::as_bytes(text)));
    std::ofstream(store_.path(digest), std::ios::binary) << text;
    return digest;
  }
  util::Fault fault(const util::Digest& digest) const {
    const auto got = store_.read(digest);
    EXPECT_FALSE(got);
    return got ? util::Fault::invalid : got.failure().fault;
  }

  support::TemporaryDirectory directory_;
  const ContentStore store_{directory_.path()};
};

TEST_F(ContentStoreTest, reads_what_is_what_its_name_says) {
  const auto got = store_.read(put("a manifest"));
  ASSERT_TRUE(got) << got.failure().message;
  EXPECT_EQ(util::as_text(*got), "a manifest");
  const auto empty = store_.read(put(""));
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->empty());
}

TEST_F(ContentStoreTest, refuses_the_rest) {
  const auto digest = util::Sha256::of(util::as_bytes("something"));
  EXPECT_EQ(fault(digest), util::Fault::not_found);
  EXPECT_EQ(fault(put("something else", digest)), util::Fault::corrupt);
  const std::string longer(ContentStore::kLongest + 1, 'x');
  EXPECT_EQ(fault(put(longer)), util::Fault::corrupt);
  const auto linked = util::Sha256::of(util::as_bytes("linked"));
  std::ofstream(directory_.path() / "elsewhere") << "linked";
  std::filesystem::create_symlink(directory_.path() / "elsewhere", store_.path(linked));
  EXPECT_EQ(fault(linked), util::Fault::not_found);
  EXPECT_FALSE(store_.has(linked, 6));
  const auto folder = util::Sha256::of(util::as_bytes("folder"));
  std::filesystem::create_directory(store_.path(folder));
  EXPECT_EQ(fault(folder), util::Fault::corrupt);
}

TEST_F(ContentStoreTest, has_what_is_of_the_right_size) {
  const auto digest = put("four");
  EXPECT_TRUE(store_.has(digest, 4));
  EXPECT_FALSE(store_.has(digest, 5));
  EXPECT_FALSE(store_.has(util::Digest(), 4));
}

}  // namespace
}  // namespace swarmfs::containerd
