// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cluster/certificate.h"
#include "cluster/token.h"

namespace swarmfs::cluster {

/// Where a node's identity comes from: a token file and the node's own key, or three files of the
/// operator. Either token_file or all of ca_file, cert_file and key_file.
struct IdentityFiles {
  std::filesystem::path token_file;
  std::filesystem::path ca_file;    ///< all CAs that are trusted
  std::filesystem::path cert_file;  ///< ours first, then what lies between it and the CA
  std::filesystem::path key_file;
  std::filesystem::path node_key;  ///< ours to write; with token_file only, its folder exists
};

/// Who this node is in its cluster, and whom it trusts: a snapshot that is replaced, never changed
/// (design.md section 4). Any thread.
class Identity {
 public:
  /// With a token, certificates are valid from an hour ago (clocks differ) for 24 h.
  static constexpr std::chrono::hours kIssuedFor{24};
  static constexpr std::chrono::hours kClockSkew{1};

  /// tokens[0] issues, all are trusted. At least one.
  static Identity of_tokens(const std::vector<Token>& tokens, const PrivateKey& node_key,
                            WallTime now);
  /// Throws util::Error that names the file which does not fit, also when the certificate is not
  /// valid at `now`.
  static Identity of_files(const IdentityFiles& files, WallTime now);

  /// CN of our certificate. With a token: key_id() of the node key, the same for all certificates.
  [[nodiscard]] const std::string& node_id() const { return node_id_; }
  /// Ours first, then what lies between it and the CA.
  [[nodiscard]] const std::string& certificate_pem() const { return certificate_pem_; }
  [[nodiscard]] std::string key_pem() const { return key_.pem(); }
  /// All CAs that are trusted.
  [[nodiscard]] const std::string& ca_pem() const { return ca_pem_; }
  [[nodiscard]] const std::vector<Certificate>& roots() const { return roots_; }
  /// The one of them that issued our certificate.
  [[nodiscard]] const std::string& issuer_pem() const { return issuer_pem_; }
  /// For ids that only members can compute (keyed DHT look-ups): of the CA that issued our
  /// certificate. With CA files it follows from the CA's public key, so whoever has the CA
  /// certificate knows it too.
  [[nodiscard]] const Secret& secret() const { return secrets_.front(); }
  /// One per trusted CA, secret() first: during a rotation members announce under either.
  [[nodiscard]] const std::vector<Secret>& secrets() const { return secrets_; }
  /// A member's CN must be the id of its key: so where every member could issue a certificate.
  [[nodiscard]] bool names_are_key_ids() const { return issues_; }
  [[nodiscard]] Validity validity() const { return validity_; }
  /// When a new snapshot should be there. With files: an hour later, as they may have changed.
  [[nodiscard]] WallTime renew_at() const { return renew_at_; }
  /// By the node's key. The caller's bytes begin with a label of its own, so that a signature for
  /// one purpose never serves another.
  [[nodiscard]] std::string sign(util::ByteView bytes) const { return key_.sign(bytes); }

 private:
  Identity(PrivateKey key, const std::vector<Certificate>& chain, std::vector<Certificate> roots,
           const Certificate& issuer, std::vector<Secret> secrets);

  PrivateKey key_;
  std::vector<Certificate> roots_;
  std::vector<Secret> secrets_;
  std::string node_id_, certificate_pem_, ca_pem_, issuer_pem_;
  Validity validity_;
  WallTime renew_at_{};
  bool issues_ = false;
};

/// Reads the files; makes the node key where there is none. Blocking. Throws util::Error.
std::shared_ptr<const Identity> load_identity(const IdentityFiles& files, WallTime now);

/// As load_identity(), but writes nothing and keeps nothing: for a check of the configuration.
void check_identity(const IdentityFiles& files, WallTime now);

}  // namespace swarmfs::cluster
