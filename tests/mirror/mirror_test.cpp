// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <set>
#include <thread>

#include "mirror_fixture.h"

namespace swarmfs::mirror {
namespace {

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

TEST_F(MirrorTest, a_tag_is_not_what_it_was_last_where_that_is_not_wanted) {
  give_manifest();
  stop();
  stale_tags_ = false;
  start();
  upstream_.down = true;
  upstream_.members["v1"] = manifest_;
  EXPECT_EQ(ask("manifests/v1").status, 404);
  EXPECT_EQ(ask("manifests/" + digest_.to_string()).body, manifest_) << "a digest never changes";
  upstream_.down = false;
  clock_.advance(Permissions::kSilence);
  EXPECT_EQ(ask("manifests/v1").status, 200);
}

TEST_F(MirrorTest, counts_where_the_bytes_that_it_gave_came_from) {
  const auto given = [&](const char* source) {
    return metrics_
        .counter("swarmfs_mirror_source_bytes_total",
                 "Bytes of blobs given to clients, by where they came from", {{"source", source}})
        .value();
  };
  give_manifest();
  EXPECT_TRUE(get_blob().body == blob_);
  EXPECT_EQ(given("registry"), 1'500'000);
  EXPECT_EQ(given("cache"), 0);
  EXPECT_EQ(get_blob({{"Range", "bytes=1000-1999"}}).body.size(), 1000u);
  EXPECT_EQ(given("registry"), 1'500'000);
  EXPECT_EQ(given("cache"), 1000);
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

TEST_F(MirrorTest, what_came_whole_after_its_client_left_is_complete_once_the_next_has_it) {
  give_manifest();
  EXPECT_FALSE(get_blob({}, 1'400'000).whole);
  const auto held = layer();
  bring_in(held);
  EXPECT_TRUE(upstream_.completed.empty());
  EXPECT_TRUE(get_blob().body == blob_);
  EXPECT_EQ(upstream_.completed, std::vector{blob_digest_});
  held->stored().mark_verified();  // as the daemon does then
  EXPECT_TRUE(get_blob().body == blob_);
  EXPECT_EQ(upstream_.completed, std::vector{blob_digest_}) << "that was all there was to do";
}

TEST_F(MirrorTest, never_gives_all_of_a_blob_that_is_wrong) {
  give_manifest();
  source_.flip(1'000);
  const auto got = get_blob();
  EXPECT_EQ(got.status, 200);
  EXPECT_FALSE(got.whole);
  EXPECT_LT(got.body.size(), blob_.size());
  EXPECT_TRUE(upstream_.completed.empty());
  EXPECT_EQ(ask("manifests/v1").status, 200);
  clock_.advance(1s);
  EXPECT_FALSE(get_blob().whole);
  EXPECT_EQ(get_blob().status, 404) << "the registry may do better, for a while";
  EXPECT_EQ(ask("blobs/" + blob_digest_.to_string(), {}, "HEAD").status, 200);
  EXPECT_EQ(ask("manifests/v1").status, 404) << "some clients ask for the blobs there alone";
  EXPECT_EQ(ask("manifests/" + digest_.to_string()).status, 404);
  source_.flip(1'000);  // and back
  clock_.advance(WrongBlobs::kRemembered);
  EXPECT_EQ(ask("manifests/v1").status, 200);
  auto again = get_blob();
  if (!again.whole) again = get_blob();  // bad bytes that came after the others were dropped
  EXPECT_TRUE(again.body == blob_);
}

TEST_F(MirrorTest, what_is_wrong_of_one_repository_is_not_held_against_another) {
  give_manifest();
  EXPECT_EQ(
      mirror_->answer({"GET", "/v2/other/manifests/v1", {{"ns", "r.example.com"}}, ""}).status,
      200);
  source_.flip(1'000);
  for (int i = 0; i < 2; ++i, clock_.advance(1s)) EXPECT_FALSE(get_blob().whole);
  EXPECT_EQ(get_blob().status, 404);
  source_.flip(1'000);
  auto got = get_blob_of("other", "r.example.com");
  if (!got.whole) got = get_blob_of("other", "r.example.com");
  EXPECT_TRUE(got.body == blob_);
  const auto stored = cache_->open(blob_digest_, blob_.size(), chunk::Form::bytes);
  stored->mark_verified();  // as the daemon does once all of it has passed
  EXPECT_TRUE(get_blob().body == blob_) << "it is here and right";
  EXPECT_EQ(ask("manifests/v1").status, 200);
}

TEST(WrongBlobs, count_once_what_several_read_at_once_and_are_forgotten) {
  const auto blob = util::Sha256::of(util::as_bytes("blob"));
  const util::SteadyTime begun{std::chrono::hours(1)};
  WrongBlobs wrong;
  EXPECT_FALSE(wrong.any(begun));
  for (int reader = 0; reader < 3; ++reader) wrong.note("r/app", blob, begun, begun + 1s);
  EXPECT_FALSE(wrong.has("r/app", blob, begun + 1s));
  wrong.note("r/app", blob, begun + 2s, begun + 3s);
  EXPECT_TRUE(wrong.has("r/app", blob, begun + 3s));
  EXPECT_FALSE(wrong.has("r/other", blob, begun + 3s));
  EXPECT_FALSE(wrong.has("r/app", blob, begun + 3s + WrongBlobs::kRemembered));
  EXPECT_FALSE(wrong.any(begun + 3s + WrongBlobs::kRemembered));
  wrong.came_right("r/app", blob);
  EXPECT_FALSE(wrong.has("r/app", blob, begun + 3s));
}

TEST_F(MirrorTest, what_does_not_come_is_not_wrong) {
  give_manifest();
  const auto tail = http::Headers{{"Range", "bytes=1400000-"}};
  for (int i = 0; i < 3; ++i, clock_.advance(1s)) {
    auto got = std::async(std::launch::async, [&] {
      Collector client;
      const auto answer = ask("blobs/" + blob_digest_.to_string(), tail);
      return answer.stream && answer.stream(client);
    });
    // The range itself comes; what is before it, and is to be hashed, does not.
    while (got.wait_for(1ms) != std::future_status::ready)
      for (size_t id = 0; id < source_.requests(); ++id) {
        if (source_.asked(id).offset >= 1'200'000)
          source_.answer(id, UINT64_MAX);
        else
          source_.fail(id, {Fault::unavailable, "down"});
      }
    EXPECT_FALSE(got.get());
  }
  EXPECT_EQ(ask("manifests/v1").status, 200);
  EXPECT_TRUE(get_blob().body == blob_);
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

TEST_F(MirrorTest, where_the_node_has_no_credential_it_borrows_that_of_who_may_pull) {
  upstream_.open = upstream_.knows = false;
  const http::Headers good{{"Authorization", "Basic good"}}, bad{{"Authorization", "Basic bad"}};
  EXPECT_EQ(ask("manifests/v1", bad).status, 401);
  EXPECT_TRUE(upstream_.lent.empty());
  EXPECT_EQ(ask("manifests/v1", good).body, manifest_);
  ASSERT_EQ(upstream_.learned.size(), 1u);
  EXPECT_EQ(upstream_.learned.front().second, Word::caller) << "which makes nothing public";
  EXPECT_TRUE(get_blob(good).body == blob_);
  const std::pair lent{std::string(kRepository), std::string("Basic good")};
  EXPECT_EQ(upstream_.lent, (std::vector{lent, lent})) << "with each request: a token runs out";
  for (const auto& who : {http::Headers{}, bad}) {
    EXPECT_EQ(ask("manifests/" + digest_.to_string(), who).status, 401);
    EXPECT_EQ(ask("blobs/" + blob_digest_.to_string(), who).status, 401);
  }
  EXPECT_EQ(upstream_.lent.size(), 2u);
}

TEST_F(MirrorTest, borrows_nothing_where_it_has_a_credential_or_that_is_not_wanted) {
  upstream_.open = false;
  const http::Headers good{{"Authorization", "Basic good"}};
  EXPECT_EQ(ask("manifests/v1", good).status, 200);
  stop();
  borrows_ = upstream_.knows = false;
  start();
  EXPECT_EQ(ask("manifests/v1", good).status, 404) << "to the registry, with what he has";
  EXPECT_TRUE(upstream_.lent.empty());
}

TEST_F(MirrorTest, a_credential_that_serves_no_more_is_asked_about_again) {
  upstream_.open = upstream_.knows = false;
  const http::Headers good{{"Authorization", "Basic good"}};
  EXPECT_EQ(ask("manifests/v1", good).status, 200);
  EXPECT_EQ(upstream_.asked.size(), 1u);
  auto refused = std::async(std::launch::async,
                            [&] { return ask("blobs/" + blob_digest_.to_string(), good).status; });
  while (refused.wait_for(1ms) != std::future_status::ready)
    for (size_t id = 0; id < source_.requests(); ++id) source_.fail(id, {Fault::denied, "expired"});
  EXPECT_EQ(refused.get(), 404);
  EXPECT_TRUE(get_blob(good).body == blob_);
  EXPECT_EQ(upstream_.asked.size(), 2u);
}

TEST_F(MirrorTest, whose_token_ran_out_is_told_so_and_who_needs_none_gets_it) {
  upstream_.open = upstream_.knows = false;
  const http::Headers good{{"Authorization", "Basic good"}};
  EXPECT_EQ(ask("manifests/v1", good).status, 200);
  upstream_.good = "Basic renewed";
  const auto refused = ask("manifests/v1", good);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(header(refused.headers, "WWW-Authenticate"), "Bearer realm=\"x\", Basic realm=\"y\"");
  EXPECT_EQ(ask("manifests/v1", {{"Authorization", "Basic renewed"}}).status, 200);
  upstream_.good = "Basic third";
  upstream_.open = true;
  EXPECT_EQ(ask("manifests/v1", {{"Authorization", "Basic renewed"}}).status, 200)
      << "public by now";
}

TEST_F(MirrorTest, what_was_cut_short_costs_nobody_his_hours_grace) {
  upstream_.open = false;
  const http::Headers good{{"Authorization", "Basic good"}};
  EXPECT_EQ(ask("manifests/v1", good).status, 200);
  upstream_.down = true;
  auto refused = std::async(std::launch::async,
                            [&] { return ask("blobs/" + blob_digest_.to_string(), good).status; });
  while (refused.wait_for(1ms) != std::future_status::ready)
    for (size_t id = 0; id < source_.requests(); ++id) source_.fail(id, {Fault::denied, "expired"});
  EXPECT_EQ(refused.get(), 404);
  EXPECT_EQ(ask("manifests/" + digest_.to_string(), good).status, 200);
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
  upstream_.relay_answer = http::Response{
      401, {{"WWW-Authenticate", "Basic realm=\"z\""}, {"Content-Length", "148"}}, ""};
  EXPECT_FALSE(ask("blobs/" + blob_digest_.to_string()).length) << "there is no such body";
  const auto refused = get_blob();
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(header(refused.headers, "WWW-Authenticate"), "Basic realm=\"z\"");
}

TEST_F(MirrorTest, the_next_page_of_a_list_is_asked_for_here) {
  const struct {
    const char *link, *by_ns, *by_prefix;
  } links[] = {
      {"</v2/app/tags/list?last=b&n=5>; rel=\"next\"",
       "</v2/app/tags/list?last=b&n=5&ns=r.example.com>; rel=\"next\"",
       "</v2/r.example.com/app/tags/list?last=b&n=5>; rel=\"next\""},
      {"<https://r.example.com/v2/app/tags/list?last=b>; rel=next",
       "</v2/app/tags/list?last=b&ns=r.example.com>; rel=next",
       "</v2/r.example.com/app/tags/list?last=b>; rel=next"},
      {"<?last=b>", "</v2/app/tags/list?last=b&ns=r.example.com>",
       "</v2/r.example.com/app/tags/list?last=b>"},
      {"</elsewhere?last=b>", "</elsewhere?last=b>", "</elsewhere?last=b>"},
      {"last?>", "last?>", "last?>"},
      {"<last?", "<last?", "<last?"},
  };
  for (const auto& row : links) {
    upstream_.relay_answer = http::Response{200, {{"Link", row.link}}, "{}"};
    const auto link = [&](const char* path, std::map<std::string, std::string> query) {
      return header(mirror_->answer({"GET", path, std::move(query), ""}).headers, "Link");
    };
    EXPECT_EQ(link("/v2/app/tags/list", {{"ns", "r.example.com"}}), row.by_ns);
    EXPECT_EQ(link("/v2/r.example.com/app/tags/list", {}), row.by_prefix);
  }
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
  EXPECT_EQ(ask("tags/list").status, 503);
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
