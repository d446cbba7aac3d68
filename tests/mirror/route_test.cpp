// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/route.h"

#include <gtest/gtest.h>

#include "mirror/document.h"
#include "mirror/wanted_range.h"

namespace swarmfs::mirror {
namespace {

using Query = std::map<std::string, std::string>;

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

/// "kind registry repository target", or the fault.
std::string read(const std::string& path, const Query& query = {}) {
  const auto route = parse_route(path, query);
  if (!route) return util::to_string(route.failure().fault);
  const auto& reference = route->reference;
  return std::string(route->name()) + " " + reference.registry + " " + reference.repository + " " +
         reference.target();
}

TEST(Route, finds_the_registry_by_ns_by_prefix_or_is_docker_io) {
  EXPECT_EQ(read("/v2/"), "version   ");
  EXPECT_EQ(read("/v2"), "version   ");
  EXPECT_EQ(read("/v2/app/manifests/v1", {{"ns", "r.example.com:5000"}}),
            "manifest r.example.com:5000 app v1");
  EXPECT_EQ(read("/v2/library/nginx/manifests/latest", {{"ns", "docker.io"}}),
            "manifest docker.io library/nginx latest");
  EXPECT_EQ(read("/v2/library/nginx/manifests/latest", {{"ns", "registry-1.docker.io"}}),
            "manifest docker.io library/nginx latest");
  EXPECT_EQ(read("/v2/ghcr.io/a/b/blobs/" + kDigest), "blob ghcr.io a/b " + kDigest);
  EXPECT_EQ(read("/v2/registry-1.docker.io/nginx/manifests/latest"),
            "manifest docker.io library/nginx latest");
  EXPECT_EQ(read("/v2/localhost/a/manifests/v1"), "manifest localhost a v1");
  EXPECT_EQ(read("/v2/127.0.0.1:5000/a/manifests/" + kDigest),
            "manifest 127.0.0.1:5000 a " + kDigest);
  EXPECT_EQ(read("/v2/nginx/tags/list"), "tags docker.io library/nginx latest");
  EXPECT_EQ(read("/v2/ghcr.io/a/referrers/" + kDigest), "referrers ghcr.io a " + kDigest);
  // A repository may have such a word for a name.
  EXPECT_EQ(read("/v2/ghcr.io/manifests/manifests/manifests/v1"),
            "manifest ghcr.io manifests/manifests v1");
}

TEST(Route, refuses_what_is_no_name) {
  for (const char* path :
       {"/", "/v1/x", "/v2/app", "/v2/app/manifests", "/v2/manifests/v1", "/v2//manifests/v1",
        "/v2/app/uploads/v1", "/metrics", "/v2/app/blobs/uploads/x", "//v2/"})
    EXPECT_NE(read(path).substr(0, 3), "man") << path;
  const std::vector<std::string> malformed{
      "/v2/ghcr.io/../etc/manifests/v1",
      "/v2/ghcr.io/a/../../x/manifests/v1",
      "/v2/ghcr.io/a/manifests/..",
      "/v2/ghcr.io/A/manifests/v1",
      "/v2/ghcr.io/a/blobs/v1",
      "/v2/ghcr.io/a/blobs/sha256:" + kHex.substr(1),
      "/v2/ghcr.io/a/manifests/v1@" + kDigest,
      "/v2/ghcr.io/a:v2/manifests/v1",
      "/v2/ghcr.io/a:v2/tags/list",
      "/v2/ghcr.io/a@" + kDigest + "/blobs/" + kDigest,
      "/v2/ghcr.io/a/manifests/v1\r\nx:y",
      std::string("/v2/ghcr.io/a/manifests/v1\0x", 28),
      "/v2/ghcr.io/a/manifests/",
      "/v2/ghcr.io/a/blobs/sha512:" + kHex + kHex,
  };
  for (const auto& path : malformed) EXPECT_EQ(read(path), "invalid") << path;
  for (const char* ns : {"", "myregistry", "a.example.com/x", "a.example.com/x/y"})
    EXPECT_EQ(read("/v2/app/manifests/v1", {{"ns", ns}}), "not found") << ns;
  EXPECT_EQ(read("/v2/app/manifests/v1", {{"ns", "a.example.com?x"}}), "invalid");
}

std::string range_of(const std::string& header, const std::string& condition = "") {
  http::Headers headers{{"range", header}};
  if (!condition.empty()) headers.emplace_back("If-Range", condition);
  const auto made = wanted_range(headers, 1000, "\"e\"");
  if (made.kind == WantedRange::Kind::unsatisfiable) return "416";
  return (made.kind == WantedRange::Kind::whole ? "whole " : "part ") +
         std::to_string(made.range.offset) + "+" + std::to_string(made.range.length) +
         (made.to_the_end ? " on" : "");
}

TEST(WantedRange, reads_all_forms_and_ignores_what_is_none) {
  EXPECT_EQ(range_of("bytes=0-0"), "part 0+1");
  EXPECT_EQ(range_of("bytes=10-19"), "part 10+10");
  EXPECT_EQ(range_of("bytes=10-5000"), "part 10+990");
  EXPECT_EQ(range_of("bytes=10-"), "part 10+990 on");
  EXPECT_EQ(range_of("bytes=0-"), "part 0+1000 on");
  EXPECT_EQ(range_of("bytes=-10"), "part 990+10");
  EXPECT_EQ(range_of("bytes=-5000"), "part 0+1000");
  EXPECT_EQ(range_of("bytes=1000-"), "416");
  EXPECT_EQ(range_of("bytes=1000-1001"), "416");
  EXPECT_EQ(range_of("bytes=-0"), "416");
  EXPECT_EQ(range_of("bytes=99999999999999999999-"), "416");
  EXPECT_EQ(range_of("bytes=5-99999999999999999999"), "part 5+995");
  for (const char* odd : {"bytes=5-4", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-2,4-5",
                          "lines=1-2", "bytes=1-2x", "bytes=+1-2", ""})
    EXPECT_EQ(range_of(odd), "whole 0+1000 on") << odd;
  EXPECT_EQ(range_of("bytes=1-2", "\"e\""), "part 1+2");
  EXPECT_EQ(range_of("bytes=1-2", "\"f\""), "whole 0+1000 on");
  EXPECT_EQ(wanted_range({}, 7, "").range, (util::ByteRange{0, 7}));
}

TEST(WantedRange, reads_lists_of_headers) {
  EXPECT_TRUE(is_known_already({{"If-None-Match", "\"a\", W/\"e\""}}, "\"e\""));
  EXPECT_TRUE(is_known_already({{"if-none-match", "*"}}, "\"e\""));
  EXPECT_FALSE(is_known_already({{"If-None-Match", "\"a\""}}, "\"e\""));
  EXPECT_FALSE(is_known_already({}, "\"e\""));
  EXPECT_TRUE(accepts({}, "a/b"));
  EXPECT_TRUE(accepts({{"Accept", "x/y, a/b;q=0.5"}}, "a/b"));
  EXPECT_TRUE(accepts({{"Accept", "x/y"}, {"accept", "a/b"}}, "a/b"));
  EXPECT_TRUE(accepts({{"Accept", "x/y, */*"}}, "a/b"));
  EXPECT_TRUE(accepts({{"Accept", "a/*"}}, "a/b"));
  EXPECT_FALSE(accepts({{"Accept", "x/y"}, {"Accept", "x/*"}}, "a/b"));
}

TEST(MirrorDocument, says_what_registries_say_of_it) {
  const auto type = [](const char* text) { return media_type_of(util::as_bytes(text)); };
  EXPECT_EQ(type(R"({"mediaType":"x/y"})"), "x/y");
  EXPECT_EQ(type(R"({"manifests":[]})"), "application/vnd.oci.image.index.v1+json");
  EXPECT_EQ(type(R"({"config":{},"layers":[]})"), "application/vnd.oci.image.manifest.v1+json");
  EXPECT_EQ(type("no json"), "application/octet-stream");
  EXPECT_EQ(type(R"({"mediaType":"x/y; charset=utf-8"})"), "x/y; charset=utf-8");
}

TEST(MirrorDocument, states_no_type_that_could_end_a_header) {
  const std::string implied = "application/vnd.oci.image.manifest.v1+json";
  for (const std::string& lie : {std::string(R"(x/y\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK)"),
                                 std::string(R"(x/y\u0000)"), std::string(70'000, 'a')}) {
    const std::string text = R"({"mediaType":")" + lie + R"(","layers":[{"digest":")" + kDigest +
                             R"(","size":1,"mediaType":")" + lie + R"("}]})";
    EXPECT_EQ(media_type_of(util::as_bytes(text)), implied);
    const auto blobs = blobs_of(util::as_bytes(text));
    ASSERT_EQ(blobs.size(), 1u);
    EXPECT_EQ(blobs[0].media_type, "application/octet-stream");
  }
}

TEST(MirrorDocument, names_no_blob_that_is_larger_than_any) {
  const auto named = [](uint64_t size) {
    const std::string text =
        R"({"layers":[{"digest":")" + kDigest + R"(","size":)" + std::to_string(size) + "}]}";
    return blobs_of(util::as_bytes(text)).size();
  };
  EXPECT_EQ(named(kLargestBlob), 1u);
  EXPECT_EQ(named(kLargestBlob + 1), 0u);
}

TEST(MirrorDocument, names_its_blobs_and_leaves_out_what_makes_no_sense) {
  const std::string text = R"({"config":{"digest":")" + kDigest + R"(","size":3},"layers":[
    {"digest":")" + kDigest +
                           R"(","size":-1},{"digest":"sha256:x","size":1},7,
    {"digest":")" + kDigest +
                           R"(","size":5,"mediaType":"t"}],"blobs":[{"size":1}]})";
  const auto blobs = blobs_of(util::as_bytes(text));
  ASSERT_EQ(blobs.size(), 2u);
  EXPECT_EQ(blobs[0].size, 3u);
  EXPECT_EQ(blobs[1].size, 5u);
  EXPECT_EQ(blobs[1].media_type, "t");
  EXPECT_TRUE(blobs_of(util::as_bytes("[]")).empty());
}

}  // namespace
}  // namespace swarmfs::mirror
