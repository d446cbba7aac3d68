// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/mirror.h"

#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <set>
#include <thread>

#include "cache/chunk_cache.h"
#include "support/fake_source.h"
#include "support/temporary_directory.h"

namespace swarmfs::mirror {
namespace {

using http::ServerRequest;
using http::ServerResponse;
using util::Failure;
using util::Fault;
using namespace std::chrono_literals;

constexpr const char* kRepository = "r.example.com/app";

std::string pattern(size_t size) {
  std::string made(size, '\0');
  for (size_t i = 0; i < size; ++i) made[i] = static_cast<char>((i * 2654435761u) >> 13);
  return made;
}

class HandClock final : public util::Clock {
 public:
  [[nodiscard]] util::SteadyTime now() const override { return *now_.lock(); }
  void advance(util::Duration by) { *now_.lock() += by; }

 private:
  util::Sync<util::SteadyTime> now_{std::chrono::steady_clock::now()};
};

/// A registry, and the rest of a daemon, as the test wants them.
class FakeUpstream final : public Upstream {
 public:
  Permission ask(const oci::Reference&, const std::string& authorization,
                 util::SteadyTime) override {
    const std::lock_guard hold(mutex);
    asked.push_back(authorization);
    if (down) return {Permission::Kind::unknown};
    if (open || authorization == "Basic good") return {Permission::Kind::allowed};
    return {Permission::Kind::denied, 401, {"Bearer realm=\"x\"", "Basic realm=\"y\""}};
  }
  bool known_public(const oci::Reference&) override { return false; }
  util::Outcome<Document> manifest(const oci::Reference& reference, util::SteadyTime) override {
    const std::lock_guard hold(mutex);
    ++fetched;
    if (down) return Failure{Fault::unavailable, "down"};
    const auto found = manifests.find(reference.target());
    if (found == manifests.end()) return Failure{Fault::not_found, "no such thing"};
    return document(found->second);
  }
  std::optional<Document> from_members(const oci::Reference& reference) override {
    const std::lock_guard hold(mutex);
    const auto found = members.find(reference.target());
    return found == members.end() ? std::nullopt : std::optional(document(found->second));
  }
  util::Outcome<http::Response> relay(const Route& route, const std::string& method,
                                      const std::string& query, const http::Headers& headers,
                                      util::SteadyTime) override {
    const std::lock_guard hold(mutex);
    relayed = method + " " + route.path() + query;
    for (const auto& [name, value] : headers) relayed += " " + name + "=" + value;
    return relay_answer;
  }
  void learnt(const oci::Reference& reference, const Document&, Word word) override {
    const std::lock_guard hold(mutex);
    learned.emplace_back(reference.target(), word);
  }
  void gave(const oci::Reference&, const Document& document, Word) override {
    const std::lock_guard hold(mutex);
    given.push_back(document.digest);
  }
  std::shared_ptr<const void> opened(const chunk::LayerRef&) override { return nullptr; }
  void complete(const chunk::LayerRef& blob, const std::string&) override {
    const std::lock_guard hold(mutex);
    completed.push_back(blob.digest);
  }
  static Document document(const std::string& text) {
    const auto bytes = util::as_bytes(text);
    return Document::of({bytes.begin(), bytes.end()});
  }

  std::mutex mutex;
  bool down = false, open = true;
  std::map<std::string, std::string> manifests, members;
  util::Outcome<http::Response> relay_answer = http::Response{404, {}, ""};
  std::vector<std::string> asked;
  int fetched = 0;
  std::string relayed;
  std::vector<util::Digest> given, completed;
  std::vector<std::pair<std::string, Word>> learned;
};

class Collector final : public http::BodyWriter {
 public:
  bool write(util::ByteView bytes) override {
    body += util::as_text(bytes);
    return body.size() < most;
  }
  std::string body;
  size_t most = SIZE_MAX;  ///< then the client goes
};

class MirrorTest : public testing::Test {
 protected:
  MirrorTest() { start(); }
  ~MirrorTest() override { stop(); }

  void start() {
    cache_.emplace(cache::CacheOptions{directory_.path()}, timers_, workers_, metrics_);
    fetcher_.emplace(*cache_, std::vector<chunk::Source*>{&source_}, fetch::FetchOptions{}, timers_,
                     metrics_);
    mirror_.emplace(MirrorOptions{.address = "127.0.0.1:9755", .delivery = delivery_}, upstream_,
                    *fetcher_, *cache_, clock_, metrics_);
    upstream_.manifests["v1"] = upstream_.manifests[digest_.to_string()] = manifest_;
  }
  void stop() {
    if (fetcher_) fetcher_->stop();
    mirror_.reset();
    fetcher_.reset();
    cache_.reset();
  }
  void restart() {
    stop();
    start();
  }

  ServerResponse ask(const std::string& path, http::Headers headers = {},
                     const std::string& method = "GET") {
    return mirror_->answer({method, "/v2/app/" + path, {{"ns", "r.example.com"}}, "", headers});
  }
  /// Runs `call` on another thread while the source answers.
  template <class Call>
  auto served(Call call) {
    auto future = std::async(std::launch::async, call);
    while (future.wait_for(1ms) != std::future_status::ready) source_.answer_all();
    return future.get();
  }
  struct Got {
    int status = 0;
    std::string body;
    bool whole = false;
    http::Headers headers;
  };
  Got get_blob(http::Headers headers = {}, size_t most = SIZE_MAX) {
    return served([&] {
      const auto answer = ask("blobs/" + blob_digest_.to_string(), headers);
      Got made{answer.status, answer.body, true, answer.headers};
      if (!answer.stream) return made;
      Collector client;
      client.most = most;
      made.whole = answer.stream(client) && client.body.size() == answer.length;
      made.body = std::move(client.body);
      return made;
    });
  }
  void give_manifest() { EXPECT_EQ(ask("manifests/v1").status, 200); }

  DeliveryOptions delivery_{20s, 25s};
  const std::string blob_ = pattern(1'500'000);
  const util::Digest blob_digest_ = util::Sha256::of(util::as_bytes(blob_));
  const std::string manifest_ = R"({"schemaVersion":2,"config":{"digest":"sha256:)" +
                                std::string(64, '0') + R"(","size":2},"layers":[{"digest":")" +
                                blob_digest_.to_string() +
                                R"(","size":1500000,"mediaType":"x.layer"}]})";
  const util::Digest digest_ = util::Sha256::of(util::as_bytes(manifest_));
  support::TemporaryDirectory directory_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  HandClock clock_;
  FakeUpstream upstream_;
  support::FakeSource source_{blob_};
  std::optional<cache::ChunkCache> cache_;
  std::optional<fetch::Fetcher> fetcher_;
  std::optional<Mirror> mirror_;
};

std::string header(const http::Headers& headers, const char* name) {
  return http::joined_header(headers, name);
}

TEST_F(MirrorTest, gives_a_manifest_byte_for_byte_with_what_clients_look_for) {
  for (const auto& target : {std::string("v1"), digest_.to_string()}) {
    const auto got = ask("manifests/" + target);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, manifest_);
    EXPECT_EQ(got.length, manifest_.size());
    EXPECT_EQ(got.content_type, "application/vnd.oci.image.manifest.v1+json");
    EXPECT_EQ(header(got.headers, "Docker-Content-Digest"), digest_.to_string());
    EXPECT_EQ(header(got.headers, "OCI-Namespace"), "r.example.com");
  }
  const auto head = ask("manifests/v1", {}, "HEAD");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.length, manifest_.size());
  EXPECT_TRUE(head.body.empty());
  EXPECT_EQ(ask("manifests/v1", {{"If-None-Match", "\"" + digest_.to_string() + "\""}}).status,
            304);
  EXPECT_EQ(ask("manifests/v1", {{"Accept", "x/y"}}).status, 404);
  EXPECT_EQ(ask("manifests/v2").status, 404);
  EXPECT_EQ(ask("manifests/v1", {}, "POST").status, 405);
  EXPECT_EQ(mirror_->answer({"GET", "/v2/", {}, ""}).status, 200);
  EXPECT_EQ(mirror_->answer({"GET", "/v2/app/manifests/v1", {{"ns", "127.0.0.1:9755"}}, ""}).status,
            404);
}

TEST_F(MirrorTest, asks_for_a_tag_again_and_for_a_digest_once) {
  give_manifest();
  const int before = upstream_.fetched;
  EXPECT_EQ(ask("manifests/" + digest_.to_string()).status, 200);
  EXPECT_EQ(upstream_.fetched, before);
  EXPECT_EQ(upstream_.learned.size(), 1u) << "the ledger's is not the registry's word of now";
  upstream_.manifests["v1"] = R"({"manifests":[]})";
  EXPECT_EQ(ask("manifests/v1").body, R"({"manifests":[]})");
}

// So containerd asks: the registry's word comes with HEAD, and what is given out is the ledger's.
TEST_F(MirrorTest, learns_what_the_registry_says_from_HEAD) {
  EXPECT_EQ(ask("manifests/v1", {}, "HEAD").status, 200);
  EXPECT_TRUE(upstream_.given.empty());
  EXPECT_EQ(ask("manifests/" + digest_.to_string()).body, manifest_);
  EXPECT_EQ(upstream_.learned, (std::vector<std::pair<std::string, Word>>{{"v1", Word::registry}}));
  EXPECT_EQ(upstream_.given, std::vector{digest_});
}

TEST_F(MirrorTest, knows_tags_digests_and_blobs_without_the_registry_also_after_a_restart) {
  give_manifest();
  EXPECT_EQ(get_blob().status, 200);
  upstream_.down = true;
  for (int round = 0; round < 2; ++round) {
    clock_.advance(24h);
    EXPECT_EQ(ask("manifests/v1").body, manifest_);
    EXPECT_EQ(ask("manifests/" + digest_.to_string()).body, manifest_);
    const auto asked = source_.requests();
    EXPECT_TRUE(get_blob().body == blob_);
    EXPECT_EQ(source_.requests(), asked);
    restart();
  }
  EXPECT_EQ(ask("manifests/v2").status, 404);
}

TEST_F(MirrorTest, takes_what_members_know_where_the_registry_is_silent) {
  upstream_.down = true;
  upstream_.members["v1"] = manifest_;
  EXPECT_EQ(ask("manifests/v1").body, manifest_);
  EXPECT_EQ(upstream_.learned, (std::vector<std::pair<std::string, Word>>{{"v1", Word::member}}));
  EXPECT_TRUE(get_blob().body == blob_);
}

TEST_F(MirrorTest, streams_whole_blobs_and_ranges) {
  give_manifest();
  const auto all = get_blob();
  EXPECT_EQ(all.status, 200);
  EXPECT_TRUE(all.whole);
  EXPECT_TRUE(all.body == blob_);
  EXPECT_EQ(header(all.headers, "Docker-Content-Digest"), blob_digest_.to_string());
  ASSERT_EQ(upstream_.completed.size(), 1u);
  EXPECT_EQ(upstream_.completed[0], blob_digest_);
  const struct {
    const char* range;
    size_t offset, length;
  } parts[] = {{"bytes=1000-", 1000, 1'499'000},
               {"bytes=5-9", 5, 5},
               {"bytes=-7", 1'499'993, 7},
               {"bytes=1400000-9999999", 1'400'000, 100'000}};
  for (const auto& part : parts) {
    const auto got = get_blob({{"Range", part.range}});
    EXPECT_EQ(got.status, 206) << part.range;
    EXPECT_TRUE(got.whole) << part.range;
    EXPECT_TRUE(got.body == blob_.substr(part.offset, part.length)) << part.range;
    EXPECT_EQ(header(got.headers, "Content-Range"),
              "bytes " + std::to_string(part.offset) + "-" +
                  std::to_string(part.offset + part.length - 1) + "/1500000");
  }
  const auto beyond = get_blob({{"Range", "bytes=1500000-"}});
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(header(beyond.headers, "Content-Range"), "bytes */1500000");
  const auto head = ask("blobs/" + blob_digest_.to_string(), {}, "HEAD");
  EXPECT_EQ(head.length, blob_.size());
  EXPECT_FALSE(head.stream);
}

TEST_F(MirrorTest, a_client_that_goes_early_ends_the_stream_and_nothing_is_said_to_be_complete) {
  give_manifest();
  const auto got = get_blob({}, 300'000);
  EXPECT_FALSE(got.whole);
  EXPECT_TRUE(upstream_.completed.empty());
}

TEST_F(MirrorTest, never_gives_all_of_a_blob_that_is_wrong) {
  give_manifest();
  source_.flip(1'000);
  const auto got = get_blob();
  EXPECT_EQ(got.status, 200);
  EXPECT_FALSE(got.whole);
  EXPECT_LT(got.body.size(), blob_.size());
  EXPECT_TRUE(upstream_.completed.empty());
  source_.flip(1'000);  // and back
  auto again = get_blob();
  if (!again.whole) again = get_blob();  // bad bytes that came after the others were dropped
  EXPECT_TRUE(again.body == blob_);
}

TEST_F(MirrorTest, nor_by_ranges) {
  give_manifest();
  source_.flip(1'000);
  EXPECT_TRUE(get_blob({{"Range", "bytes=0-1199999"}}).whole);
  const auto rest = get_blob({{"Range", "bytes=1200000-"}});
  EXPECT_FALSE(rest.whole);
  EXPECT_LT(rest.body.size(), 300'000u);
}

TEST_F(MirrorTest, a_blob_that_cannot_be_had_sends_the_client_elsewhere) {
  give_manifest();
  const auto ask_with = [&](Fault fault) {
    auto future = std::async(std::launch::async,
                             [&] { return ask("blobs/" + blob_digest_.to_string()).status; });
    while (future.wait_for(1ms) != std::future_status::ready)
      for (size_t id = 0; id < source_.requests(); ++id) source_.fail(id, {fault, "no"});
    return future.get();
  };
  EXPECT_EQ(ask_with(Fault::not_found), 404);
  EXPECT_EQ(ask_with(Fault::denied), 404);
  EXPECT_EQ(ask_with(Fault::unavailable), 503);
}

TEST_F(MirrorTest, silence_has_an_end_before_and_within_a_body) {
  stop();
  delivery_ = {100ms, 100ms};
  start();
  give_manifest();
  EXPECT_EQ(ask("blobs/" + blob_digest_.to_string()).status, 503);
  auto answer = std::async(std::launch::async, [&] {
    for (;;) {
      auto got = ask("blobs/" + blob_digest_.to_string());
      if (got.status == 200) return got;
    }
  });
  std::set<size_t> answered;
  while (answer.wait_for(1ms) != std::future_status::ready)
    for (size_t id = 0; id < source_.requests(); ++id)
      if (source_.asked(id).offset == 0 && answered.insert(id).second)
        source_.answer(id, BlobStream::kPiece);
  Collector client;
  EXPECT_FALSE(answer.get().stream(client));
  EXPECT_LT(client.body.size(), blob_.size());
  EXPECT_TRUE(client.body == blob_.substr(0, client.body.size()));
}

TEST_F(MirrorTest, what_is_private_is_given_to_who_could_pull_it_and_to_nobody_else) {
  upstream_.open = false;
  const http::Headers good{{"Authorization", "Basic good"}}, bad{{"Authorization", "Basic bad"}};
  EXPECT_EQ(ask("manifests/v1", good).body, manifest_);
  EXPECT_TRUE(get_blob(good).body == blob_);
  for (const auto& path : {std::string("manifests/v1"), "manifests/" + digest_.to_string(),
                           "blobs/" + blob_digest_.to_string()})
    for (const auto& who : {http::Headers{}, bad}) {
      const auto got = ask(path, who);
      EXPECT_EQ(got.status, 401) << path;
      EXPECT_FALSE(got.stream) << path;
      EXPECT_EQ(header(got.headers, "WWW-Authenticate"), "Bearer realm=\"x\", Basic realm=\"y\"");
    }
  // Another repository gives nothing of it either.
  upstream_.open = true;
  EXPECT_EQ(
      mirror_
          ->answer(
              {"GET", "/v2/other/blobs/" + blob_digest_.to_string(), {{"ns", "r.example.com"}}, ""})
          .status,
      404);
}

TEST_F(MirrorTest, one_question_per_credential_in_five_minutes_and_an_hours_grace) {
  upstream_.open = false;
  const http::Headers good{{"Authorization", "Basic good"}};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask("manifests/v1", good).status, 200);
  EXPECT_EQ(upstream_.asked.size(), 1u);
  clock_.advance(6min);
  EXPECT_EQ(ask("manifests/v1", good).status, 200);
  EXPECT_EQ(upstream_.asked.size(), 2u);
  upstream_.down = true;
  clock_.advance(50min);
  EXPECT_EQ(ask("manifests/" + digest_.to_string(), good).status, 200);
  clock_.advance(20min);
  EXPECT_EQ(ask("manifests/" + digest_.to_string(), good).status, 404);
  EXPECT_EQ(ask("manifests/" + digest_.to_string()).status, 404);
}

TEST_F(MirrorTest, asks_a_blob_that_no_manifest_named_in_the_callers_name) {
  EXPECT_EQ(get_blob().status, 404);
  upstream_.relay_answer = http::Response{200, {{"Content-Length", "1500000"}}, ""};
  EXPECT_TRUE(get_blob({{"Authorization", "Basic good"}}).body == blob_);
  EXPECT_EQ(upstream_.relayed,
            "HEAD blobs/" + blob_digest_.to_string() + " Authorization=Basic good");
  upstream_.relay_answer = http::Response{401, {{"WWW-Authenticate", "Basic realm=\"z\""}}, ""};
  const auto refused = get_blob();
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(header(refused.headers, "WWW-Authenticate"), "Basic realm=\"z\"");
}

TEST_F(MirrorTest, passes_lists_on_but_never_a_429) {
  upstream_.relay_answer = http::Response{
      200, {{"Content-Type", "application/json"}, {"Link", "<x>"}, {"Age", "1"}}, "{}"};
  const auto got =
      mirror_->answer({"GET", "/v2/app/tags/list", {{"ns", "r.example.com"}, {"n", "5"}}, ""});
  EXPECT_EQ(got.body, "{}");
  EXPECT_EQ(header(got.headers, "Link"), "<x>");
  EXPECT_EQ(header(got.headers, "Age"), "");
  EXPECT_EQ(upstream_.relayed, "GET tags/list?n=5");
  upstream_.relay_answer = http::Response{429, {}, ""};
  EXPECT_EQ(ask("referrers/" + blob_digest_.to_string()).status, 503);
  upstream_.relay_answer = Failure{Fault::unavailable, "down"};
  EXPECT_EQ(ask("tags/list").status, 404);
}

TEST_F(MirrorTest, serves_many_clients_of_one_blob_with_one_fetch) {
  give_manifest();
  std::vector<std::future<std::string>> clients;
  for (int i = 0; i < 16; ++i)
    clients.push_back(std::async(std::launch::async, [&] {
      Collector client;
      const auto answer = ask("blobs/" + blob_digest_.to_string());
      if (answer.stream) answer.stream(client);
      return client.body;
    }));
  for (auto& client : clients) {
    while (client.wait_for(1ms) != std::future_status::ready) source_.answer_all();
    EXPECT_TRUE(client.get() == blob_);
  }
  uint64_t asked = 0;
  for (size_t id = 0; id < source_.requests(); ++id) asked += source_.asked(id).length;
  EXPECT_EQ(asked, blob_.size());
}

TEST(Ledger, keeps_tags_in_their_repositories_and_forgets_the_oldest) {
  support::TemporaryDirectory directory;
  util::Metrics metrics;
  util::Timers timers;
  util::Workers workers{1};
  cache::ChunkCache cache({directory.path()}, timers, workers, metrics);
  const auto reference = [](const std::string& text) { return *oci::Reference::parse(text); };
  const auto first = FakeUpstream::document(R"({"n":1})"),
             second = FakeUpstream::document(R"({"n":2})");
  {
    Ledger ledger(cache);
    ledger.note(reference("r.example.com/app:v1"), first);
    ledger.note(reference("r.example.com/app:v1"), second);
    ledger.set_public(kRepository, true);
    EXPECT_FALSE(ledger.find(reference("r.example.com/other:v1")));
    EXPECT_FALSE(ledger.find(reference("r.example.com/other@" + first.digest.to_string())));
  }
  Ledger ledger(cache);
  EXPECT_EQ(ledger.find(reference("r.example.com/app:v1"))->digest, second.digest);
  EXPECT_EQ(ledger.find(reference("r.example.com/app@" + first.digest.to_string()))->digest,
            first.digest);
  EXPECT_TRUE(ledger.is_public(kRepository));
  EXPECT_FALSE(ledger.is_public("r.example.com/other"));
  for (size_t i = 0; i < Ledger::kManifests; ++i)
    ledger.note(reference("r.example.com/b:v1"),
                FakeUpstream::document("{\"n\":" + std::to_string(i + 10) + "}"));
  EXPECT_FALSE(ledger.find(reference("r.example.com/app:v1")));
}

}  // namespace
}  // namespace swarmfs::mirror
