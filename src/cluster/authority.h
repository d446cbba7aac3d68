// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "cluster/certificate.h"
#include "cluster/token.h"

namespace swarmfs::cluster {

/// The certificate authority that lies in a token. Every node derives the same key and the same
/// certificate, byte for byte: subject and serial follow from the key, the dates are fixed.
/// Immutable, any thread.
class Authority {
 public:
  explicit Authority(const Token& token);

  [[nodiscard]] const Certificate& certificate() const { return certificate_; }
  /// A certificate for a node: CN = key.id(), TLS server and client, random serial; SAN "*", which
  /// libtorrent looks for, and "swarmfs", so that curl --connect-to swarmfs:443:ADDRESS can debug.
  [[nodiscard]] Certificate issue(const PrivateKey& key, Validity validity) const;

 private:
  PrivateKey key_;
  Certificate certificate_;
};

}  // namespace swarmfs::cluster
