// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <string>
#include <string_view>

#include "util/error.h"
#include "util/units.h"

namespace swarmfs::cluster {

using Secret = std::array<std::byte, 32>;

/// HKDF-SHA256 (RFC 5869) of `key`, salt "swarmfs-cluster-1", info `purpose`: secrets of different
/// purposes say nothing about each other. Throws util::Error only where OpenSSL is broken. Pure.
Secret derive(util::ByteView key, std::string_view purpose);

/// "WHAT: reason", with OpenSSL's reason where it left one; empties this thread's error queue.
util::Error openssl_error(const std::string& what);

}  // namespace swarmfs::cluster
