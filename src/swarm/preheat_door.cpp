// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/preheat_door.h"

#include "swarm/peer_answer.h"

namespace swarmfs::swarm {

using http::PeerRequest;
using http::PeerResponse;

namespace {

constexpr std::string_view kPreheats = "/v1/preheats/";
constexpr size_t kLongestReference = 512;
constexpr size_t kLongestPlatform = 64;

PeerResponse json_answer(int status, const std::string& text) {
  return answer(status, "application/json", bytes_of(text + "\n"));
}

/// What is late is busy: whoever orders asks again.
PeerResponse refused(const util::Failure& failure) {
  return failure.fault == util::Fault::timed_out ? refusal(503, failure.message) : refusal(failure);
}

PeerResponse begin(const PeerRequest& request, const PreheatOrder& order, Preheats& preheats) {
  const std::string reference = query(request, "reference");
  const std::string platform = query(request, "platform");
  if (reference.empty() || reference.size() > kLongestReference)
    return refusal(400, "a reference of 1 to 512 bytes");
  if (platform.size() > kLongestPlatform) return refusal(400, "a platform of at most 64 bytes");
  const auto begun = preheats.begin(order, reference, platform);
  return begun ? json_answer(202, "{}") : refused(begun.failure());
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
    return state ? json_answer(200, state->to_json()) : refused(state.failure());
  }
  if (request.method != "DELETE") return refusal(405, "POST, GET and DELETE only");
  const auto gone = preheats->take_back(order);
  return gone ? json_answer(200, "{}") : refused(gone.failure());
}

}  // namespace swarmfs::swarm
