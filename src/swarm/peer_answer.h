// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <string_view>

#include "http/peer_server.h"
#include "util/outcome.h"
#include "util/shared_bytes.h"

/// What the demand lane says to a member. Pure.
namespace swarmfs::swarm {

/// Of the request's query; empty: not there.
std::string query(const http::PeerRequest& request, const std::string& name);

util::SharedBytes bytes_of(std::string_view text);
http::PeerResponse answer(int status, const std::string& type, util::SharedBytes body);
/// With `why` as a line of text.
http::PeerResponse refusal(int status, const std::string& why);
/// The lane's one door from faults to HTTP status.
http::PeerResponse refusal(const util::Failure& failure);

}  // namespace swarmfs::swarm
