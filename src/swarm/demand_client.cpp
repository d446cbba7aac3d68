// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/demand_client.h"

#include <fmt/format.h>

#include "http/url.h"
#include "swarm/proof.h"

namespace swarmfs::swarm {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr std::chrono::milliseconds kConnect{1'000};
constexpr uint64_t kDocument = 64 * 1024;  ///< length of a document, for the expected time

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == ',')
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Fault fault_of(int status) {
  return status == 404 ? Fault::not_found : status == 403 ? Fault::denied : Fault::unavailable;
}

}  // namespace

DemandClient::DemandClient(Asker asker, PeerTable& table)
    : asker_(std::move(asker)), table_(table) {}

void DemandClient::set_tls(http::TlsMaterial material) {
  *tls_.lock() = std::make_shared<const http::TlsMaterial>(std::move(material));
}

http::Request DemandClient::request(const Endpoint& peer, const std::string& path,
                                    Query query) const {
  http::Request made;
  const auto known = table_.find(peer);
  if (const auto repository = query.find("repository");
      repository != query.end() && known && !known->node_id.empty()) {
    const auto proof = make_proof(asker_.access(repository->second), known->node_id,
                                  asker_.node_id(), repository->second);
    if (!proof.empty()) made.headers.emplace_back("Swarmfs-Proof", proof);
  }
  query["port"] = std::to_string(asker_.port);
  query["zone"] = asker_.zone;
  made.url = "https://" + peer.to_string() + path;
  char mark = '?';
  for (const auto& [name, value] : query) {
    made.url += mark + name + "=" + escape(value);
    mark = '&';
  }
  made.tls.cluster = *tls_.lock();
  made.connect_timeout = kConnect;
  return made;
}

bool DemandClient::met(const Endpoint& peer, const http::Response& response) {
  if (response.peer.empty()) return false;
  const auto known = table_.find(peer);
  if (known && known->node_id == response.peer) return false;
  table_.met(peer, response.peer, known ? known->zone : "");
  return true;
}

void DemandClient::stop_waiting() {
  *stopping_.lock() = true;
  changed_.notify_all();
}

Outcome<http::Response> DemandClient::await(http::Request request) {
  std::optional<Outcome<http::Response>> answer;
  http::Handlers handlers;
  handlers.on_done = [&](Outcome<http::Response> outcome) {
    const auto stopping = stopping_.lock();
    answer.emplace(std::move(outcome));
    changed_.notify_all();
  };
  const auto exchange = questions_.start(std::move(request), std::move(handlers));
  auto stopping = stopping_.lock();
  stopping.wait(changed_, [&] { return answer || *stopping; });
  if (!answer) return Failure{Fault::cancelled, "the daemon stops"};
  return std::move(*answer);
}

Outcome<http::Response> DemandClient::get_response(const Endpoint& peer, const std::string& path,
                                                   const Query& query,
                                                   std::chrono::milliseconds patience,
                                                   uint64_t max_body, bool hasty) {
  for (;;) {
    auto attempt = table_.attempt(peer, kDocument, true);
    if (!attempt) return Failure{Fault::unavailable, peer.to_string() + " is not asked now"};
    auto order = request(peer, path, query);
    order.total_timeout = patience;
    order.max_body = max_body;
    auto response = await(std::move(order));
    if (!response) {
      const auto fault = response.failure().fault;
      const bool too_hasty = hasty && fault == Fault::timed_out;
      if (!too_hasty && fault != Fault::cancelled) attempt->failed(response.failure().message);
      return response.failure();
    }
    attempt->declined();  // alive; the time of a document measures nothing
    const bool fresh = met(peer, *response);
    if (response->status == 200) return response;
    if (response->status == 403 && fresh) continue;
    return Failure{fault_of(response->status),
                   peer.to_string() + " answers " + std::to_string(response->status)};
  }
}

Outcome<std::string> DemandClient::get(const Endpoint& peer, const std::string& path,
                                       const Query& query, std::chrono::milliseconds patience,
                                       uint64_t max_body, bool hasty) {
  auto response = get_response(peer, path, query, patience, max_body, hasty);
  if (!response) return response.failure();
  return std::move(response->body);
}

}  // namespace swarmfs::swarm
