// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <optional>

#include "registry/registry_client.h"
#include "support/scripted_server.h"
#include "support/temporary_directory.h"

namespace swarmfs::registry {
namespace {

using support::ScriptedServer;
using util::Fault;

const std::string kGiven = R"({"by":"registry"})", kGivenByMirror = R"({"by":"mirror"})";
const std::string kAlice = "Basic " + util::to_base64("alice:s3cret");

/// A registry with a token service: anybody may have "open", only alice "closed"; "password" is
/// closed too and wants the password itself.
class AnonymousTest : public testing::Test {
 protected:
  ScriptedServer::Answer answer(const ScriptedServer::Asked& asked) const {
    const std::string who = asked.header("Authorization");
    if (asked.target.starts_with("/token"))
      return {200, who == kAlice ? R"({"token":"alices"})" : R"({"token":"anybodys"})", {}};
    if (asked.target.find("/password/") != std::string::npos)
      return who == kAlice
                 ? ScriptedServer::Answer{200, kGiven, {}}
                 : ScriptedServer::Answer{401, "", {{"WWW-Authenticate", R"(Basic realm="r")"}}};
    const bool open = asked.target.find("/open/") != std::string::npos;
    if (who == "Bearer alices" || (open && who == "Bearer anybodys")) return {200, kGiven, {}};
    return {401,
            "",
            {{"WWW-Authenticate",
              "Bearer realm=\"http://" + server_.host() + "/token\",service=\"s\""}}};
  }

  void start(const HostOptions& host = {}) {
    RegistryOptions options;
    options.hosts[server_.host()] = host;
    options.credential_files = {directory_.path() / "auth.json"};
    client_.emplace(http_, options, timers_, metrics_);
  }
  void log_in(const std::string& content) const {
    std::ofstream(directory_.path() / "auth.json") << content;
  }
  void log_in() const {
    log_in(R"({"auths":{")" + server_.host() + R"(":{"username":"alice","password":"s3cret"}}})");
  }
  [[nodiscard]] oci::Reference image(const std::string& repository) const {
    return *oci::Reference::parse(server_.host() + "/" + repository + ":v1");
  }
  util::Outcome<FetchedManifest> manifest(const std::string& repository, bool anonymous) {
    return client_->manifest(
        image(repository), std::chrono::steady_clock::now() + std::chrono::seconds(10), anonymous);
  }
  [[nodiscard]] static GetOrder blob_of(const std::string& host, const std::string& repository) {
    GetOrder order;
    order.origins = {{host, repository}};
    order.path = "blobs/x";
    return order;
  }
  util::Outcome<http::Response> answer_to(GetOrder order) {
    std::promise<util::Outcome<http::Response>> answer;
    order.on_done = [&](auto outcome) { answer.set_value(std::move(outcome)); };
    const auto transfer = client_->get(std::move(order));
    return answer.get_future().get();
  }
  /// What was sent as Authorization with requests for manifests, in order.
  [[nodiscard]] std::vector<std::string> headers_sent() const {
    std::vector<std::string> made;
    for (const auto& asked : server_.asked())
      if (!asked.target.starts_with("/token")) made.push_back(asked.header("Authorization"));
    return made;
  }

  support::TemporaryDirectory directory_;
  ScriptedServer server_{[this](const auto& asked) { return answer(asked); }};
  util::Metrics metrics_;
  util::Timers timers_;
  http::Client http_{4};
  std::optional<RegistryClient> client_;
};

TEST_F(AnonymousTest, a_request_as_nobody_never_uses_what_a_credential_brought) {
  log_in();
  start();
  const auto ours = manifest("closed", false);
  ASSERT_TRUE(ours) << ours.failure().message;
  EXPECT_EQ(util::as_text(ours->bytes), kGiven);
  const auto anybodys = manifest("closed", true);
  ASSERT_FALSE(anybodys);
  EXPECT_EQ(anybodys.failure().fault, Fault::denied);
  EXPECT_EQ(headers_sent(), (std::vector<std::string>{"", "Bearer alices", "", "Bearer anybodys"}));
}

TEST_F(AnonymousTest, and_ours_never_uses_the_token_that_anybody_gets) {
  log_in();
  start();
  ASSERT_TRUE(manifest("open", true));
  ASSERT_TRUE(manifest("open", false));
  ASSERT_TRUE(manifest("open", true));
  EXPECT_EQ(headers_sent(), (std::vector<std::string>{"", "Bearer anybodys", "", "Bearer alices",
                                                      "Bearer anybodys"}));
}

TEST_F(AnonymousTest, a_password_is_not_for_nobody) {
  HostOptions host;
  host.username = "alice";
  host.password = "s3cret";
  start(host);
  ASSERT_TRUE(manifest("password", false));
  const auto anybodys = manifest("password", true);
  ASSERT_FALSE(anybodys);
  EXPECT_EQ(anybodys.failure().fault, Fault::denied);
  EXPECT_EQ(headers_sent(), (std::vector<std::string>{"", kAlice, ""}));
}

TEST_F(AnonymousTest, a_mirror_is_asked_for_us_but_not_for_nobody) {
  const ScriptedServer mirror([](const auto&) -> ScriptedServer::Answer {
    return {200, kGivenByMirror, {}};
  });
  HostOptions host;
  host.mirrors = {mirror.host()};
  start(host);
  EXPECT_EQ(util::as_text(manifest("closed", false)->bytes), kGivenByMirror);
  EXPECT_EQ(manifest("closed", true).failure().fault, Fault::denied);
  EXPECT_EQ(mirror.asked().size(), 1u);
}

TEST_F(AnonymousTest, in_anothers_name_only_his_header_goes_and_to_the_registry_itself) {
  log_in();
  HostOptions host;
  host.mirrors = {server_.host() + "/mirror"};
  start(host);
  const auto get = [&](const std::string& repository, const std::string& authorization) {
    auto order = blob_of(server_.host(), repository);
    order.anonymous = true;
    order.authorization = authorization;
    return answer_to(std::move(order));
  };
  ASSERT_TRUE(get("closed", "Bearer alices"));
  ASSERT_TRUE(get("password", kAlice));
  EXPECT_EQ(get("closed", "Bearer guess").failure().fault, Fault::denied);
  EXPECT_EQ(get("password", "Basic guess").failure().fault, Fault::denied);
  const std::vector<std::string> sent{"Bearer alices", kAlice, "Bearer guess", "Basic guess"};
  EXPECT_EQ(headers_sent(), sent);
  for (const auto& asked : server_.asked())
    EXPECT_EQ(asked.target.find("mirror"), std::string::npos);
  EXPECT_EQ(server_.asked().size(), sent.size()) << "nobody asked for a token";
}

TEST_F(AnonymousTest, what_a_caller_shows_goes_with_a_redirect_within_the_same_host_alone) {
  const auto gives = [](const ScriptedServer::Asked&) {
    return ScriptedServer::Answer{200, kGiven, {}};
  };
  const ScriptedServer elsewhere(gives);
  util::Sync<std::string> target("/moved");
  const ScriptedServer registry([&](const ScriptedServer::Asked& asked) {
    return asked.target == "/moved"
               ? gives(asked)
               : ScriptedServer::Answer{307, "", {{"Location", *target.lock()}}};
  });
  start();
  const auto get = [&] {
    auto order = blob_of(registry.host(), "app");
    order.anonymous = true;
    order.authorization = kAlice;
    return answer_to(std::move(order));
  };
  ASSERT_TRUE(get());
  ASSERT_EQ(registry.asked().size(), 2u);
  EXPECT_EQ(registry.asked().back().header("Authorization"), kAlice);
  *target.lock() = "http://" + elsewhere.host() + "/moved";
  ASSERT_TRUE(get());
  ASSERT_EQ(elsewhere.asked().size(), 1u);
  EXPECT_EQ(elsewhere.asked().front().header("Authorization"), "");
}

TEST_F(AnonymousTest, what_is_lent_serves_who_borrows_and_nobody_else) {
  HostOptions host;
  host.mirrors = {server_.host() + "/mirror"};
  start(host);
  const auto get = [&](bool borrows, bool anonymous = false) {
    auto order = blob_of(server_.host(), "closed");
    order.borrows = borrows;
    order.anonymous = anonymous;
    return answer_to(std::move(order));
  };
  const auto sent_to_registry = [&](const std::string& header) {
    size_t count = 0;
    for (const auto& asked : server_.asked()) {
      const bool it = asked.header("Authorization") == header;
      EXPECT_FALSE(it && !asked.target.starts_with("/v2/closed/")) << asked.target;
      count += it;
    }
    return count;
  };
  EXPECT_EQ(get(true).failure().fault, Fault::denied) << "anybody's token was fetched and is held";
  client_->lend({server_.host(), "closed"}, "Bearer alices");
  ASSERT_TRUE(get(true));
  EXPECT_EQ(get(false).failure().fault, Fault::denied);
  EXPECT_EQ(get(true, true).failure().fault, Fault::denied);
  EXPECT_EQ(manifest("closed", false).failure().fault, Fault::denied);
  EXPECT_FALSE(client_->has_credentials(image("closed")));
  EXPECT_EQ(sent_to_registry("Bearer alices"), 1u);
  client_->lend({server_.host(), "closed"}, "Bearer expired");
  ASSERT_TRUE(get(true)) << "another lent what is good";
  ASSERT_TRUE(get(true));
  EXPECT_EQ(sent_to_registry("Bearer expired"), 1u) << "once refused it is gone";
  client_->lend({server_.host(), "closed"}, "Bearer alices");
  ASSERT_TRUE(get(true));
  client_->reload({});
  EXPECT_EQ(get(true).failure().fault, Fault::denied);
}

TEST_F(AnonymousTest, our_own_credential_is_used_before_a_lent_one) {
  log_in();
  start();
  ASSERT_TRUE(manifest("closed", false));
  client_->lend({server_.host(), "closed"}, "Bearer lent");
  auto order = blob_of(server_.host(), "closed");
  order.borrows = true;
  ASSERT_TRUE(answer_to(std::move(order)));
  EXPECT_EQ(headers_sent().back(), "Bearer alices");
}

TEST_F(AnonymousTest, what_is_lent_for_a_registry_does_not_go_to_a_mirror_of_another) {
  HostOptions host;
  host.mirrors = {"http://" + server_.host()};
  RegistryOptions options;
  options.hosts["other.invalid"] = host;
  client_.emplace(http_, options, timers_, metrics_);
  client_->lend({server_.host(), "closed"}, "Bearer alices");
  auto order = blob_of("other.invalid", "closed");
  order.borrows = true;
  order.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  EXPECT_FALSE(answer_to(std::move(order)));
  EXPECT_FALSE(server_.asked().empty());
  for (const auto& asked : server_.asked())
    EXPECT_NE(asked.header("Authorization"), "Bearer alices");
}

/// To one who asks too much in the name of an account: the others of this node have accounts of
/// their own.
TEST_F(AnonymousTest, a_lenders_429_is_not_ours) {
  const ScriptedServer registry([&](const ScriptedServer::Asked& asked) {
    return asked.header("Authorization") == "Bearer lent"
               ? ScriptedServer::Answer{429, "", {{"Retry-After", "60"}}}
               : ScriptedServer::Answer{200, kGiven, {}};
  });
  start();
  client_->lend({registry.host(), "app"}, "Bearer lent");
  auto order = blob_of(registry.host(), "app");
  order.borrows = true;
  order.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  EXPECT_FALSE(answer_to(std::move(order)));
  EXPECT_TRUE(client_->manifest(*oci::Reference::parse(registry.host() + "/app:v1"),
                                std::chrono::steady_clock::now() + std::chrono::seconds(5)));
}

/// A store of blobs that asks nobody who he is, where a registry sends who may have the blob.
TEST_F(AnonymousTest, where_a_lent_credential_was_sent_nobody_else_goes) {
  const ScriptedServer store([](const auto&) -> ScriptedServer::Answer {
    return {206, "12345", {{"Content-Range", "bytes 0-4/10"}}};
  });
  const ScriptedServer registry([&](const ScriptedServer::Asked& asked) {
    return asked.header("Authorization") == kAlice
               ? ScriptedServer::Answer{307, "", {{"Location", "http://" + store.host() + "/b"}}}
               : ScriptedServer::Answer{401, "", {{"WWW-Authenticate", R"(Basic realm="r")"}}};
  });
  start();
  const auto get = [&](bool borrows) {
    auto order = blob_of(registry.host(), "closed");
    order.range = util::ByteRange{0, 5};
    order.borrows = borrows;
    order.on_data = [](util::ByteView) {};
    return answer_to(std::move(order));
  };
  client_->lend({registry.host(), "closed"}, kAlice);
  ASSERT_TRUE(get(true));
  ASSERT_TRUE(get(true));
  EXPECT_EQ(registry.asked().size(), 1u) << "the way is remembered";
  EXPECT_EQ(get(false).failure().fault, Fault::denied);
  EXPECT_EQ(store.asked().size(), 2u);
  for (const auto& asked : store.asked()) EXPECT_EQ(asked.header("Authorization"), "");
}

TEST_F(AnonymousTest, credentials_exist_where_a_file_a_host_or_a_helper_has_them) {
  start();
  EXPECT_FALSE(client_->has_credentials(image("closed")));
  log_in(R"({"auths":{")" + server_.host() + R"(/closed":{"auth":")" +
         util::to_base64("alice:s3cret") + R"("}}})");
  EXPECT_TRUE(client_->has_credentials(image("closed")));
  EXPECT_FALSE(client_->has_credentials(image("open")));
  // What a helper would answer is not asked for: a program that fails now may have known before.
  log_in(R"({"credHelpers":{")" + server_.host() + R"(":"no-such-program"}})");
  EXPECT_TRUE(client_->has_credentials(image("open")));
  log_in("{}");
  HostOptions host;
  host.tls.cert_file = "/etc/ssl/node.pem";
  start(host);
  EXPECT_TRUE(client_->has_credentials(image("open")));
}

TEST_F(AnonymousTest, a_token_that_a_credential_brought_outlives_the_credential) {
  log_in();
  start();
  ASSERT_TRUE(manifest("closed", false));
  log_in("{}");
  EXPECT_TRUE(manifest("closed", false)) << "the token is still good";
  EXPECT_TRUE(client_->has_credentials(image("closed")));
  client_->reload({});
  EXPECT_FALSE(client_->has_credentials(image("closed")));
}

}  // namespace
}  // namespace swarmfs::registry
