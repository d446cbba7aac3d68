// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include "oci/manifest.h"
#include "oci/reference.h"

namespace swarmfs::oci {
namespace {

const std::string kHex(64, 'a');

TEST(Reference, parses_as_docker_and_containerd_do) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"nginx", "docker.io/library/nginx:latest"},
      {"nginx:1.25", "docker.io/library/nginx:1.25"},
      {"user/app", "docker.io/user/app:latest"},
      {"docker.io/nginx", "docker.io/library/nginx:latest"},
      {"index.docker.io/user/app:v1", "docker.io/user/app:v1"},
      {"127.0.0.1:5000/small:v1", "127.0.0.1:5000/small:v1"},
      {"localhost/a", "localhost/a:latest"},
      {"registry.example.com/a/b/c:v1.2-rc_3", "registry.example.com/a/b/c:v1.2-rc_3"},
      {"a/b@sha256:" + kHex, "docker.io/a/b@sha256:" + kHex},
      {"[::1]:5000/a:b", "[::1]:5000/a:b"},
  };
  for (const auto& [text, canonical] : table) {
    const auto reference = Reference::parse(text);
    ASSERT_TRUE(reference) << text << ": " << reference.failure().message;
    EXPECT_EQ(reference->to_string(), canonical);
    const auto again = Reference::parse(reference->to_string());
    ASSERT_TRUE(again) << canonical;
    EXPECT_EQ(again->encoded(), reference->encoded());
    EXPECT_EQ(reference->encoded().find('/'), std::string::npos);
  }
}

TEST(Reference, refuses_with_the_text_in_the_message) {
  for (const std::string text :
       {"", "UPPER/case", "a//b", "a:", "a@sha256:123", "a b", "-a", "a/../b", "a:tag:tag"}) {
    const auto reference = Reference::parse(text);
    ASSERT_FALSE(reference) << text;
    EXPECT_EQ(reference.failure().fault, util::Fault::invalid);
    EXPECT_NE(reference.failure().message.find(text), std::string::npos);
  }
}

std::string descriptor(const std::string& type, const std::string& more = "") {
  return R"({"mediaType":")" + type + R"(","digest":"sha256:)" + kHex + R"(","size":7)" + more +
         "}";
}

constexpr const char* kLayer = "application/vnd.oci.image.layer.v1.tar+gzip";

TEST(Manifest, reads_oci_and_docker) {
  for (const std::string type : {"application/vnd.oci.image.manifest.v1+json",
                                 "application/vnd.docker.distribution.manifest.v2+json"}) {
    const std::string text = R"({"schemaVersion":2,"mediaType":")" + type + R"(","config":)" +
                             descriptor("c") + R"(,"layers":[)" + descriptor(kLayer) + "," +
                             descriptor(kLayer) + "]}";
    const auto parsed = parse_manifest(util::as_bytes(text));
    ASSERT_TRUE(parsed) << parsed.failure().message;
    const auto* manifest = std::get_if<Manifest>(&*parsed);
    ASSERT_TRUE(manifest);
    ASSERT_EQ(manifest->layers.size(), 2u);
    EXPECT_EQ(manifest->layers[1].size, 7u);
    EXPECT_EQ(manifest->layers[1].digest.hex(), kHex);
  }
}

TEST(Manifest, chooses_the_platform_of_an_index) {
  const auto entry = [](const std::string& os, const std::string& arch) {
    return descriptor("application/vnd.oci.image.manifest.v1+json",
                      R"(,"platform":{"os":")" + os + R"(","architecture":")" + arch + R"("})");
  };
  const std::string text =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)" +
      entry("unknown", "unknown") + "," + entry("linux", "arm64") + "," + entry("linux", "amd64") +
      "]}";
  const auto parsed = parse_manifest(util::as_bytes(text));
  ASSERT_TRUE(parsed);
  const auto& index = std::get<Index>(*parsed);
  EXPECT_EQ(choose(index, *Platform::parse("linux/amd64")), &index.manifests[2]);
  EXPECT_EQ(choose(index, *Platform::parse("linux/arm64/v8")), &index.manifests[1]);
  EXPECT_EQ(choose(index, *Platform::parse("windows/amd64")), nullptr);
}

TEST(Manifest, refuses_what_is_none) {
  for (const std::string text :
       {"", "{", "[]", "{}", R"({"schemaVersion":1,"fsLayers":[]})", R"({"layers":7})",
        R"({"config":{},"layers":[{"digest":"sha256:zz","size":-1}]})"})
    EXPECT_FALSE(parse_manifest(util::as_bytes(text))) << text;
}

}  // namespace
}  // namespace swarmfs::oci
