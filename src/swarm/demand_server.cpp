// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/demand_server.h"

#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <map>

#include "http/range.h"
#include "swarm/peer_answer.h"
#include "swarm/preheat_door.h"
#include "swarm/proof.h"
#include "swarm/serving.h"
#include "swarm/shareholders.h"
#include "util/log.h"

namespace swarmfs::swarm {

using http::PeerRequest;
using http::PeerResponse;
using util::Outcome;
using util::SharedBytes;
using Respond = http::PeerServer::Respond;

namespace {

constexpr uint64_t kLongestRange = 4 << 20;
constexpr size_t kMostLayers = 128;
constexpr std::chrono::milliseconds kShareholdersTurn{250};
constexpr std::chrono::seconds kPatience{25};  ///< of a reader's, for the registry, as owner

std::vector<util::Digest> digests(std::string_view list) {
  std::vector<util::Digest> made;
  while (!list.empty() && made.size() < kMostLayers) {
    const std::string_view one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(one.size() + 1, list.size()));
    if (const auto digest = util::Digest::parse_hex(one)) made.push_back(*digest);
  }
  return made;
}

std::optional<chunk::Class> class_of(std::string_view name) {
  for (const auto cls :
       {chunk::Class::fault, chunk::Class::pull, chunk::Class::prefetch, chunk::Class::backfill})
    if (name == chunk::to_string(cls)) return cls;
  return std::nullopt;
}

/// Where the asker's own demand lane is: its address, and the port that it says.
std::optional<Endpoint> asker_endpoint(const PeerRequest& request) {
  const auto remote = Endpoint::parse(request.remote_address);
  const std::string text = query(request, "port");
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (!remote || error != std::errc() || end != text.data() + text.size() || port == 0)
    return std::nullopt;
  return Endpoint{remote->address, port};
}

}  // namespace

struct DemandServer::State {
  struct Range {
    NamedLayer layer;
    util::ByteRange bytes;
    uint64_t size = 0;
    chunk::Class cls = chunk::Class::fault;
    bool fetch = false;
    std::string peer;
    std::optional<Endpoint> asker;
    std::optional<util::Digest> windows;  ///< their name; `size` is not known then
  };

  State(DemandServerOptions chosen, const http::TlsMaterial& material, Holdings& its_holdings,
        PeerTable& its_table, LayerViews& its_views, util::Metrics& metrics)
      : options(std::move(chosen)),
        holdings(its_holdings),
        table(its_table),
        views(its_views),
        served(metrics.counter("swarmfs_peer_served_bytes_total", "Bytes given to other nodes")),
        shed(metrics.counter("swarmfs_peer_shed_total", "Requests of peers sent elsewhere")),
        refused(metrics.counter("swarmfs_peer_refused_total",
                                "Requests of peers for what they may not have")),
        serving(std::make_shared<Serving>(options.limits)) {
    http::PeerServerOptions server_options;
    server_options.addresses = options.listen;
    server = std::make_unique<http::PeerServer>(
        server_options, material, [this](const PeerRequest& request, Respond respond) {
          handle(request, std::move(respond));
        });
  }
  ~State() {
    serving->stop();
    server.reset();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void handle(const PeerRequest& request, Respond respond) {
    if (table.banned(request.peer)) return respond(refusal(403, "this node is banned here"));
    const bool preheating = is_about_preheating(request.path);
    if (!preheating && request.method != "GET" && request.method != "HEAD")
      return respond(refusal(405, "GET and HEAD only"));
    if (const auto asker = asker_endpoint(request)) {
      table.add({*asker});
      table.met(*asker, request.peer, query(request, "zone"));
    }
    if (preheating) return respond(answer_about_preheating(request, options.preheats));
    const std::string& path = request.path;
    if (path == "/v1/layers")
      return tell_news(request, [this, respond](PeerResponse made) {
        if (const auto words = to_header(options.registries()); !words.empty())
          made.headers.emplace_back("Swarmfs-Registries", words);
        respond(std::move(made));
      });
    if (path == "/v1/manifests") return give_manifest(request, respond);
    if (path.starts_with("/v1/profiles/")) return give_profile(request, respond, path.substr(13));
    if (path.starts_with("/v1/layers/")) return give_layer(request, respond, path.substr(11));
    respond(refusal(404, "no such path"));
  }

  /// Empty: the asker may have what is of the repository. Else what to answer.
  std::optional<PeerResponse> refuse(const PeerRequest& request, const std::string& repository) {
    const Access access = holdings.access(repository);
    if (access.known_public) return std::nullopt;
    const auto proof = request.header("Swarmfs-Proof");
    if (proof && proves(*proof, access, options.node_id(), request.peer, repository))
      return std::nullopt;
    refused.add();
    return refusal(403, "show that you may pull from this repository");
  }

  void tell_news(const PeerRequest& request, const Respond& respond) {
    const std::string repository = query(request, "repository");
    News news;
    news.zone = options.zone;
    const auto asked = digests(query(request, "layers"));
    if (!asked.empty())
      if (auto refusal = refuse(request, repository)) return respond(std::move(*refusal));
    const auto now = std::chrono::steady_clock::now();
    // Who only looks is no member, and does not have us exchange anything.
    const bool looks = query(request, "look") == "1";
    const auto asker =
        looks || request.peer == table.self() ? std::nullopt : asker_endpoint(request);
    const bool is_public = !looks && options.bulk_port && holdings.access(repository).known_public;
    const auto remote = Endpoint::parse(request.remote_address);
    const std::string address =
        remote && request.peer != table.self() ? remote->address : std::string();
    const bool names = query(request, "named") != "0";
    // They change slowly and are long: those of one layer at a time.
    const auto turn = static_cast<size_t>(now.time_since_epoch() / kShareholdersTurn);
    for (const auto& digest : asked) {
      if (!holdings.belongs(digest, repository)) continue;
      if (looks && !holdings.is_stored(digest)) continue;
      if (asker) views.wanted_by(*asker, digest, now, request.peer);
      const auto held = holdings.held(NamedLayer{digest, repository});
      if (!held || (looks && held->presence.empty())) continue;
      const bool wants = !held->complete && views.find(digest);
      LayerNews layer{held->size, wants, held->sealed, BlockSet(chunk::block_count(held->size))};
      for (const auto& blocks : held->presence) layer.blocks.add(blocks);
      layer.coming = held->coming;
      if (names && digest == asked[turn % asked.size()]) {
        layer.shareholders = views.shareholders_of(digest, now);
        layer.shareholders.erase(request.peer);
      }
      if (is_public) layer.bulk_port = options.bulk_port(digest, address, query(request, "zone"));
      news.layers.emplace(digest, std::move(layer));
    }
    news.full = !asked.empty() && serving->is_full(now);
    if (!asked.empty()) news.link = static_cast<uint64_t>(options.link->known(now));
    respond(answer(200, "application/json", bytes_of(news.to_json(query(request, "runs") == "1"))));
  }

  void give_manifest(const PeerRequest& request, const Respond& respond) {
    holdings.manifest(query(request, "reference"), query(request, "platform"),
                      [respond](std::optional<HeldManifest> manifest) {
                        if (!manifest) return respond(refusal(404, "not known here"));
                        auto made = answer(200, "application/octet-stream",
                                           SharedBytes::of(std::move(manifest->bytes)));
                        made.headers.emplace_back("Swarmfs-Digest", manifest->digest.to_string());
                        respond(std::move(made));
                      });
  }

  void give_profile(const PeerRequest& request, const Respond& respond, const std::string& hex) {
    const auto digest = util::Digest::parse_hex(hex);
    if (!digest) return respond(refusal(400, "no digest"));
    const std::string repository = query(request, "repository");
    if (auto refusal = refuse(request, repository)) return respond(std::move(*refusal));
    holdings.profile(*digest, repository, [respond](const std::optional<std::string>& profile) {
      respond(profile ? answer(200, "application/json", bytes_of(*profile))
                      : refusal(404, "nobody read that image here"));
    });
  }

  void give_layer(const PeerRequest& request, const Respond& respond, std::string_view rest) {
    const auto digest = util::Digest::parse_hex(rest.substr(0, rest.find('/')));
    const std::string what(rest.substr(std::min(rest.find('/'), rest.size())));
    if (!digest) return respond(refusal(400, "no digest"));
    const std::string repository = query(request, "repository");
    if (!holdings.belongs(*digest, repository)) return respond(refusal(404, "not here"));
    if (auto refusal = refuse(request, repository)) return respond(std::move(*refusal));
    const NamedLayer layer{*digest, repository};
    if (what == "/bytes") return give_bytes(request, respond, layer);
    if (what == "/windows") return give_windows(request, respond, layer);
    if (what != "/claim" && what != "/tree" && what != "/index")
      return respond(refusal(404, "no such path"));
    holdings.published(layer, [respond, what](std::optional<PublishedLayer> made) {
      if (!made || made->claim.empty()) return respond(refusal(404, "not sealed here"));
      if (what == "/claim")
        respond(answer(200, "application/json", bytes_of(made->claim)));
      else
        respond(answer(200, "application/octet-stream",
                       SharedBytes::of(std::move(what == "/tree" ? made->leaves : made->index))));
    });
  }

  void give_bytes(const PeerRequest& request, const Respond& respond, const NamedLayer& layer) {
    const auto range = http::parse_range(request.header("Range").value_or(""));
    const auto cls = class_of(query(request, "class"));
    const auto held = holdings.held(layer);
    if (!held) return respond(refusal(404, "not here"));
    if (!range || !cls || range->clamp(held->size) != *range || range->empty() ||
        range->length > kLongestRange)
      return respond(refusal(416, fmt::format("one range of at most {} bytes inside the layer's {}",
                                              kLongestRange, held->size)));
    const auto blocks = chunk::blocks_covering(*range);
    const bool here = is_here(*held, blocks);
    read({layer, *range, held->size, *cls, query(request, "fetch") == "1", request.peer,
          asker_endpoint(request), std::nullopt},
         here, here && !is_coming(*held, blocks), respond);
  }

  void give_windows(const PeerRequest& request, const Respond& respond, const NamedLayer& layer) {
    const auto name = util::Digest::parse_hex(query(request, "name"));
    const auto range = http::parse_range(request.header("Range").value_or(""));
    const auto cls = class_of(query(request, "class"));
    if (!name) return respond(refusal(400, "no name"));
    if (!range || !cls || range->empty() || range->length > kLongestRange)
      return respond(refusal(416, fmt::format("one range of at most {} bytes", kLongestRange)));
    read({layer, *range, 0, *cls, false, request.peer, asker_endpoint(request), name}, true, true,
         respond);
  }

  /// `here`: or on its way; `present`: not only on its way.
  void read(const Range& range, bool here, bool present, const Respond& respond) {
    const Serving::Request request{range.peer, range.cls, range.bytes.length, present};
    const auto began = std::chrono::steady_clock::now();
    const auto [number, wait] = serving->enter(request, began);
    const auto others = holders(range);
    const bool at_once = here || range.windows || range.cls == chunk::Class::fault;
    const bool admitted = number && (at_once || holdings.may_relay());
    const Serve how = how_to_serve(admitted, here, range.fetch && !others.empty());
    if (how == Serve::busy || how == Serve::refer) {
      if (number) serving->leave(request, *number);
      return respond(send_away(others, wait));
    }
    serving->spend(request, began);
    const bool takes_long = !present && range.cls != chunk::Class::fault;
    if (takes_long) {
      PeerResponse sign{102, {}, {}};
      sign.on_gone = [serving = serving, request, number = *number] {
        serving->leave(request, number);
      };
      respond(std::move(sign));
    }
    chunk::FetchContext context{range.cls, began + (takes_long ? kRelayPatience : kPatience),
                                "peer " + range.peer};
    context.for_peer = true;
    auto on_read = [this, range, request, respond, how, began,
                    number = *number](const Outcome<SharedBytes>& bytes) {
      const auto now = std::chrono::steady_clock::now();
      if (how == Serve::relay && bytes) table.fetched(now - began);
      if (bytes && serving->sends(request, number, how == Serve::relay, now))
        return respond(partial(range, until_sent(serving, request, number, *bytes)));
      serving->give_back(request, now);
      serving->leave(request, number);
      respond(bytes ? send_away(holders(range), {}) : refusal(bytes.failure()));
    };
    auto operation =
        range.windows
            ? holdings.windows(range.layer, *range.windows, range.bytes, std::move(on_read))
            : holdings.read(range.layer, range.bytes, range.fetch, context, std::move(on_read));
    serving->keep(*number, std::move(operation));
  }

  PeerResponse partial(const Range& range, const SharedBytes& bytes) {
    served.add(static_cast<double>(bytes.size()));
    if (options.traffic)
      options.traffic->given(range.layer.digest, bytes.size(), std::chrono::steady_clock::now());
    auto made = answer(206, "application/octet-stream", bytes);
    const std::string size = range.windows ? "*" : std::to_string(range.size);
    made.headers.emplace_back("Content-Range", fmt::format("bytes {}-{}/{}", range.bytes.offset,
                                                           range.bytes.end() - 1, size));
    made.bulk = range.cls != chunk::Class::fault;
    return made;
  }

  /// Some others who have it, and say so in that name, but for the asker; each time the next ones.
  std::string holders(const Range& range) {
    if (range.windows) return {};
    std::vector<Endpoint> all;
    for (const auto& member : views.members(range.layer.digest, chunk::blocks_covering(range.bytes),
                                            std::chrono::steady_clock::now())) {
      if (member.repository != range.layer.repository) continue;
      if (member.holds && member.endpoint != range.asker) all.push_back(member.endpoint);
    }
    std::string others;
    for (const size_t i : whom_to_name(all.size(), named++))
      others += (others.empty() ? "" : ",") + all[i].to_string();
    return others;
  }

  /// Names others, so that a hot node's askers spread.
  PeerResponse send_away(const std::string& others, util::Duration wait) {
    shed.add();
    auto made = refusal(503, "not by this node, now");
    if (wait > util::Duration()) {
      const auto told = std::min(std::chrono::ceil<std::chrono::milliseconds>(wait), kMostWait);
      made.headers.emplace_back("Swarmfs-Wait", std::to_string(told.count()));
    }
    if (!others.empty()) made.headers.emplace_back("Swarmfs-Others", others);
    return made;
  }

  const DemandServerOptions options;
  Holdings& holdings;
  PeerTable& table;
  LayerViews& views;
  util::Metrics::Counter& served;
  util::Metrics::Counter& shed;
  util::Metrics::Counter& refused;
  std::atomic<uint64_t> named{0};          ///< so often others, to askers
  const std::shared_ptr<Serving> serving;  ///< outlived by answers that are being sent
  std::unique_ptr<http::PeerServer> server;
};

DemandServer::DemandServer(DemandServerOptions options, const http::TlsMaterial& material,
                           Holdings& holdings, PeerTable& table, LayerViews& views,
                           util::Metrics& metrics)
    : state_(
          std::make_unique<State>(std::move(options), material, holdings, table, views, metrics)) {}
DemandServer::~DemandServer() = default;

void DemandServer::set_limits(const ServeLimits& limits) {
  state_->serving->set_limits(limits);
}

void DemandServer::set_tls(const http::TlsMaterial& material) {
  state_->server->set_tls(material);
}

}  // namespace swarmfs::swarm
