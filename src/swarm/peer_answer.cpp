// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/peer_answer.h"

namespace swarmfs::swarm {

using http::PeerResponse;
using util::Fault;
using util::SharedBytes;

namespace {

int status_of(Fault fault) {
  switch (fault) {
    case Fault::not_found:
      return 404;
    case Fault::denied:
      return 403;
    case Fault::invalid:
      return 400;
    case Fault::timed_out:
      return 504;
    case Fault::corrupt:
    case Fault::unavailable:
    case Fault::cancelled:
    case Fault::no_space:
      break;
  }
  return 503;
}

}  // namespace

std::string query(const http::PeerRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string() : found->second;
}

SharedBytes bytes_of(std::string_view text) {
  const auto view = util::as_bytes(text);
  return SharedBytes::of({view.begin(), view.end()});
}

PeerResponse answer(int status, const std::string& type, SharedBytes body) {
  PeerResponse made;
  made.status = status;
  made.headers.emplace_back("Content-Type", type);
  made.body.push_back(std::move(body));
  return made;
}

PeerResponse refusal(int status, const std::string& why) {
  return answer(status, "text/plain", bytes_of(why + "\n"));
}

PeerResponse refusal(const util::Failure& failure) {
  return refusal(status_of(failure.fault), failure.message);
}

}  // namespace swarmfs::swarm
