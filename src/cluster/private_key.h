// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cluster/derive.h"
#include "util/units.h"

struct evp_pkey_st;

namespace swarmfs::cluster {

/// The first 32 hex digits of SHA-256 of a public key (DER, SubjectPublicKeyInfo): a node's id.
std::string key_id(util::ByteView public_key);

/// A key that signs: Ed25519 where we make it; an operator's may be EC or RSA (with SHA-256).
/// A handle: copies share the key. Any thread.
class PrivateKey {
 public:
  static PrivateKey generate();
  /// The Ed25519 key (RFC 8032) with this seed.
  static PrivateKey from_seed(const Secret& seed);
  /// PEM without a passphrase. Empty result: no such key in it.
  static std::optional<PrivateKey> parse(std::string_view pem);

  /// PKCS #8.
  [[nodiscard]] std::string pem() const;
  [[nodiscard]] util::Bytes public_key() const;
  [[nodiscard]] std::string id() const { return key_id(public_key()); }
  [[nodiscard]] std::string sign(util::ByteView bytes) const;
  /// OpenSSL's; lives as long as this.
  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  explicit PrivateKey(evp_pkey_st* owned);

  std::shared_ptr<evp_pkey_st> key_;
};

/// The node's own key in `file`, mode 0600. One that is missing, not an Ed25519 key or open to
/// other users is made again (a new node id) with a warning. Throws util::SysError where it cannot
/// be written.
PrivateKey load_node_key(const std::filesystem::path& file);

}  // namespace swarmfs::cluster
