// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

#include "cluster/identity.h"
#include "http/tls_material.h"

namespace swarmfs::torrent_test {

/// A node's certificate, and the CA that torrents name.
struct Member {
  http::TlsMaterial material;
  std::string ca_pem;
};

inline Member member_of(const cluster::Token& token) {
  const auto identity =
      cluster::Identity::of_tokens({token}, cluster::PrivateKey::generate(), cluster::wall_now());
  return {{identity.certificate_pem(), identity.key_pem(), identity.ca_pem()},
          identity.issuer_pem()};
}

}  // namespace swarmfs::torrent_test
