// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include "registry/challenge.h"
#include "registry/credentials.h"
#include "registry/policy.h"
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

TEST(RetryAfter, is_seconds_or_nothing) {
  EXPECT_EQ(parse_retry_after("7"), milliseconds(7000));
  EXPECT_EQ(parse_retry_after(std::nullopt), std::nullopt);
  EXPECT_EQ(parse_retry_after("soon"), std::nullopt);
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

TEST(RequestPacer, lets_a_second_of_requests_go_at_once_and_then_spaces_them) {
  RequestPacer pacer;
  util::SteadyTime now{seconds(1000)};
  int went = 0;
  while (pacer.take(now, 10) == util::Duration(0)) ++went;
  EXPECT_EQ(went, 10);
  const auto pause = pacer.take(now, 10);
  EXPECT_GT(pause, milliseconds(90));
  EXPECT_LT(pause, milliseconds(110));
  EXPECT_EQ(pacer.take(now + pause, 10), util::Duration(0));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(pacer.take(now, 0), util::Duration(0));
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

TEST(Credentials, name_their_helper) {
  const std::string file = R"({"credsStore":"pass","credHelpers":{"reg.example.com":"ecr-login"}})";
  EXPECT_EQ(helper_for(file, "reg.example.com"), "ecr-login");
  EXPECT_EQ(helper_for(file, "other.example.com"), "pass");
  EXPECT_EQ(helper_for("{}", "other.example.com"), "");
}

}  // namespace
}  // namespace swarmfs::registry
