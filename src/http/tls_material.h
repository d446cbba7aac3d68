// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

namespace swarmfs::http {

/// Who we are towards nodes of a cluster and whom we trust there; all in memory, as PEM.
struct TlsMaterial {
  std::string certificate_pem;  ///< ours, then the chain above it, if any
  std::string key_pem;          ///< without a passphrase
  std::string ca_pem;           ///< every CA that the other side's certificate may come from
};

}  // namespace swarmfs::http
