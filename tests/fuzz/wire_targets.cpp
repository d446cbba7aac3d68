// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fuzz/wire_targets.h"

#include "chunk/hash_tree.h"
#include "cluster/claim.h"
#include "content/tree_document.h"
#include "http/range.h"
#include "http/url.h"
#include "swarm/announcements.h"
#include "swarm/endpoint.h"
#include "swarm/news.h"
#include "swarm/preheat.h"
#include "swarm/proof.h"
#include "util/error.h"

namespace swarmfs::fuzz {

namespace {

constexpr uint64_t kSize = 100'000;  ///< of the layer in all of this: seven blocks

void expect(bool is_so, const char* what) {
  if (!is_so) throw util::Error(what);
}

util::Digest digest_of(const std::string& text) {
  return util::Sha256::of(util::as_bytes(text));
}

chunk::HashTree tree() {
  chunk::HashTreeBuilder builder;
  builder.feed(util::as_bytes(std::string(kSize, 'x')));
  return builder.finish();
}

std::string text_of(util::ByteView bytes) {
  return std::string(util::as_text(bytes));
}

Target preheat_state() {
  using State = swarm::PreheatState::State;
  const swarm::PreheatState some{State::failed, "no such image", 100, 7, 1.5, {{"peer", 7}}};
  return {"preheat state",
          {some.to_json(), swarm::PreheatState{}.to_json()},
          [](const std::string& text) {
            const auto read = swarm::PreheatState::parse(text);
            if (!read) return false;
            const auto again = swarm::PreheatState::parse(read->to_json());
            expect(again && again->state == read->state && again->error == read->error &&
                       again->bytes_total == read->bytes_total && again->sources == read->sources,
                   "a preheat state that does not survive");
            return true;
          }};
}

Target news() {
  swarm::News made{"zone a", {}};
  swarm::LayerNews some{kSize, true, false, swarm::BlockSet(chunk::block_count(kSize))};
  some.blocks.add({1, 3});
  some.shareholders = {{"a node", {"10.0.0.3", 7946}}, {"another", {"fd00::1", 7946}}};
  made.layers = {{digest_of("a"), some}, {digest_of("b"), {0, false, true, swarm::BlockSet(0)}}};
  made.link = 1;
  return {"news",
          {made.to_json(), made.to_json(true), swarm::News{}.to_json()},
          [](const std::string& text) {
            const auto read = swarm::News::parse(text);
            if (!read) return false;
            const auto again = swarm::News::parse(read->to_json(true));
            expect(again && again->layers == read->layers && again->zone == read->zone &&
                       again->link == read->link,
                   "news that do not survive");
            return true;
          }};
}

Target blocks() {
  swarm::BlockSet some(1000);
  some.add({3, 700});
  return {
      "blocks", {some.to_base64(), swarm::BlockSet(1000).to_base64()}, [](const std::string& text) {
        const auto read = swarm::BlockSet::parse(text, 1000);
        if (!read) return false;
        expect(swarm::BlockSet::parse(read->to_base64(), 1000) == read,
               "blocks that do not survive");
        expect(read->count() <= 1000, "more blocks than there are");
        return true;
      }};
}

Target claim() {
  const auto token = cluster::Token::make();
  const auto identity =
      cluster::Identity::of_tokens({token}, cluster::PrivateKey::generate(), cluster::wall_now());
  const auto good = cluster::make_claim(identity, digest_of("layer"), kSize, digest_of("root"),
                                        digest_of("index"));
  return {"claim", {good.to_json()}, [identity, good](const std::string& text) {
            const auto read = cluster::Claim::parse(text);
            if (!read) return false;
            const auto claimant = cluster::verify_claim(*read, identity);
            const bool same = read->signed_text() == good.signed_text();
            expect(!claimant || same, "a claim that nobody signed is believed");
            const auto again = cluster::Claim::parse(read->to_json());
            expect(again && *again == *read, "a claim that does not survive");
            return true;
          }};
}

Target certificates() {
  const auto identity = cluster::Identity::of_tokens(
      {cluster::Token::make()}, cluster::PrivateKey::generate(), cluster::wall_now());
  return {"certificates",
          {identity.certificate_pem(), identity.ca_pem()},
          [identity](const std::string& text) {
            const auto read = cluster::Certificate::parse_all(text);
            if (!read) return false;
            static_cast<void>(cluster::verify_chain(*read, identity.roots(), cluster::wall_now()));
            for (const auto& one : *read) static_cast<void>(one.node_id() + one.common_name());
            return true;
          }};
}

Target leaves() {
  const auto whole = tree();
  return {"leaves", {text_of(whole.leaf_bytes())}, [root = whole.root()](const std::string& text) {
            const auto read = chunk::HashTree::from_leaves(kSize, util::as_bytes(text), root);
            if (!read) return false;
            expect(text_of(read->leaf_bytes()) == text, "other leaves make the same root");
            return true;
          }};
}

Target tree_document() {
  const content::TreeDocument own{std::make_shared<const chunk::HashTree>(tree()),
                                  digest_of("index"), "", ""};
  const content::TreeDocument claimed{own.tree, own.index, "node", "claim"};
  return {"tree document",
          {text_of(own.serialize()), text_of(claimed.serialize())},
          [](const std::string& text) {
            const auto read = content::TreeDocument::parse(util::as_bytes(text));
            if (!read) return false;
            expect(text_of(read->serialize()) == text, "a tree document has two forms");
            return true;
          }};
}

Target endpoint() {
  return {"endpoint",
          {"10.0.0.3:7946", "[2001:db8::1]:7946", "node-7.local:1"},
          [](const std::string& text) {
            const auto read = swarm::Endpoint::parse(text);
            if (!read) return false;
            expect(swarm::Endpoint::parse(read->to_string()) == read,
                   "an endpoint that does not survive");
            return true;
          }};
}

Target proof() {
  swarm::Access access;
  for (const char* name : {"a", "b", "c"}) access.secrets[digest_of(name)] = digest_of("secret");
  const auto good = swarm::make_proof(access, "server", "asker", "repository");
  return {"proof", {good}, [access, good](const std::string& text) {
            const bool proves = swarm::proves(text, access, "server", "asker", "repository");
            bool knows = false;
            for (size_t at = 0; at < good.size(); at += 130)
              knows |= text.find(good.substr(at, 129)) != std::string::npos;
            expect(!proves || knows, "a proof that nobody made is believed");
            return proves;
          }};
}

Target range() {
  return {"range",
          {"bytes=0-16383", "bytes=18446744073709551613-18446744073709551614"},
          [](const std::string& text) {
            const auto read = http::parse_range(text);
            if (!read) return false;
            expect(!read->empty() && read->end() > read->offset, "a range that ends nowhere");
            return true;
          }};
}

Target content_range() {
  return {"content range", {"bytes 0-16383/100000", "bytes 5-5/*"}, [](const std::string& text) {
            const auto read = http::parse_content_range(text);
            if (!read) return false;
            expect(read->range.end() > read->range.offset, "a range that ends nowhere");
            return true;
          }};
}

Target target() {
  return {"request target",
          {"/v1/layers/abc/bytes?repository=docker.io%2Flibrary%2Fnginx&class=fault&fetch=1",
           "/v1/layers?layers=a,b,c&port=7946&zone=a+b"},
          [](const std::string& text) {
            const auto read = http::Target::parse(text);
            if (!read) return false;
            expect(read->path.starts_with('/'), "a path from nowhere");
            return true;
          }};
}

/// What is announced in the DHT: a key and an endpoint each, written into text.
Target announcements() {
  constexpr size_t kRecord = 9;
  const swarm::Announcements::Limits limits{4, 3, 8};
  return {"announcements",
          {"k10.0.0.1k10.0.0.2m10.0.0.3", "afd00::12"},
          [limits](const std::string& text) {
            swarm::Announcements kept(limits);
            const util::SteadyTime now;
            bool any = false;
            for (size_t at = 0; at + kRecord <= text.size(); at += kRecord) {
              swarm::DhtKey key{};
              key.front() = static_cast<std::byte>(text[at]);
              const auto address = swarm::canonical_address(text.substr(at + 1, kRecord - 1));
              const swarm::Endpoint peer{address.value_or(text.substr(at + 1, kRecord - 1)), 1};
              any |= address.has_value();
              kept.add(key, peer, now + std::chrono::minutes(at));
              expect(kept.keys() <= limits.keys && kept.peers() <= limits.total,
                     "too much is kept");
              const auto late = now + std::chrono::minutes(at);
              expect(kept.of(key, false, 2, late).size() <= 2, "more is told than was asked for");
              expect(kept.of(key, true, 9, late).size() <= limits.peers, "one key keeps too much");
            }
            kept.forget_old(now + std::chrono::hours(24 * 365));
            expect(kept.keys() == 0 && kept.peers() == 0, "what is old stays");
            return any;
          }};
}

}  // namespace

std::vector<Target> wire_targets() {
  return {news(),          preheat_state(), blocks(),       claim(), certificates(),
          leaves(),        tree_document(), endpoint(),     proof(), range(),
          content_range(), target(),        announcements()};
}

}  // namespace swarmfs::fuzz
