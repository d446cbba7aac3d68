// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string_view>

#include "http/peer_server.h"
#include "swarm/preheat.h"

namespace swarmfs::swarm {

/// Whether a request is about preheating: the one kind that is no question.
bool is_about_preheating(std::string_view path);

/// Answers a member: POST, GET and DELETE of /v1/preheats/ORDER (packaging/demand-lane.md).
/// `preheats` null: nobody's orders are carried out here.
http::PeerResponse answer_about_preheating(const http::PeerRequest& request, Preheats* preheats);

}  // namespace swarmfs::swarm
