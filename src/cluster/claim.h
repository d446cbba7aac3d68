// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cluster/identity.h"

namespace swarmfs::cluster {

/// What a member says of a layer that it has hashed as a whole, signed with the key of its
/// certificate, which travels along: so it stays good on its way through other nodes, after the
/// certificate has expired, and while the claimant is away. A value.
struct Claim {
  util::Digest layer;  ///< the OCI digest, which matched
  uint64_t size = 0;   ///< of the layer, bytes
  util::Digest root;   ///< BEP 52 pieces root
  util::Digest index;  ///< SHA-256 of the layer index document
  WallTime signed_at{};
  std::string certificate_pem;  ///< the claimant's, then what lies between it and the CA
  std::string signature;        ///< raw bytes

  bool operator==(const Claim&) const = default;

  /// The bytes that are signed: a line each of "swarmfs-claim-1", layer, size, root, index,
  /// signed_at.
  [[nodiscard]] std::string signed_text() const;
  /// One line: {"certificate","index","layer","root","signature","signed_at","size","version":1};
  /// digests as "sha256:…", signed_at in seconds since 1970, signature in base64.
  [[nodiscard]] std::string to_json() const;
  /// Failure (invalid): not such a text, or more than 32 KiB. Says nothing about its truth. Pure.
  static util::Outcome<Claim> parse(std::string_view text);
};

Claim make_claim(const Identity& identity, const util::Digest& layer, uint64_t size,
                 const util::Digest& root, const util::Digest& index, WallTime now = wall_now());

/// The claimant's node id where the claim is good: its certificate leads to a CA of `ours` and was
/// valid at signed_at (expiry since then does not matter), signed_at lies no more than an hour
/// ahead of `now`, the signature is over signed_text(). Failure: denied (no member's), corrupt
/// (signature). Pure.
util::Outcome<std::string> verify_claim(const Claim& claim, const Identity& ours,
                                        WallTime now = wall_now());

}  // namespace swarmfs::cluster
