// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cache/chunk_cache.h"
#include "mirror/mirror.h"
#include "support/fake_source.h"
#include "support/temporary_directory.h"

namespace swarmfs::mirror {

using http::ServerRequest;
using http::ServerResponse;
using util::Failure;
using util::Fault;
using namespace std::chrono_literals;

inline constexpr const char* kRepository = "r.example.com/app";

inline std::string pattern(size_t size) {
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
  /// Gives a text in small pieces, from a thread of its own.
  class Front final : public chunk::Transfer {
   public:
    Front(std::string text, std::optional<Failure> failure, chunk::Source::OnData on_data,
          chunk::Source::OnDone on_done)
        : thread_([this, text = std::move(text), failure, on_data,
                   on_done](const std::stop_token& stop) {
            for (size_t at = 0; at < text.size();) {
              if (stop.stop_requested()) return;
              if (paused_) {
                std::this_thread::sleep_for(100us);
                continue;
              }
              on_data(util::as_bytes(text).subspan(at, std::min(kPiece, text.size() - at)));
              at += kPiece;
            }
            if (failure)
              on_done(*failure);
            else
              on_done(util::Done{});
          }) {}
    void pause() override { paused_ = true; }
    void resume() override { paused_ = false; }
    std::string supplier() const override { return "registry"; }

   private:
    static constexpr size_t kPiece = 10'000;
    std::atomic<bool> paused_{false};
    std::jthread thread_;
  };

 public:
  Permission ask(const oci::Reference&, const std::string& authorization,
                 util::SteadyTime) override {
    const std::lock_guard hold(mutex);
    asked.push_back(authorization);
    if (down) return {Permission::Kind::unknown};
    if (open || authorization == good) return {Permission::Kind::allowed};
    return {Permission::Kind::denied, 401, {"Bearer realm=\"x\"", "Basic realm=\"y\""}};
  }
  bool known_public(const oci::Reference&) override { return false; }
  bool has_credentials(const oci::Reference&) override { return knows; }
  void lend(const oci::Reference& reference, const std::string& authorization) override {
    const std::lock_guard hold(mutex);
    lent.emplace_back(repository_of(reference), authorization);
  }
  util::Outcome<Document> manifest(const oci::Reference& reference,
                                   const std::string& authorization, util::SteadyTime) override {
    const std::lock_guard hold(mutex);
    ++fetched;
    const bool wanted = !open || !authorization.empty();  // what is wrong opens nothing
    if (wanted && !knows && authorization != good) return Failure{Fault::denied, "closed"};
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
  util::Outcome<util::Bytes> bytes_of(const oci::Reference& blob, util::ByteRange range,
                                      const std::string& authorization, chunk::Class,
                                      util::SteadyTime) override {
    const std::lock_guard hold(mutex);
    proofs.push_back({repository_of(blob), range, authorization});
    if (down) return Failure{Fault::unavailable, "down"};
    const auto found = holds.find(repository_of(blob));
    if (found == holds.end()) return Failure{Fault::not_found, "no such blob"};
    if (!ranges) return Failure{Fault::invalid, "it answers no ranges"};
    const auto part = util::as_bytes(found->second).subspan(range.offset, range.length);
    return util::Bytes(part.begin(), part.end());
  }
  std::unique_ptr<chunk::Transfer> front_of(const oci::Reference& blob, uint64_t end,
                                            const std::string& authorization,
                                            chunk::Source::OnData on_data,
                                            chunk::Source::OnDone on_done) override {
    const std::lock_guard hold(mutex);
    fronts.push_back({repository_of(blob), {0, end}, authorization});
    const auto found = holds.find(repository_of(blob));
    std::optional<Failure> failure;
    if (found == holds.end()) failure = Failure{Fault::not_found, "no such blob"};
    if (cut < end) failure = Failure{Fault::unavailable, "cut"};
    return std::make_unique<Front>(
        found == holds.end() ? "" : found->second.substr(0, std::min(end, cut)), failure,
        std::move(on_data), std::move(on_done));
  }
  void learnt(const oci::Reference& reference, const Document&, Word word) override {
    const std::lock_guard hold(mutex);
    learned.emplace_back(reference.target(), word);
  }
  void gave(const oci::Reference&, const Document& document, Word) override {
    const std::lock_guard hold(mutex);
    given.push_back(document.digest);
  }
  void showed(const std::string& repository, const util::Digest& blob) override {
    const std::lock_guard hold(mutex);
    shown.emplace_back(repository, blob);
  }
  std::shared_ptr<const void> opened(const chunk::LayerRef&) override { return nullptr; }
  std::shared_ptr<const void> claimed(const chunk::LayerRef& blob, const std::string&) override {
    return on_claimed ? on_claimed(blob) : nullptr;
  }
  bool dispute(const chunk::LayerRef& blob) override { return on_dispute && on_dispute(blob); }
  void disprove(const chunk::LayerRef& blob) override {
    if (on_disprove) on_disprove(blob);
  }
  void complete(const chunk::LayerRef& blob, const std::string&) override {
    const std::lock_guard hold(mutex);
    completed.push_back(blob.digest);
  }
  size_t count_fronts() {
    const std::lock_guard hold(mutex);
    return fronts.size();
  }
  static Document document(const std::string& text) {
    const auto bytes = util::as_bytes(text);
    return Document::of({bytes.begin(), bytes.end()});
  }

  std::function<std::shared_ptr<const void>(const chunk::LayerRef&)> on_claimed;
  std::function<bool(const chunk::LayerRef&)> on_dispute;
  std::function<void(const chunk::LayerRef&)> on_disprove;
  std::mutex mutex;
  bool down = false, open = true, ranges = true;
  bool knows = true;  ///< the node has a credential
  std::string good = "Basic good";
  uint64_t cut = UINT64_MAX;  ///< no front goes further
  std::map<std::string, std::string> manifests, members;
  util::Outcome<http::Response> relay_answer = http::Response{404, {}, ""};
  std::vector<std::string> asked;
  std::vector<std::pair<std::string, std::string>> lent;  ///< for which repository, what header
  int fetched = 0;
  std::string relayed;
  std::vector<util::Digest> given, completed;
  std::vector<std::pair<std::string, Word>> learned;
  struct Proof {
    std::string repository;
    util::ByteRange range;
    std::string authorization;
  };
  std::vector<Proof> proofs, fronts;
  std::vector<std::pair<std::string, util::Digest>> shown;
  std::map<std::string, std::string> holds;  ///< by repository: what its registry gives of the blob
};

class Collector final : public http::BodyWriter {
 public:
  bool write(util::ByteView bytes) override {
    body += util::as_text(bytes);
    if (on_sent) on_sent(body.size());
    return body.size() < most;
  }
  std::string body;
  size_t most = SIZE_MAX;  ///< then the client goes
  std::function<void(size_t)> on_sent;
};

class MirrorTest : public testing::Test {
 protected:
  MirrorTest() { start(); }
  ~MirrorTest() override { stop(); }

  void start() {
    cache_.emplace(cache::CacheOptions{directory_.path()}, timers_, workers_, metrics_);
    fetcher_.emplace(*cache_, std::vector<chunk::Source*>{&source_}, fetch::FetchOptions{}, timers_,
                     metrics_);
    mirror_.emplace(MirrorOptions{.address = "127.0.0.1:9755",
                                  .stale_tags = stale_tags_,
                                  .borrow_credentials = borrows_,
                                  .delivery = delivery_},
                    upstream_, *fetcher_, *cache_, clock_, metrics_);
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
  [[nodiscard]] std::shared_ptr<fetch::Layer> layer() {
    return fetcher_->open({blob_digest_, blob_.size(), {}});
  }
  /// All that is missing of it, for nobody.
  void bring_in(const std::shared_ptr<fetch::Layer>& blob) {
    auto all = std::make_shared<std::promise<void>>();
    const auto operation =
        fetcher_->bring_in(blob, chunk::Class::pull, [all](const auto&) { all->set_value(); });
    served([&] {
      all->get_future().wait();
      return true;
    });
  }
  struct Got {
    int status = 0;
    std::string body;
    bool whole = false;
    http::Headers headers;
  };
  /// `on_sent`: of so many bytes that the client has by now.
  Got get_blob(http::Headers headers = {}, size_t most = SIZE_MAX,
               std::function<void(size_t)> on_sent = {}) {
    return served([&] { return take_blob_of("app", "r.example.com", headers, most, on_sent); });
  }
  Got get_blob_of(const std::string& name, const std::string& registry, http::Headers headers = {},
                  size_t most = SIZE_MAX) {
    return served([&] { return take_blob_of(name, registry, headers, most); });
  }
  /// Of get_blob(), the client's part: somebody else must make the source answer.
  Got take_blob(http::Headers headers = {}) {
    return take_blob_of("app", "r.example.com", std::move(headers));
  }
  Got take_blob_of(const std::string& name, const std::string& registry, http::Headers headers,
                   size_t most = SIZE_MAX, std::function<void(size_t)> on_sent = {}) {
    const auto path = "/v2/" + name + "/blobs/" + blob_digest_.to_string();
    const auto answer = mirror_->answer({"GET", path, {{"ns", registry}}, "", headers});
    Got made{answer.status, answer.body, true, answer.headers};
    if (!answer.stream) return made;
    Collector client;
    client.most = most;
    client.on_sent = std::move(on_sent);
    made.whole = answer.stream(client) && client.body.size() == answer.length;
    made.body = std::move(client.body);
    return made;
  }
  void give_manifest() { EXPECT_EQ(ask("manifests/v1").status, 200); }

  DeliveryOptions delivery_{20s, 25s};
  bool stale_tags_ = true, borrows_ = true;
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

inline std::string header(const http::Headers& headers, const char* name) {
  return http::joined_header(headers, name);
}

}  // namespace swarmfs::mirror
