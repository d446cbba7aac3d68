// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

#include "http/server.h"

namespace swarmfs::mirror {

/// An error as the distribution spec words it.
http::ServerResponse problem(int status, const std::string& code, const std::string& message);

/// Empty: there is none.
std::string header_of(const http::ServerRequest& request, const char* name);

}  // namespace swarmfs::mirror
