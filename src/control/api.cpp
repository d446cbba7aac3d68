// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "control/api.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace swarmfs::control {

using nlohmann::json;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr std::chrono::milliseconds kLongestWait{60'000};
constexpr std::string_view kJobs = "/v1/jobs/";

// Names of files may hold any byte; JSON holds UTF-8 only.
std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

ApiAnswer ok(const json& body, int status = 200) {
  return {status, "application/json", dump(body)};
}

json error_json(const Failure& failure) {
  return {{"fault", util::to_string(failure.fault)}, {"message", failure.message}};
}

ApiAnswer refuse(const Failure& failure) {
  return ok({{"error", error_json(failure)}}, http_status(failure.fault));
}

json to_json(const HolderReport& holder) {
  return {{"peer", holder.peer}, {"bytes", holder.bytes}};
}

json to_json(const LayerReport& layer);
json to_json(const MountReport& mount);
json to_json(const PeerReport& peer);
json to_json(const SwarmMemberReport& member);
json to_json(const SwarmReport& swarm);
json to_json(const PreheatNodeReport& node);
json to_json(const LeftOutReport& node);

template <class T>
json to_json(const std::vector<T>& items) {
  json list = json::array();
  for (const auto& item : items) list.push_back(to_json(item));
  return list;
}

json to_json(const LayerReport& layer) {
  json made = {{"digest", layer.digest},   {"media_type", layer.media_type},
               {"size", layer.size},       {"bytes_present", layer.bytes_present},
               {"indexed", layer.indexed}, {"lazy", layer.lazy},
               {"why", layer.why},         {"verified", layer.verified},
               {"sources", layer.sources}, {"holders", to_json(layer.holders)}};
  if (layer.trust) made["trust"] = to_string(*layer.trust);
  return made;
}

json to_json(const MountReport& mount) {
  return {{"reference", mount.reference},     {"directory", mount.directory},
          {"manifest", mount.manifest},       {"image_path", mount.image_path},
          {"pinned", mount.pinned},           {"options", mount.options},
          {"bytes_total", mount.bytes_total}, {"bytes_present", mount.bytes_present}};
}

const char* to_string(PeerReport::State state) {
  switch (state) {
    case PeerReport::State::ok:
      return "ok";
    case PeerReport::State::silent:
      return "silent";
    case PeerReport::State::banned:
      return "banned";
  }
  return "unknown";
}

json to_json(const PeerReport& peer) {
  json made = {{"endpoint", peer.endpoint},
               {"node_id", peer.node_id},
               {"zone", peer.zone},
               {"state", to_string(peer.state)},
               {"bytes_given", peer.bytes_given},
               {"in_flight", peer.in_flight}};
  if (peer.state != PeerReport::State::ok) made["reason"] = peer.reason;
  if (peer.state == PeerReport::State::silent) made["silent_seconds"] = peer.silent_seconds;
  if (peer.first_byte_ms) made["first_byte_ms"] = *peer.first_byte_ms;
  if (peer.p95_ms) made["p95_ms"] = *peer.p95_ms;
  if (peer.bytes_per_second) made["bytes_per_second"] = *peer.bytes_per_second;
  return made;
}

json to_json(const SwarmMemberReport& member) {
  return {{"endpoint", member.endpoint}, {"node_id", member.node_id}, {"zone", member.zone},
          {"bytes", member.bytes},       {"wants", member.wants},     {"sealed", member.sealed}};
}

json to_json(const SwarmReport& swarm) {
  return {{"digest", swarm.digest},
          {"size", swarm.size},
          {"bytes", swarm.bytes},
          {"members", to_json(swarm.members)},
          {"chunks", swarm.chunks},
          {"rarest_copies", swarm.rarest_copies},
          {"rarest_chunks", swarm.rarest_chunks},
          {"received_per_second", swarm.received_per_second},
          {"given_per_second", swarm.given_per_second},
          {"bulk_peers", swarm.bulk_peers ? json(*swarm.bulk_peers) : json()}};
}

json to_json(const SwarmsReport& report) {
  return {{"peers", report.peers},
          {"asked", report.asked},
          {"answered", report.answered},
          {"layers", to_json(report.layers)}};
}

json to_json(const ClusterReport& cluster) {
  return {{"node_id", cluster.node_id},
          {"zone", cluster.zone},
          {"listen", cluster.listen},
          {"peers", cluster.peers},
          {"dht_nodes", cluster.dht_nodes}};
}

json to_json(const PreheatNodeReport& node) {
  json made = {{"endpoint", node.endpoint},
               {"node_id", node.node_id},
               {"zone", node.zone},
               {"state", node.state},
               {"bytes_total", node.bytes_total},
               {"bytes_done", node.bytes_done},
               {"seconds", node.seconds},
               {"bytes_by_source", node.sources}};
  if (!node.error.empty()) made["error"] = node.error;
  return made;
}

json to_json(const LeftOutReport& node) {
  return {{"endpoint", node.endpoint}, {"zone", node.zone}, {"why", node.why}};
}

json to_json(const JobReport& job) {
  json made = {{"id", job.id},
               {"kind", job.kind},
               {"state", job.state},
               {"bytes_total", job.bytes_total},
               {"bytes_done", job.bytes_done},
               {"seconds", job.seconds},
               {"bytes_by_source", job.sources},
               {"layers", to_json(job.layers)}};
  if (job.error) made["error"] = error_json(*job.error);
  if (job.kind == "preheat") {
    made["nodes"] = to_json(job.nodes);
    made["left_out"] = to_json(job.left_out);
  }
  if (!job.image_path.empty()) made["result"] = {{"image_path", job.image_path}};
  return made;
}

json to_json(const ContainerdReport& report) {
  return {{"address", report.address},
          {"trouble", report.trouble.empty() ? json() : json(report.trouble)},
          {"refused", report.refused.empty() ? json() : json(report.refused)},
          {"layers", report.layers},
          {"bytes", report.bytes}};
}

json to_json(const StatusReport& status) {
  return {{"version", status.version},
          {"uptime_seconds", status.uptime_seconds},
          {"mount_point", status.mount_point},
          {"cache",
           {{"bytes", status.cache_bytes},
            {"quota", status.cache_quota},
            {"evicted", status.cache_evicted},
            {"layers", status.layers},
            {"trouble", status.cache_trouble.empty() ? json() : json(status.cache_trouble)}}},
          {"bytes_by_source", status.sources},
          {"cluster", status.cluster ? to_json(*status.cluster) : json()},
          {"containerd", status.containerd ? to_json(*status.containerd) : json()},
          {"mounts", to_json(status.mounts)}};
}

json to_json(const ExplainReport& report) {
  return {{"reference", report.reference},
          {"manifest", report.manifest},
          {"layers", to_json(report.layers)}};
}

template <class T>
ApiAnswer answer_with(const Outcome<T>& outcome) {
  return outcome ? ok(to_json(*outcome)) : refuse(outcome.failure());
}

ApiAnswer started(const Outcome<std::string>& job) {
  return job ? ok({{"job", *job}}, 202) : refuse(job.failure());
}

std::string query(const ApiRequest& request, const std::string& key) {
  const auto found = request.query.find(key);
  return found == request.query.end() ? "" : found->second;
}

Outcome<json> body_of(const ApiRequest& request) {
  json body = json::parse(request.body, nullptr, false);
  if (!body.is_object()) return Failure{Fault::invalid, "the body must be a JSON object"};
  for (const auto& [key, value] : body.items())
    if (key == "pin" ? !value.is_boolean() : !value.is_string())
      return Failure{Fault::invalid, "\"" + key + "\" has the wrong type"};
  return body;
}

}  // namespace

std::string to_string(const Trust& trust) {
  if (!trust.sealed) return "provisional";
  return trust.claimant.empty() ? "sealed: hashed here"
                                : "sealed: claimed by node " + trust.claimant;
}

int http_status(Fault fault) noexcept {
  switch (fault) {
    case Fault::not_found:
      return 404;
    case Fault::denied:
      return 403;
    case Fault::unavailable:
      return 503;
    case Fault::timed_out:
      return 504;
    case Fault::cancelled:
      return 499;
    case Fault::corrupt:
      return 502;
    case Fault::no_space:
      return 507;
    case Fault::invalid:
      return 400;
  }
  return 500;
}

ApiAnswer Api::answer(const ApiRequest& request) noexcept {
  try {
    return route(request);
  } catch (const std::exception& error) {
    return ok({{"error", {{"fault", "internal"}, {"message", error.what()}}}}, 500);
  }
}

ApiAnswer Api::route(const ApiRequest& request) {
  const std::string call = request.method + " " + request.path;
  if (call == "GET /v1/version") return ok({{"version", SWARMFS_VERSION}});
  if (call == "GET /v1/status") return ok(to_json(mediator_.status()));
  if (call == "GET /v1/mounts") return mounts(query(request, "reference"));
  if (call == "GET /v1/layers") return ok({{"layers", to_json(mediator_.layers())}});
  if (call == "GET /v1/peers") return ok({{"peers", to_json(mediator_.peers())}});
  if (call == "GET /v1/swarms") return answer_with(mediator_.swarms(query(request, "target")));
  if (call == "GET /v1/explain") return answer_with(mediator_.explain(query(request, "target")));
  if (call == "GET /metrics")
    return {200, "text/plain; version=0.0.4; charset=utf-8", mediator_.metrics()};
  if (call == "POST /v1/mounts") return mount(request);
  if (call == "POST /v1/pulls") return pull(request);
  if (call == "POST /v1/preheats") return preheat(request);
  if (call == "POST /v1/evict") return ok({{"freed", mediator_.evict()}});
  if (call == "DELETE /v1/mounts") {
    const auto done = mediator_.umount(query(request, "directory"));
    return done ? ok(json::object()) : refuse(done.failure());
  }
  if (call == "PUT /v1/mounts") {
    mediator_.confirm(query(request, "directory"));
    return ok(json::object());
  }
  if (request.method == "GET" && request.path.starts_with(kJobs)) return job(request);
  if (request.method == "DELETE" && request.path.starts_with(kJobs)) {
    const auto done = mediator_.cancel(request.path.substr(kJobs.size()));
    return done ? ok(json::object()) : refuse(done.failure());
  }
  return refuse({Fault::not_found, "no such call: " + call});
}

ApiAnswer Api::mounts(const std::string& reference) {
  if (reference.empty()) return ok({{"mounts", to_json(mediator_.mounts())}});
  const auto found = mediator_.mounts_of(reference);
  return found ? ok({{"mounts", to_json(*found)}}) : refuse(found.failure());
}

ApiAnswer Api::mount(const ApiRequest& request) {
  const auto body = body_of(request);
  if (!body) return refuse(body.failure());
  const MountOrder order{body->value("reference", ""), body->value("directory", ""),
                         body->value("platform", ""), body->value("pin", false),
                         body->value("options", "")};
  if (order.reference.empty()) return refuse({Fault::invalid, "\"reference\" is missing"});
  if (!order.directory.starts_with('/'))
    return refuse({Fault::invalid, "\"directory\" must be an absolute path"});
  return started(mediator_.mount(order));
}

ApiAnswer Api::pull(const ApiRequest& request) {
  const auto body = body_of(request);
  if (!body) return refuse(body.failure());
  const std::string reference = body->value("reference", "");
  if (reference.empty()) return refuse({Fault::invalid, "\"reference\" is missing"});
  return started(mediator_.pull(reference, body->value("platform", "")));
}

ApiAnswer Api::preheat(const ApiRequest& request) {
  const auto body = body_of(request);
  if (!body) return refuse(body.failure());
  const PreheatOrder order{body->value("reference", ""), body->value("platform", ""),
                           body->value("nodes", "all"), body->value("zone", ""),
                           body->value("timeout", "600")};
  if (order.reference.empty()) return refuse({Fault::invalid, "\"reference\" is missing"});
  return started(mediator_.preheat(order));
}

ApiAnswer Api::job(const ApiRequest& request) {
  const std::string text = query(request, "wait_ms");
  int64_t wait = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), wait);
  if (!text.empty() && (error != std::errc() || end != text.data() + text.size() || wait < 0))
    return refuse({Fault::invalid, "wait_ms must be a number of milliseconds"});
  return answer_with(mediator_.job(request.path.substr(kJobs.size()),
                                   std::min(std::chrono::milliseconds(wait), kLongestWait)));
}

}  // namespace swarmfs::control
