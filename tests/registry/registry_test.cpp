// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "registry/challenge.h"
#include "registry/credentials.h"
#include "registry/endpoint.h"
#include "registry/policy.h"
#include "support/temporary_directory.h"
#include "util/units.h"

namespace swarmfs::registry {
namespace {

using Action = Verdict::Action;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Challenge, is_read_whatever_its_order_and_case) {
  const auto bearer = parse_challenge(
      R"(bearer service="reg, istry",realm="https://auth.example.com/token",scope="repository:a/b:pull,push")");
  ASSERT_TRUE(bearer);
  EXPECT_TRUE(bearer->bearer);
  EXPECT_EQ(bearer->realm, "https://auth.example.com/token");
  EXPECT_EQ(bearer->service, "reg, istry");
  EXPECT_EQ(bearer->scope, "repository:a/b:pull,push");
  const auto basic = parse_challenge(R"(Basic realm="r")");
  ASSERT_TRUE(basic);
  EXPECT_FALSE(basic->bearer);
  for (const char* bad : {"", "Bearer", "Negotiate abc", "Bearer service=\"x\""})
    EXPECT_FALSE(parse_challenge(bad)) << bad;
}

TEST(Challenge, is_chosen_among_several_of_one_header) {
  for (const char* several :
       {R"(Negotiate, Bearer realm="https://a/t",service="s")",
        R"(Basic realm="x, y", Bearer realm="https://a/t" , service = "s")",
        R"(Bearer realm="https://a/t",service=s, Basic realm="Bearer realm=x")",
        R"(NTLM TlRMTVNTUAAC==, bearer service="s",realm="https://a/t")"}) {
    const auto chosen = parse_challenge(several);
    ASSERT_TRUE(chosen) << several;
    EXPECT_TRUE(chosen->bearer) << several;
    EXPECT_EQ(chosen->realm, "https://a/t") << several;
    EXPECT_EQ(chosen->service, "s") << several;
  }
  EXPECT_FALSE(parse_challenge(R"(Negotiate, Basic realm="r")")->bearer);
}

TEST(Judge, knows_what_a_status_asks_for) {
  const std::vector<std::tuple<int, bool, Action>> table = {
      {307, false, Action::follow},       {302, false, Action::follow},
      {401, false, Action::authenticate}, {401, true, Action::fail},
      {403, false, Action::authenticate}, {403, true, Action::fail},
      {404, false, Action::fail},         {429, false, Action::retry},
      {500, false, Action::retry},        {503, true, Action::retry}};
  for (const auto& [status, again, action] : table)
    EXPECT_EQ(judge(status, again).action, action) << status << " " << again;
  EXPECT_EQ(judge(404, false).fault, util::Fault::not_found);
  EXPECT_EQ(judge(401, true).fault, util::Fault::denied);
}

TEST(RetryAfter, is_seconds_a_date_or_nothing) {
  EXPECT_EQ(parse_retry_after("7", {}), milliseconds(7000));
  EXPECT_EQ(parse_retry_after(std::nullopt, {}), std::nullopt);
  EXPECT_EQ(parse_retry_after("soon", {}), std::nullopt);
  EXPECT_EQ(parse_retry_after("", {}), std::nullopt);
  EXPECT_EQ(parse_retry_after("99999999999", {}), milliseconds(300'000));
  const auto now = std::chrono::system_clock::from_time_t(784'111'777);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:49 GMT", now), milliseconds(12'000));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:30 GMT", now), milliseconds(0));
  EXPECT_EQ(parse_retry_after("Mon, 07 Nov 1994 08:49:37 GMT", now), milliseconds(300'000));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 0220 08:49:37 GMT", now), milliseconds(0));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 9999 08:49:37 GMT", now), milliseconds(300'000));
}

TEST(CircuitBreaker, opens_after_failures_and_closes_after_one_success) {
  CircuitBreaker breaker;
  util::SteadyTime now{seconds(1000)};
  for (int i = 0; i < 50; ++i) breaker.failed(now);
  const auto wait = breaker.wait(now);
  EXPECT_GT(wait, seconds(0));
  EXPECT_EQ(breaker.wait(now + wait + seconds(1)), seconds(0));
  breaker.succeeded();
  EXPECT_EQ(breaker.wait(now + wait + seconds(2)), seconds(0));
}

TEST(CircuitBreaker, notices_within_seconds_that_an_outage_is_over) {
  // Any number of readers fail at once; each time the breaker lets one go it fails, for 12 s.
  CircuitBreaker breaker;
  const util::SteadyTime begin{seconds(1000)}, end = begin + seconds(12);
  for (int i = 0; i < 50; ++i) breaker.failed(begin);
  EXPECT_EQ(breaker.wait(begin), seconds(1)) << "one opening, one pause";
  auto now = begin;
  for (auto wait = breaker.wait(now);; wait = breaker.wait(now)) {
    EXPECT_LE(wait, seconds(4));
    now += wait;
    if (wait.count() > 0) continue;
    if (now >= end) break;
    for (int i = 0; i < 3; ++i) breaker.failed(now);
  }
  EXPECT_LE(now, end + seconds(4));
}

TEST(Endpoint, is_read_from_the_name_of_a_registry_or_a_mirror) {
  struct Row {
    const char *place, *host, *url, *version;
  };
  for (const Row& row : std::vector<Row>{
           {"docker.io", "docker.io", "https://registry-1.docker.io/v2/team/app/",
            "https://registry-1.docker.io/v2/"},
           {"127.0.0.1:5000", "127.0.0.1:5000", "http://127.0.0.1:5000/v2/team/app/",
            "http://127.0.0.1:5000/v2/"},
           {"m.example.com:5000/hub/", "m.example.com:5000",
            "https://m.example.com:5000/v2/hub/team/app/", "https://m.example.com:5000/v2/"},
           {"http://m.example.com", "m.example.com", "http://m.example.com/v2/team/app/",
            "http://m.example.com/v2/"},
           {"https://m.example.com/v2/hub", "m.example.com",
            "https://m.example.com/v2/hub/team/app/", "https://m.example.com/v2/"},
           {"m.example.com/api/docker/hub/v2", "m.example.com",
            "https://m.example.com/api/docker/hub/v2/team/app/",
            "https://m.example.com/api/docker/hub/v2/"}}) {
    const auto made = make_endpoint(row.place, {"docker.io", "team/app"}, false, {});
    EXPECT_EQ(made.host, row.host) << row.place;
    EXPECT_EQ(made.url, row.url) << row.place;
    EXPECT_EQ(made.version, row.version) << row.place;
    EXPECT_EQ(made.registry, "docker.io");
  }
}

TEST(Endpoint, knows_what_is_elsewhere) {
  const auto made = make_endpoint("m.example.com", {"docker.io", "app"}, false, {});
  EXPECT_TRUE(made.same_origin("https://m.example.com/v2/app/blobs/x?signed"));
  for (const char* other : {"http://m.example.com/x", "https://m.example.com:444/x",
                            "https://cdn.example.com/x", "https://m.example.com.evil.org/x"})
    EXPECT_FALSE(made.same_origin(other)) << other;
}

TEST(Credentials, are_found_by_registry_and_by_path) {
  const std::string login = util::to_base64("alice:s3:cret");
  const std::string file = R"({"auths":{"reg.example.com":{"auth":")" + login +
                           R"("},"reg.example.com/team":{"auth":")" + util::to_base64("team:t") +
                           R"("},"https://index.docker.io/v1/":{"username":"u","password":"p"},)" +
                           R"("tok.example.com":{"identitytoken":"refresh"}}})";
  const auto plain = find_credential(file, "reg.example.com", "other/app");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->username, "alice");
  EXPECT_EQ(plain->secret, "s3:cret");
  EXPECT_EQ(find_credential(file, "reg.example.com", "team/app")->username, "team");
  EXPECT_EQ(find_credential(file, "docker.io", "library/nginx")->username, "u");
  EXPECT_TRUE(find_credential(file, "tok.example.com", "a")->identity_token);
  EXPECT_FALSE(find_credential(file, "other.example.com", "a"));
  EXPECT_FALSE(find_credential("not json", "reg.example.com", "a"));
}

TEST(Credentials, are_found_below_the_home_directory_also_without_HOME) {
  const std::string before = std::getenv("HOME") ? std::getenv("HOME") : "";
  ::unsetenv("HOME");
  const auto files = usual_credential_files();
  if (!before.empty()) ::setenv("HOME", before.c_str(), 1);
  const std::filesystem::path home = ::getpwuid(::geteuid())->pw_dir;
  EXPECT_EQ(std::count(files.begin(), files.end(), home / ".docker/config.json"), 1);
  EXPECT_EQ(std::count(files.begin(), files.end(), home / ".config/containers/auth.json"), 1);
}

TEST(Credentials, come_also_from_a_helper_that_lives_on_after_it_has_answered) {
  const support::TemporaryDirectory directory;
  const auto program = directory.path() / "docker-credential-stays";
  std::ofstream(program) << "#!/bin/sh\ncat >/dev/null\n"
                            "echo '{\"Username\":\"u\",\"Secret\":\"s\"}'\n"
                            "exec sleep 60 >&- 2>&-\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (directory.path().string() + ":" + path).c_str(), 1);
  const auto begin = std::chrono::steady_clock::now();
  const auto got = ask_helper("stays", "reg.example.com");
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(9));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->secret, "s");
}

TEST(Credentials, name_their_helper) {
  const std::string file = R"({"credsStore":"pass","credHelpers":{"reg.example.com":"ecr-login"}})";
  EXPECT_EQ(helper_for(file, "reg.example.com"), "ecr-login");
  EXPECT_EQ(helper_for(file, "other.example.com"), "pass");
  EXPECT_EQ(helper_for("{}", "other.example.com"), "");
}

}  // namespace
}  // namespace swarmfs::registry
