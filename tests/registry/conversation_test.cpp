// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <future>
#include <optional>
#include <semaphore>
#include <thread>

#include "registry/registry_client.h"
#include "support/loopback.h"
#include "support/scripted_server.h"
#include "support/temporary_directory.h"

namespace swarmfs::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using support::ScriptedServer;
using util::Fault;
using Answer = ScriptedServer::Answer;
using Asked = ScriptedServer::Asked;

std::string basic(const std::string& login) {
  return "Basic " + util::to_base64(login);
}

Answer bearer(const std::string& realm) {
  return {401, "", {{"WWW-Authenticate", "Bearer realm=\"http://" + realm + "/token\""}}};
}

const Answer kWantsPassword{401, "", {{"WWW-Authenticate", R"(Basic realm="r")"}}};
const std::string kBytes = "0123456789";
const std::string kManifest = R"({"is":"original"})", kMirrored = R"({"is":"mirrored"})";

/// One client, and servers that each test scripts.
class ConversationTest : public testing::Test {
 protected:
  void start() { client_.emplace(http_, options_, timers_, metrics_); }
  void log_in(const std::vector<std::pair<std::string, std::string>>& logins) {
    std::string entries;
    for (const auto& [host, login] : logins)
      entries += (entries.empty() ? "\"" : ",\"") + host + R"(":{"auth":")" +
                 util::to_base64(login) + "\"}";
    std::ofstream(directory_.path() / "auth.json") << R"({"auths":{)" << entries << "}}";
    options_.credential_files = {directory_.path() / "auth.json"};
  }
  util::Outcome<FetchedManifest> manifest(const std::string& host,
                                          const std::string& repository = "app",
                                          milliseconds patience = seconds(10)) {
    return client_->manifest(*oci::Reference::parse(host + "/" + repository + ":v1"),
                             std::chrono::steady_clock::now() + patience);
  }
  /// The failure's name, or what came.
  util::Outcome<std::string> range(std::vector<chunk::Origin> origins,
                                   chunk::Class cls = chunk::Class::fault,
                                   milliseconds patience = seconds(10)) {
    auto got = std::make_shared<std::string>();
    std::promise<util::Outcome<std::string>> done;
    auto made = order(std::move(origins), cls, got, done);
    made.deadline = std::chrono::steady_clock::now() + patience;
    const auto transfer = client_->get(std::move(made));
    return done.get_future().get();
  }
  static GetOrder order(std::vector<chunk::Origin> origins, chunk::Class cls,
                        std::shared_ptr<std::string> got,
                        std::promise<util::Outcome<std::string>>& done) {
    GetOrder made;
    made.origins = std::move(origins);
    made.path = "blobs/x";
    made.range = util::ByteRange{0, kBytes.size()};
    made.cls = cls;
    made.deadline = std::chrono::steady_clock::now() + seconds(10);
    made.on_data = [got](util::ByteView bytes) { *got += util::as_text(bytes); };
    made.on_done = [got, &done](util::Outcome<http::Response> outcome) {
      if (outcome)
        done.set_value(*got);
      else
        done.set_value(outcome.failure());
    };
    return made;
  }
  static size_t count(const ScriptedServer& server, const std::string& in_target) {
    size_t found = 0;
    for (const auto& asked : server.asked())
      found += asked.target.find(in_target) != std::string::npos;
    return found;
  }

  support::TemporaryDirectory directory_;
  RegistryOptions options_;
  util::Metrics metrics_;
  util::Timers timers_;
  http::Client http_{8};
  std::optional<RegistryClient> client_;
};

TEST_F(ConversationTest, a_mirror_gets_its_own_password_and_never_its_registrys) {
  const ScriptedServer mirror([](const Asked& asked) {
    return asked.header("Authorization") == basic("m:irror") ? Answer{200, kMirrored, {}}
                                                             : kWantsPassword;
  });
  const ScriptedServer origin([](const Asked& asked) {
    return asked.header("Authorization") == basic("o:rigin") ? Answer{200, kManifest, {}}
                                                             : kWantsPassword;
  });
  options_.hosts[origin.host()].mirrors = {mirror.host()};
  log_in({{origin.host(), "o:rigin"}});
  start();
  EXPECT_EQ(util::as_text(manifest(origin.host())->bytes), kManifest);
  log_in({{origin.host(), "o:rigin"}, {mirror.host(), "m:irror"}});
  EXPECT_EQ(util::as_text(manifest(origin.host())->bytes), kMirrored);
  for (const auto& asked : mirror.asked())
    EXPECT_NE(asked.header("Authorization"), basic("o:rigin"));
}

TEST_F(ConversationTest, a_mirror_may_have_a_path) {
  const ScriptedServer mirror([](const Asked& asked) {
    return asked.target == "/v2/hub/library/app/manifests/v1" ? Answer{200, kMirrored, {}}
                                                              : Answer{404, "", {}};
  });
  options_.hosts["origin.invalid"].mirrors = {"http://" + mirror.host() + "/hub/"};
  start();
  EXPECT_EQ(util::as_text(manifest("origin.invalid", "library/app")->bytes), kMirrored);
}

TEST_F(ConversationTest,
       a_registry_that_gives_what_is_asked_for_alone_gives_an_artifact_of_any_kind) {
  const std::string artifact = R"({"mediaType":"application/vnd.example.manifest.v1+json"})";
  const ScriptedServer registry([&](const Asked& asked) {
    return asked.header("Accept").ends_with(", */*") ? Answer{200, artifact, {}}
                                                     : Answer{406, "", {}};
  });
  start();
  EXPECT_EQ(util::as_text(manifest(registry.host())->bytes), artifact);
}

TEST_F(ConversationTest, a_portals_page_is_no_manifest) {
  for (const char* page : {"<html>sign in</html>", "", " \n", "\xef\xbb\xbf{}", "[]", "null"}) {
    const ScriptedServer portal([&](const Asked&) {
      return Answer{200, page, {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}}};
    });
    start();
    const auto got = manifest(portal.host());
    ASSERT_FALSE(got) << page;
    EXPECT_EQ(got.failure().fault, Fault::unavailable) << page;
  }
}

TEST_F(ConversationTest, a_remembered_redirect_that_fails_is_looked_up_again) {
  std::atomic<int> status = 206;
  const auto store_script = [&](const Asked&) {
    return status == 206 ? Answer{206, kBytes, {{"Content-Range", "bytes 0-9/10"}}}
                         : Answer{status, "", {}};
  };
  std::optional<ScriptedServer> old(store_script);
  const ScriptedServer fresh([](const Asked&) {
    return Answer{206, kBytes, {{"Content-Range", "bytes 0-9/10"}}};
  });
  util::Sync<std::string> target("http://" + old->host() + "/signed");
  const ScriptedServer registry([&](const Asked&) {
    return Answer{307, "", {{"Location", *target.lock()}}};
  });
  start();
  const std::vector<chunk::Origin> origins{{registry.host(), "app"}};
  EXPECT_EQ(*range(origins), kBytes);
  EXPECT_EQ(*range(origins), kBytes);
  EXPECT_EQ(registry.asked().size(), 1u) << "the redirect is remembered";
  for (const int refusal : {403, 404, 503}) {
    *target.lock() = "http://" + old->host() + "/signed";
    client_.reset();
    start();
    status = 206;
    ASSERT_EQ(*range(origins), kBytes);
    status = refusal;
    *target.lock() = "http://" + fresh.host() + "/signed";
    EXPECT_EQ(*range(origins), kBytes) << refusal;
    *target.lock() = "http://" + old->host() + "/signed";
  }
  client_.reset();
  start();
  status = 206;
  ASSERT_EQ(*range(origins), kBytes);
  *target.lock() = "http://" + fresh.host() + "/signed";
  old.reset();
  EXPECT_EQ(*range(origins), kBytes) << "refused";
}

TEST_F(ConversationTest, a_client_certificate_stays_at_its_host) {
  // A certificate that is not there is an error at once where it is to be shown.
  const ScriptedServer store([](const Asked&) { return Answer{}; });
  const ScriptedServer registry([&](const Asked&) {
    return Answer{307, "", {{"Location", "https://" + store.host() + "/signed"}}};
  });
  for (const auto& host : {store.host(), registry.host()})
    options_.hosts[host].tls.cert_file = options_.hosts[host].tls.key_file = "/nowhere.pem";
  options_.hosts[store.host()].plain_http = false;
  start();
  EXPECT_EQ(range({{store.host(), "app"}}).failure().fault, Fault::denied);
  EXPECT_NE(
      range({{registry.host(), "app"}}, chunk::Class::fault, milliseconds(300)).failure().fault,
      Fault::denied);
}

TEST_F(ConversationTest, a_token_service_that_fails_is_asked_again) {
  std::atomic<int> failures = 2;
  std::optional<ScriptedServer> registry;
  registry.emplace([&](const Asked& asked) {
    if (asked.target.starts_with("/token"))
      return failures-- > 0 ? Answer{503, "", {}} : Answer{200, R"({"token":"t"})", {}};
    return asked.header("Authorization") == "Bearer t" ? Answer{200, kManifest, {}}
                                                       : bearer(asked.header("Host"));
  });
  start();
  const auto got = manifest(registry->host());
  ASSERT_TRUE(got) << got.failure().message;
  EXPECT_EQ(util::as_text(got->bytes), kManifest);
}

TEST_F(ConversationTest, a_token_service_that_is_not_there_is_no_denial) {
  const ScriptedServer registry([](const Asked&) { return bearer("127.0.0.1:1"); });
  start();
  EXPECT_EQ(manifest(registry.host(), "app", milliseconds(700)).failure().fault,
            Fault::unavailable);
  EXPECT_GE(registry.asked().size(), 2u);
}

TEST_F(ConversationTest, a_token_service_that_hangs_holds_up_no_other_registry) {
  std::promise<void> release, hangs;
  std::atomic<bool> first_asked = true;
  auto released = release.get_future().share();
  const ScriptedServer hanging([&](const Asked&) {
    if (first_asked.exchange(false)) hangs.set_value();
    released.wait();
    return Answer{403, "", {}};
  });
  const ScriptedServer first([&](const Asked&) { return bearer(hanging.host()); });
  const ScriptedServer second([](const Asked& asked) {
    if (asked.target.starts_with("/token")) return Answer{200, R"({"token":"t"})", {}};
    return asked.header("Authorization") == "Bearer t" ? Answer{200, kManifest, {}}
                                                       : bearer(asked.header("Host"));
  });
  start();
  auto waits =
      std::async(std::launch::async, [&] { return manifest(first.host(), "app", seconds(300)); });
  hangs.get_future().wait();
  const auto got = manifest(second.host(), "app", seconds(60));
  EXPECT_EQ(waits.wait_for(seconds(0)), std::future_status::timeout);
  EXPECT_TRUE(got);
  release.set_value();
  EXPECT_FALSE(waits.get());
}

TEST_F(ConversationTest, a_403_without_a_challenge_brings_a_new_token) {
  std::atomic<int> token = 1;
  const ScriptedServer registry([&](const Asked& asked) {
    const std::string good = "t" + std::to_string(token);
    if (asked.target.starts_with("/token")) return Answer{200, R"({"token":")" + good + "\"}", {}};
    if (asked.header("Authorization") == "Bearer " + good) return Answer{200, kManifest, {}};
    if (asked.header("Authorization").empty()) return bearer(asked.header("Host"));
    return Answer{403, "", {}};
  });
  start();
  ASSERT_TRUE(manifest(registry.host()));
  token = 2;
  const auto got = manifest(registry.host());
  ASSERT_TRUE(got) << got.failure().message;
  EXPECT_EQ(count(registry, "/token"), 2u);
}

TEST_F(ConversationTest, a_retry_may_authenticate_again) {
  std::atomic<int> token = 1;
  std::atomic<bool> stumble = true;
  const ScriptedServer registry([&](const Asked& asked) {
    const std::string good = "t" + std::to_string(token);
    if (asked.target.starts_with("/token")) return Answer{200, R"({"token":")" + good + "\"}", {}};
    if (asked.header("Authorization") != "Bearer " + good) return bearer(asked.header("Host"));
    if (!stumble.exchange(false)) return Answer{200, kManifest, {}};
    token = 2;
    return Answer{500, "", {}};
  });
  start();
  const auto got = manifest(registry.host());
  EXPECT_TRUE(got) << got.failure().message;
}

TEST_F(ConversationTest, challenges_are_read_from_all_headers) {
  const ScriptedServer registry([](const Asked& asked) {
    if (asked.target.starts_with("/token")) return Answer{200, R"({"token":"t"})", {}};
    if (asked.header("Authorization") == "Bearer t") return Answer{200, kManifest, {}};
    return Answer{
        401,
        "",
        {{"WWW-Authenticate", "Negotiate"},
         {"www-authenticate", "Bearer realm=\"http://" + asked.header("Host") + "/token\""}}};
  });
  start();
  EXPECT_TRUE(manifest(registry.host()));
}

TEST_F(ConversationTest, a_host_that_asks_for_patience_is_left_alone_by_all) {
  const ScriptedServer registry([](const Asked&) {
    return Answer{429, "", {{"Retry-After", "60"}}};
  });
  start();
  EXPECT_EQ(manifest(registry.host(), "app").failure().fault, Fault::unavailable);
  EXPECT_EQ(manifest(registry.host(), "other").failure().fault, Fault::unavailable);
  EXPECT_EQ(registry.asked().size(), 1u);
}

TEST_F(ConversationTest, origins_are_asked_in_order_until_one_has_it) {
  std::atomic<int> status = 404;
  const ScriptedServer first([&](const Asked&) { return Answer{status, "", {}}; });
  const ScriptedServer second([](const Asked&) {
    return Answer{206, kBytes, {{"Content-Range", "bytes 0-9/10"}}};
  });
  start();
  for (const int refusal : {404, 403, 503}) {
    status = refusal;
    EXPECT_EQ(*range({{first.host(), "a"}, {second.host(), "b/c"}}), kBytes) << refusal;
  }
  EXPECT_EQ(count(second, "/v2/b/c/blobs/x"), 3u);
}

TEST_F(ConversationTest, who_fails_for_now_is_asked_again_after_who_refuses) {
  std::atomic<int> failures = 1;
  const ScriptedServer first([&](const Asked&) {
    return failures-- > 0 ? Answer{503, "", {}}
                          : Answer{206, kBytes, {{"Content-Range", "bytes 0-9/10"}}};
  });
  const ScriptedServer second([](const Asked&) { return Answer{404, "", {}}; });
  start();
  EXPECT_EQ(*range({{first.host(), "a"}, {second.host(), "b"}}), kBytes);
  EXPECT_EQ(second.asked().size(), 1u);
}

TEST_F(ConversationTest, of_waiting_bulk_pull_goes_before_backfill) {
  std::promise<void> release, asked_once;
  auto released = release.get_future().share();
  std::atomic<bool> first = true;
  const ScriptedServer registry([&](const Asked&) {
    if (first.exchange(false)) asked_once.set_value();
    released.wait();
    return Answer{206, kBytes, {{"Content-Range", "bytes 0-9/10"}}};
  });
  options_.hosts[registry.host()].node.connections = 1;
  start();
  const auto got = std::make_shared<std::string>();
  std::array<std::promise<util::Outcome<std::string>>, 3> done;
  std::vector<std::unique_ptr<chunk::Transfer>> transfers;
  const auto get = [&](const char* repository, chunk::Class cls, size_t which) {
    transfers.push_back(
        client_->get(order({{registry.host(), repository}}, cls, got, done[which])));
  };
  get("first", chunk::Class::backfill, 0);
  asked_once.get_future().wait();
  get("backfill", chunk::Class::backfill, 1);
  get("pull", chunk::Class::pull, 2);
  std::promise<void> queued;
  timers_.post(milliseconds(1), [&] { queued.set_value(); });
  queued.get_future().wait();
  EXPECT_FALSE(transfers[0]->told_to_wait());
  EXPECT_TRUE(transfers[1]->told_to_wait());
  EXPECT_TRUE(transfers[2]->told_to_wait());
  release.set_value();
  for (auto& each : done) EXPECT_TRUE(each.get_future().get());
  EXPECT_FALSE(transfers[1]->told_to_wait());
  ASSERT_EQ(registry.asked().size(), 3u);
  EXPECT_EQ(registry.asked()[1].target, "/v2/pull/blobs/x");
}

TEST_F(ConversationTest, what_waits_for_its_turn_heeds_what_the_host_wished_meanwhile) {
  std::promise<void> release, asked_once;
  auto released = release.get_future().share();
  std::atomic<int> count = 0;
  const ScriptedServer registry([&](const Asked&) {
    if (count++ > 0) return Answer{206, kBytes, {{"Content-Range", "bytes 0-9/10"}}};
    asked_once.set_value();
    released.wait();
    return Answer{429, "", {{"Retry-After", "3"}}};
  });
  options_.hosts[registry.host()].node.connections = 1;
  start();
  std::array<std::promise<util::Outcome<std::string>>, 4> done;
  std::vector<std::unique_ptr<chunk::Transfer>> transfers;
  const auto get = [&](size_t which) {
    transfers.push_back(client_->get(order({{registry.host(), "app"}}, chunk::Class::pull,
                                           std::make_shared<std::string>(), done[which])));
  };
  get(0);
  asked_once.get_future().wait();
  for (size_t i = 1; i < done.size(); ++i) get(i);
  std::promise<void> queued;
  timers_.post(milliseconds(1), [&] { queued.set_value(); });
  queued.get_future().wait();
  const auto told = std::chrono::steady_clock::now();
  release.set_value();
  for (auto& each : done) EXPECT_EQ(*each.get_future().get(), kBytes);
  EXPECT_GE(std::chrono::steady_clock::now() - told, milliseconds(2900));
  EXPECT_EQ(count, 5);
}

TEST_F(ConversationTest, bulk_outlasts_a_wish_that_is_longer_than_its_time) {
  const ScriptedServer registry([&](const Asked&) {
    return Answer{429, "", {{"Retry-After", "300"}}};
  });
  start();
  const auto outcome = range({{registry.host(), "app"}}, chunk::Class::pull, milliseconds(1500));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.failure().fault, Fault::timed_out) << "which bulk may have more time after";
  EXPECT_EQ(registry.asked().size(), 1u);
}

// A reader may wait for what is queued, and what is under way was paused for that reader's sake.
TEST_F(ConversationTest, paused_bulk_keeps_no_other_waiting) {
  std::promise<void> release, asked_once;
  auto released = release.get_future().share();
  const ScriptedServer registry([&](const Asked& asked) {
    if (asked.target.find("/first/") != std::string::npos) {
      asked_once.set_value();
      released.wait();
    }
    return Answer{206, kBytes, {{"Content-Range", "bytes 0-9/10"}}};
  });
  options_.hosts[registry.host()].node.connections = 1;
  start();
  std::array<std::promise<util::Outcome<std::string>>, 2> done;
  const auto get = [&](const char* repository, size_t which) {
    return client_->get(order({{registry.host(), repository}}, chunk::Class::backfill,
                              std::make_shared<std::string>(), done[which]));
  };
  const auto first = get("first", 0);
  asked_once.get_future().wait();
  const auto second = get("second", 1);
  first->pause();
  release.set_value();
  auto first_done = done[0].get_future(), second_done = done[1].get_future();
  ASSERT_EQ(second_done.wait_for(seconds(8)), std::future_status::ready);
  EXPECT_EQ(*second_done.get(), kBytes);
  EXPECT_EQ(first_done.wait_for(seconds(0)), std::future_status::timeout) << "it is paused";
  first->resume();
  EXPECT_EQ(*first_done.get(), kBytes);
}

/// Gives half of each blob, and hangs up when it is told to; whole manifests.
class Halving {
 public:
  ~Halving() {
    listener_.shut_down();
    thread_.join();
  }
  [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(listener_.port()); }
  void hang_up() { hung_up_.release(); }

 private:
  void serve() {
    while (const util::UniqueFd line = listener_.accept()) {
      std::string asked(4096, ' ');
      if (::recv(line.get(), asked.data(), asked.size(), 0) <= 0) continue;
      const bool blob = asked.find("/blobs/") != std::string::npos;
      const std::string body = blob ? kBytes.substr(0, 5) : kManifest;
      const std::string text = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " +
                               std::to_string(blob ? kBytes.size() : body.size()) + "\r\n\r\n" +
                               body;
      ::send(line.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (blob) hung_up_.acquire();
    }
  }
  std::counting_semaphore<> hung_up_{0};
  const support::LoopbackListener listener_{16};
  std::thread thread_{[this] { serve(); }};
};

TEST_F(ConversationTest, what_breaks_off_while_it_stands_still_is_not_the_hosts_failure) {
  for (const bool still : {true, false}) {
    Halving registry;
    start();
    for (int i = 0; i < 5; ++i) {
      std::promise<util::Outcome<std::string>> done;
      std::promise<void> came;
      auto half = order({{registry.host(), "app"}}, chunk::Class::fault,
                        std::make_shared<std::string>(), done);
      half.whole = true;
      half.deadline = std::chrono::steady_clock::now() + milliseconds(100);  // no second attempt
      half.on_data = [&](util::ByteView) { came.set_value(); };
      const auto deadline = half.deadline;
      const auto transfer = client_->get(std::move(half));
      came.get_future().wait();
      if (still) transfer->pause();
      std::this_thread::sleep_until(deadline);
      registry.hang_up();
      if (still) transfer->resume();
      EXPECT_FALSE(done.get_future().get());
    }
    EXPECT_EQ(bool(manifest(registry.host(), "app", milliseconds(400))), still);
    if (still) continue;
    // It is asked for one thing, to see whether it answers; and so it does.
    std::this_thread::sleep_for(seconds(1));
    std::promise<util::Outcome<std::string>> done;
    std::promise<void> came;
    auto half = order({{registry.host(), "app"}}, chunk::Class::fault,
                      std::make_shared<std::string>(), done);
    half.whole = true;
    half.on_data = [&](util::ByteView) { came.set_value(); };
    auto transfer = client_->get(std::move(half));
    came.get_future().wait();
    transfer.reset();
    registry.hang_up();
    EXPECT_TRUE(manifest(registry.host(), "app", milliseconds(400)));
  }
}

}  // namespace
}  // namespace swarmfs::registry
