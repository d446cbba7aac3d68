// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/proofs.h"

#include <thread>

#include "mirror_fixture.h"

namespace swarmfs::mirror {
namespace {

const std::string kEvil = "evil.example.com/claims";

/// A private blob of r.example.com/app, and another registry that names it.
class ProofsTest : public MirrorTest {
 protected:
  using Shown = std::vector<std::pair<std::string, util::Digest>>;

  ProofsTest() {
    upstream_.open = false;
    upstream_.relay_answer = http::Response{200, {{"Content-Length", "1500000"}}, ""};
  }
  void pull() {
    EXPECT_EQ(ask("manifests/v1", good_).status, 200);
    EXPECT_TRUE(get_blob(good_).body == blob_);
  }
  /// As the daemon does once all of it has passed, and is stored.
  void check() {
    const auto stored = cache_->open(blob_digest_, blob_.size(), chunk::Form::bytes);
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (!stored->has(chunk::blocks_covering({0, blob_.size()})) &&
           std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(1ms);
    stored->mark_verified();
  }
  /// Something of it is on the disk.
  void await_stored() {
    const auto stored = cache_->open(blob_digest_, blob_.size(), chunk::Form::bytes);
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (stored->bytes_present() == 0 && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(1ms);
  }
  Got get_evil(http::Headers headers = {}) {
    return get_blob_of("claims", "evil.example.com", std::move(headers));
  }

  const http::Headers good_{{"Authorization", "Basic good"}};
  const http::Headers end_{{"Range", "bytes=" + std::to_string(blob_.size() - 1) + "-"}};
};

TEST_F(ProofsTest, no_byte_is_given_in_the_name_of_a_repository_that_does_not_hold_it) {
  pull();
  check();
  const auto fetched = source_.requests();
  auto lies = blob_;
  for (auto& byte : lies) byte = static_cast<char>(byte ^ 1);
  const struct {
    std::optional<std::string> holds;
    bool down;
    int status;
  } table[] = {{{}, false, 404}, {lies, false, 404}, {lies, true, 503}};
  for (const auto& row : table) {
    upstream_.holds.clear();
    if (row.holds) upstream_.holds[kEvil] = *row.holds;
    upstream_.down = row.down;
    for (const auto& headers : {http::Headers{}, good_, http::Headers{{"Range", "bytes=5-9"}}}) {
      const auto got = get_evil(headers);
      EXPECT_EQ(got.status, row.status);
      EXPECT_EQ(got.body.find(blob_.substr(0, 5)), std::string::npos);
    }
  }
  EXPECT_EQ(source_.requests(), fetched);
  upstream_.down = false;
  EXPECT_TRUE(get_blob(good_).body == blob_) << "whom it belongs to is served as before";
}

TEST_F(ProofsTest, whoever_asks_again_is_asked_for_the_same_block) {
  pull();
  check();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(get_evil().status, 404);
  ASSERT_EQ(upstream_.proofs.size(), 20u);
  const auto range = upstream_.proofs[0].range;
  EXPECT_EQ(range.offset % chunk::kBlockSize, 0u);
  EXPECT_EQ(range.length, std::min<uint64_t>(chunk::kBlockSize, blob_.size() - range.offset));
  for (const auto& proof : upstream_.proofs) EXPECT_EQ(proof.range, range);
  EXPECT_EQ(get_blob_of("another", "evil.example.com").status, 404);
  EXPECT_EQ(upstream_.proofs.back().range, range) << "nor is it another under another name";
}

TEST_F(ProofsTest, a_repository_that_holds_it_shows_so_once_with_the_callers_credential) {
  pull();
  check();
  upstream_.holds[kEvil] = blob_;
  const auto fetched = source_.requests();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(get_evil({{"Authorization", "Basic x"}}).body == blob_);
  ASSERT_EQ(upstream_.proofs.size(), 1u);
  EXPECT_EQ(upstream_.proofs[0].repository, kEvil);
  EXPECT_EQ(upstream_.proofs[0].authorization, "Basic x");
  EXPECT_EQ(source_.requests(), fetched) << "all comes from the cache";
  EXPECT_EQ(upstream_.shown.back(), (std::pair{kEvil, blob_digest_})) << "members hear of it";
  clock_.advance(Permissions::kBelieved);
  EXPECT_TRUE(get_evil().body == blob_);
  EXPECT_EQ(upstream_.proofs.size(), 2u)
      << "no manifest names it: believed as long as a permission";
}

TEST_F(ProofsTest, what_a_manifest_names_is_shown_once_for_good) {
  pull();
  check();
  const std::string other = "r.example.com/other";
  upstream_.holds[other] = blob_;
  const auto manifest_of_other = [&] {
    return mirror_->answer({"GET", "/v2/other/manifests/v1", {{"ns", "r.example.com"}}, "", good_})
        .status;
  };
  EXPECT_EQ(manifest_of_other(), 200);
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(get_blob_of("other", "r.example.com", good_).body == blob_);
    EXPECT_EQ(upstream_.proofs.size(), 1u);
    clock_.advance(1h);
    restart();
  }
}

TEST_F(ProofsTest, what_came_in_a_repositorys_name_needs_no_proof_also_after_a_restart) {
  pull();
  EXPECT_EQ(upstream_.shown, (Shown{{kRepository, blob_digest_}}));
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(get_blob(good_).body == blob_);
    restart();
  }
  EXPECT_TRUE(upstream_.proofs.empty());
}

TEST_F(ProofsTest, who_looks_at_what_an_earlier_run_left_keeps_no_other_from_it) {
  EXPECT_EQ(ask("manifests/v1", good_).status, 200);
  auto begins = good_;
  begins.emplace_back("Range", "bytes=0-9");
  EXPECT_EQ(get_blob(begins).status, 206);
  await_stored();
  restart();
  // As a request at the same time does that looks for a block to ask for.
  const auto look = layer();
  EXPECT_GT(look->stored().bytes_present(), 0u);
  EXPECT_LT(look->stored().bytes_present(), blob_.size());
  const auto got = get_blob(good_);
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.body == blob_);
}

TEST_F(ProofsTest, what_belongs_to_a_public_repository_anybody_may_have) {
  upstream_.open = true;
  give_manifest();
  EXPECT_TRUE(get_blob().body == blob_);
  check();
  EXPECT_TRUE(get_evil().body == blob_);
  EXPECT_TRUE(upstream_.proofs.empty());
  // Not any more once the registry is found to ask who it is.
  upstream_.open = false;
  clock_.advance(Permissions::kBelieved);
  EXPECT_EQ(ask("manifests/v1").status, 401);
  EXPECT_EQ(get_evil().status, 404);
}

TEST_F(ProofsTest, a_public_repository_that_only_names_it_opens_nothing) {
  pull();
  check();
  upstream_.open = true;
  EXPECT_EQ(
      mirror_->answer({"GET", "/v2/claims/manifests/v1", {{"ns", "evil.example.com"}}, ""}).status,
      200);
  EXPECT_EQ(get_evil().status, 404);
  EXPECT_EQ(get_evil().status, 404);
}

TEST_F(ProofsTest, what_is_not_checked_proves_nothing) {
  pull();
  upstream_.holds[kEvil] = blob_;
  const auto got = get_evil({{"Authorization", "Basic x"}});
  EXPECT_TRUE(got.body == blob_) << "its registry gives it, past the cache";
  for (const auto& asked : upstream_.proofs) {
    EXPECT_EQ(asked.repository, kEvil);
    EXPECT_EQ(asked.authorization, "Basic x");
  }
  EXPECT_EQ(get_evil({{"Range", "bytes=5-9"}}).body, blob_.substr(5, 5));
  EXPECT_EQ(upstream_.shown.size(), 1u) << "which shows nothing of what is here";
}

TEST_F(ProofsTest, a_repository_without_ranges_gives_it_itself_and_shows_so_by_all_of_it) {
  pull();
  check();
  upstream_.ranges = false;
  auto lies = blob_;
  for (auto& byte : lies) byte = static_cast<char>(byte ^ 1);
  upstream_.holds[kEvil] = lies;
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(get_evil().body == lies) << "what it gives is its own";
  upstream_.holds[kEvil] = blob_;
  const http::Headers caller{{"Authorization", "Basic x"}};
  EXPECT_EQ(get_evil({caller[0], {"Range", "bytes=5-9"}}).body, blob_.substr(5, 5));
  EXPECT_EQ(upstream_.shown.size(), 1u) << "a part of it shows nothing";
  EXPECT_TRUE(get_evil(caller).body == blob_);
  EXPECT_EQ(upstream_.fronts.back().authorization, "Basic x");
  EXPECT_EQ(upstream_.shown.back(), (std::pair{kEvil, blob_digest_}));
  const auto fronts = upstream_.fronts.size();
  EXPECT_TRUE(get_evil(caller).body == blob_);
  EXPECT_EQ(upstream_.fronts.size(), fronts) << "from the cache";
}

TEST_F(ProofsTest, what_is_not_checked_is_not_given_past_the_cache_by_who_has_it_not) {
  pull();
  EXPECT_EQ(get_evil().status, 404);
  upstream_.down = true;
  EXPECT_EQ(get_evil().status, 503);
}

TEST_F(ProofsTest, a_small_blob_is_checked_on_the_spot) {
  stop();
  const std::string small = R"({"architecture":"amd64"})";
  const auto digest = util::Sha256::of(util::as_bytes(small));
  util::Timers timers;
  cache_.emplace(cache::CacheOptions{directory_.path()}, timers_, workers_, metrics_);
  Ledger ledger(*cache_);
  support::FakeSource source(small);
  fetch::Fetcher fetcher(*cache_, {&source}, {}, timers, metrics_);
  const auto stored = cache_->open(digest, small.size(), chunk::Form::bytes);
  const auto bytes = util::as_bytes(small);
  std::promise<bool> written;
  stored->write(chunk::BlockIndex{0}, util::SharedBytes::of({bytes.begin(), bytes.end()}),
                chunk::Class::pull,
                [&](const auto& outcome) { written.set_value(static_cast<bool>(outcome)); });
  ASSERT_TRUE(written.get_future().get());
  Proofs proofs(upstream_, fetcher, ledger, clock_);
  const chunk::LayerRef ref{digest, small.size(), {{"evil.example.com", "claims"}}};
  EXPECT_FALSE(proofs.open(ref, "", util::SteadyTime::max()));
  upstream_.holds[kEvil] = small;
  const auto opened = proofs.open(ref, "", util::SteadyTime::max());
  ASSERT_TRUE(opened) << opened.failure().message;
  EXPECT_FALSE(opened->alone);
  ASSERT_EQ(upstream_.proofs.size(), 2u);
  EXPECT_EQ(upstream_.proofs[1].range, (util::ByteRange{0, small.size()}));
  fetcher.stop();
}

TEST_F(ProofsTest, a_blob_of_which_nothing_is_here_comes_from_the_repository_until_another_joins) {
  upstream_.open = true;
  give_manifest();
  std::promise<void> read, joined;
  struct Slow final : http::BodyWriter {
    explicit Slow(std::function<void()> first) : on_first(std::move(first)) {}
    bool write(util::ByteView bytes) override {
      body += util::as_text(bytes);
      if (const auto call = std::exchange(on_first, nullptr)) call();
      return true;
    }
    std::function<void()> on_first;
    std::string body;
  } client([&] {
    read.set_value();
    joined.get_future().wait();
  });
  auto sent = std::async(std::launch::async, [&] {
    const auto answer = ask("blobs/" + blob_digest_.to_string());
    return answer.stream && answer.stream(client);
  });
  auto other = std::async(std::launch::async, [&] {
    read.get_future().wait();
    auto layer = fetcher_->open({blob_digest_, blob_.size(), {{"private.example.com", "app"}}});
    joined.set_value();
    return layer;
  });
  while (sent.wait_for(1ms) != std::future_status::ready) source_.answer_all();
  EXPECT_FALSE(sent.get());
  EXPECT_LE(client.body.size(), BlobStream::kPiece) << "but what it had, no more";
  EXPECT_EQ(get_blob().status, 404) << "and it does not belong to it";
  other.get();
}

TEST_F(ProofsTest, what_comes_in_for_one_public_repository_does_for_another) {
  upstream_.open = true;
  give_manifest();
  EXPECT_EQ(
      mirror_->answer({"GET", "/v2/claims/manifests/v1", {{"ns", "evil.example.com"}}, ""}).status,
      200);
  const auto get = [&](const char* path, const char* registry) {
    return std::async(std::launch::async, [this, path, registry] {
      Collector client;
      const auto answer =
          mirror_->answer({"GET", path + blob_digest_.to_string(), {{"ns", registry}}, ""});
      return answer.status == 200 && answer.stream && answer.stream(client) ? client.body : "";
    });
  };
  auto one = get("/v2/app/blobs/", "r.example.com");
  while (source_.requests() == 0) std::this_thread::sleep_for(1ms);
  auto other = get("/v2/claims/blobs/", "evil.example.com");
  while (one.wait_for(1ms) != std::future_status::ready ||
         other.wait_for(1ms) != std::future_status::ready)
    source_.answer_all();
  EXPECT_TRUE(one.get() == blob_);
  EXPECT_TRUE(other.get() == blob_);
  EXPECT_TRUE(upstream_.proofs.empty());
}

TEST_F(ProofsTest, the_end_of_a_blob_is_given_once_all_was_right_which_shows_that_it_is_held) {
  upstream_.open = true;
  give_manifest();
  EXPECT_EQ(get_blob(end_).body, blob_.substr(blob_.size() - 1));
  EXPECT_EQ(upstream_.shown, (Shown{{kRepository, blob_digest_}}));
}

TEST_F(ProofsTest, who_reads_here_and_there_waits_for_no_more_and_shows_nothing) {
  upstream_.open = true;
  give_manifest();
  const uint64_t last = (chunk::block_count(blob_.size()) - 1) * chunk::kBlockSize;
  for (const char* range : {"bytes=-51", "bytes=1499949-1499999", "bytes=1499949-9999999"}) {
    auto got = std::async(std::launch::async, [&] {
      Collector client;
      const auto answer = ask("blobs/" + blob_digest_.to_string(), {{"Range", range}});
      return answer.stream && answer.stream(client) ? client.body : "";
    });
    while (got.wait_for(1ms) != std::future_status::ready)
      for (size_t id = 0; id < source_.requests(); ++id)
        if (source_.asked(id).offset == last) source_.answer(id, UINT64_MAX);
    EXPECT_EQ(got.get(), blob_.substr(1499949));
  }
  EXPECT_EQ(source_.requests(), 1u);
  EXPECT_TRUE(upstream_.shown.empty());
}

TEST_F(ProofsTest, who_knows_the_end_of_a_blob_has_not_shown_that_it_holds_it) {
  upstream_.open = true;
  give_manifest();
  chunk::HashTreeBuilder tree;
  tree.feed(util::as_bytes(blob_));
  const chunk::LayerRef for_nobody{blob_digest_, blob_.size(), {}};
  const auto layer = fetcher_->open(for_nobody);
  layer->seal(std::make_shared<const chunk::HashTree>(tree.finish()));
  auto got = std::async(std::launch::async, [&] {
    Collector client;
    const auto answer = ask("blobs/" + blob_digest_.to_string(), end_);
    return answer.stream && answer.stream(client) ? client.body : "";
  });
  const uint64_t last = (chunk::block_count(blob_.size()) - 1) * chunk::kBlockSize;
  while (got.wait_for(1ms) != std::future_status::ready)
    for (size_t id = 0; id < source_.requests(); ++id)
      if (source_.asked(id).offset == last) source_.answer(id, UINT64_MAX);
  EXPECT_EQ(got.get(), blob_.substr(blob_.size() - 1));
  EXPECT_TRUE(upstream_.shown.empty());
}

}  // namespace
}  // namespace swarmfs::mirror
