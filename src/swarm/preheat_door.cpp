// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/preheat_door.h"

namespace swarmfs::swarm {

using http::PeerRequest;
using http::PeerResponse;
using util::Failure;
using util::Fault;

namespace {

constexpr std::string_view kPreheats = "/v1/preheats/";
constexpr size_t kLongestReference = 512;
constexpr size_t kLongestPlatform = 64;

PeerResponse text_answer(int status, const std::string& type, const std::string& text) {
  const auto bytes = util::as_bytes(text);
  return {status,
          {{"Content-Type", type}},
          {util::SharedBytes::of(util::Bytes(bytes.begin(), bytes.end()))}};
}

PeerResponse refusal(int status, const std::string& why) {
  return text_answer(status, "text/plain", why + "\n");
}

PeerResponse refusal(const Failure& failure) {
  switch (failure.fault) {
    case Fault::not_found:
      return refusal(404, failure.message);
    case Fault::denied:
      return refusal(403, failure.message);
    case Fault::invalid:
      return refusal(400, failure.message);
    case Fault::timed_out:
    case Fault::corrupt:
    case Fault::unavailable:
    case Fault::cancelled:
    case Fault::no_space:
      break;
  }
  return refusal(503, failure.message);
}

std::string query(const PeerRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string() : found->second;
}

PeerResponse begin(const PeerRequest& request, const PreheatOrder& order, Preheats& preheats) {
  const std::string reference = query(request, "reference");
  const std::string platform = query(request, "platform");
  if (reference.empty() || reference.size() > kLongestReference)
    return refusal(400, "a reference of 1 to 512 bytes");
  if (platform.size() > kLongestPlatform) return refusal(400, "a platform of at most 64 bytes");
  const auto begun = preheats.begin(order, reference, platform);
  return begun ? text_answer(202, "application/json", "{}\n") : refusal(begun.failure());
}

}  // namespace

bool is_about_preheating(std::string_view path) {
  return path.starts_with(kPreheats);
}

PeerResponse answer_about_preheating(const PeerRequest& request, Preheats* preheats) {
  if (!preheats) return refusal(403, "this node preheats for nobody ([cluster] preheat)");
  const PreheatOrder order{request.peer, request.path.substr(kPreheats.size())};
  if (!PreheatOrder::is_id(order.id)) return refusal(400, "an order is 32 hex digits");
  if (request.method == "POST") return begin(request, order, *preheats);
  if (request.method == "GET") {
    const auto state = preheats->look(order);
    return state ? text_answer(200, "application/json", state->to_json() + "\n")
                 : refusal(state.failure());
  }
  if (request.method != "DELETE") return refusal(405, "POST, GET and DELETE only");
  const auto gone = preheats->take_back(order);
  return gone ? text_answer(200, "application/json", "{}\n") : refusal(gone.failure());
}

}  // namespace swarmfs::swarm
