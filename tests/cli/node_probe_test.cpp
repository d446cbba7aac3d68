// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/node_probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>

#include "cli/bounded.h"
#include "cli/doctor.h"
#include "cli/node_checks.h"
#include "http/server.h"
#include "support/raw_server.h"
#include "support/temporary_directory.h"
#include "util/digest.h"
#include "util/error.h"
#include "util/file.h"

namespace swarmfs::cli {
namespace {

using nlohmann::json;
using util::Fault;

constexpr Patience kPatienceOfTests = std::chrono::seconds(60);

TEST(Bounded, gives_what_comes_in_time_and_no_more) {
  const auto done = in_time(
      [] {
        return json{{"a", std::string(100'000, 'x')}};
      },
      std::chrono::seconds(60));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->at("a").get<std::string>().size(), 100'000U);
  const auto thrown =
      in_time([]() -> json { throw util::Error("broken"); }, std::chrono::seconds(60));
  ASSERT_FALSE(thrown);
  EXPECT_EQ(thrown.failure().message, "broken");
  const auto silent = in_time(
      []() -> json {
        json made = json::array();
        for (int stream = 0; stream < 3; ++stream)
          made.push_back(
              std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(stream)).string());
        return made;
      },
      std::chrono::seconds(60));
  ASSERT_TRUE(silent);
  EXPECT_EQ(*silent, json({"/dev/null", "/dev/null", "/dev/null"}));
  const auto ended = in_time([]() -> json { ::_exit(3); }, std::chrono::seconds(60));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.failure().message, "the check ended early");
  const auto late = in_time(
      []() -> json {
        for (;;) ::pause();
      },
      std::chrono::milliseconds(100));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.failure().fault, Fault::timed_out);
}

TEST(Probe, of_a_cache_leaves_nothing_there) {
  const support::TemporaryDirectory directory;
  const auto cache = probe_cache(directory.path(), kPatienceOfTests);
  EXPECT_TRUE(cache.exists);
  EXPECT_EQ(cache.refusal, "");
  EXPECT_TRUE(cache.sparse);
  EXPECT_GT(cache.free, 0U);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  EXPECT_FALSE(probe_cache(directory.path() / "absent", kPatienceOfTests).exists);
}

std::string place_of(const support::RawServer& server) {
  const std::string url = server.url();
  return url.substr(7, url.size() - 8);
}

TEST(Probe, of_a_registry_reads_its_clock) {
  const support::RawServer server(
      "HTTP/1.1 401 Unauthorized\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: "
      "0\r\n\r\n");
  RegistrySetting setting;
  setting.host = place_of(server);
  setting.mirrors = {"127.0.0.1:1"};
  const auto probes = probe_registries({setting}, kPatienceOfTests);
  ASSERT_EQ(probes.size(), 2U);
  ASSERT_TRUE(probes[0].status);
  EXPECT_EQ(*probes[0].status, 401);
  ASSERT_TRUE(probes[0].ahead);
  EXPECT_NEAR(static_cast<double>(probes[0].ahead->count()),
              static_cast<double>(std::time(nullptr) - 784887151), 60);
  EXPECT_EQ(probes[1].place, "127.0.0.1:1");
  EXPECT_FALSE(probes[1].status);
}

TEST(Probe, of_a_tag_asks_mirrors_first) {
  const support::RawServer lacks("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  const support::RawServer has(
      "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:00\r\nContent-Length: 0\r\n\r\n");
  RegistrySetting setting;
  setting.host = place_of(lacks);
  const std::string image = setting.host + "/a:1";
  EXPECT_EQ(*probe_tag(image, {setting}, kPatienceOfTests).status, 404);
  setting.mirrors = {"127.0.0.1:1", place_of(has) + "/hub"};
  const auto tag = probe_tag(image, {setting}, kPatienceOfTests);
  ASSERT_TRUE(tag.status);
  EXPECT_EQ(*tag.status, 200);
  EXPECT_EQ(tag.place, setting.mirrors[1]);
  EXPECT_EQ(tag.digest, "sha256:00");
  const support::RawServer asks("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
  setting.mirrors = {place_of(asks)};
  EXPECT_EQ(*probe_tag(image, {setting}, kPatienceOfTests).status, 401);
}

TEST(Probe, of_a_mount_looks_at_no_link) {
  const support::TemporaryDirectory directory;
  std::filesystem::create_symlink("loop", directory.path() / "loop");
  std::filesystem::create_symlink("/proc/self/maps", directory.path() / "away");
  auto read = probe_read(directory.path(), kPatienceOfTests);
  EXPECT_EQ(read.error + read.file, "");
  util::write_file_durably(directory.path() / "z", util::as_bytes("abc"));
  read = probe_read(directory.path(), kPatienceOfTests);
  EXPECT_EQ(read.file, directory.path() / "z");
  EXPECT_EQ(read.bytes, 3U);
}

TEST(Probe, of_many_answers_for_each) {
  std::vector<RegistrySetting> many(300);
  for (size_t i = 0; i < many.size(); ++i) many[i].host = "127.0.0.1:" + std::to_string(1 + i % 3);
  const auto probes = probe_registries(many, kPatienceOfTests);
  ASSERT_EQ(probes.size(), many.size());
  for (size_t i = 0; i < many.size(); ++i) {
    EXPECT_EQ(probes[i].place, many[i].host);
    EXPECT_FALSE(probes[i].status);
  }
}

TEST(Probe, of_a_pull_believes_no_digest) {
  const std::string body = R"({"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:)" +
                           std::string(64, '0') + R"(","size":2},"layers":[]})";
  const auto answer = [&](const std::string& digest) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nDocker-Content-Digest: " + digest + "\r\n\r\n" + body;
  };
  const support::RawServer liar(answer("sha256:" + std::string(64, 'a')));
  const auto wrong = probe_pull("r.test/a:1", place_of(liar), kPatienceOfTests);
  EXPECT_EQ(wrong.step, "the manifest");
  EXPECT_EQ(wrong.error, "its bytes do not have the digest sha256:" + std::string(64, 'a'));
  // It says the manifest also where the config is asked for.
  const support::RawServer half(answer(util::Sha256::of(util::as_bytes(body)).to_string()));
  const auto blob = probe_pull("r.test/a:1", place_of(half), kPatienceOfTests);
  EXPECT_EQ(blob.step, "a blob");
  EXPECT_EQ(blob.blob, "");
  // What was asked for counts, not what the mirror says that it is.
  const std::string other = "sha256:" + std::string(64, 'b');
  const auto swapped = probe_pull("r.test/a@" + other, place_of(half), kPatienceOfTests);
  EXPECT_EQ(swapped.error, "its bytes do not have the digest " + other);
  const auto nobody = probe_pull("r.test/a:1", "127.0.0.1:1", kPatienceOfTests);
  EXPECT_EQ(nobody.status, 0);
  EXPECT_FALSE(is_healthy(check_pull(nobody)));
}

TEST(Probe, of_a_mount_point_that_is_none) {
  const support::TemporaryDirectory directory;
  EXPECT_EQ(probe_fuse(directory.path(), kPatienceOfTests).tree, FuseFacts::Tree::absent);
  EXPECT_EQ(probe_fuse(directory.path() / "absent", kPatienceOfTests).tree,
            FuseFacts::Tree::absent);
  EXPECT_NE(probe_fuse(directory.path(), kPatienceOfTests).kernel, "");
}

TEST(Doctor, makes_all_checks_whatever_one_of_them_meets) {
  const support::TemporaryDirectory directory;
  DoctorOptions options;
  options.socket = (directory.path() / "s").string();
  options.config = (directory.path() / "toml").string();
  options.root = (directory.path() / "root").string();
  options.patience = kPatienceOfTests;
  const auto here = directory.path().string();
  util::write_file_durably(
      options.config, util::as_bytes("[cache]\ndirectory = \"" + here + "\"\n[mount]\npoint = \"" +
                                     here + "/fs\"\n"));
  http::ServerOptions server;
  server.unix_socket = options.socket;
  const http::Server odd(server, [](const http::ServerRequest&) {
    return http::ServerResponse{
        .status = 200,
        .content_type = "application/json",
        .body = R"({"version":7,"mounts":[7],"cache":{"quota":[]},"mount_point":"/x"})"};
  });
  testing::internal::CaptureStdout();
  const int code = doctor(options);
  const auto text = testing::internal::GetCapturedStdout();
  EXPECT_EQ(code, 1);
  for (const char* line :
       {"ok    configuration: ", "FAIL  daemon: not looked at to the end: ",
        "FAIL  cache: not looked at to the end: ", "ok    cluster: none", "ok    mirror: off"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
}

}  // namespace
}  // namespace swarmfs::cli
