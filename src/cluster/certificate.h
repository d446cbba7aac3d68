// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/private_key.h"
#include "util/digest.h"
#include "util/outcome.h"

struct x509_st;

namespace swarmfs::cluster {

/// Wall-clock time as certificates have it: whole seconds (dates beyond 2262 fit too).
using WallTime = std::chrono::sys_seconds;
WallTime wall_now();

/// Inclusive at both ends, like X.509's (RFC 5280, section 4.1.2.5).
struct Validity {
  WallTime from, until;
};

/// An X.509 certificate. A handle: copies share it. Immutable, any thread.
class Certificate {
 public:
  /// Takes over one reference.
  explicit Certificate(x509_st* owned);
  /// All certificates of a PEM text, in order; 1 to 16 of them. Failure (invalid): none, too many,
  /// or one that cannot be read.
  static util::Outcome<std::vector<Certificate>> parse_all(std::string_view pem);

  [[nodiscard]] std::string pem() const;
  /// SHA-256 of the DER bytes.
  [[nodiscard]] util::Digest fingerprint() const;
  /// The subject's only CN, where it can be a node id: 1 to 64 of [A-Za-z0-9._:-]. Else empty.
  [[nodiscard]] std::string node_id() const;
  /// The subject's CN for people; unprintable bytes are '?'.
  [[nodiscard]] std::string common_name() const;
  /// DER, SubjectPublicKeyInfo.
  [[nodiscard]] util::Bytes public_key() const;
  [[nodiscard]] Validity validity() const;
  [[nodiscard]] bool belongs_to(const PrivateKey& key) const;
  /// Whether its key made this signature over `bytes`.
  [[nodiscard]] bool verifies(util::ByteView bytes, std::string_view signature) const;
  /// OpenSSL's; lives as long as this.
  [[nodiscard]] x509_st* native() const { return certificate_.get(); }

 private:
  std::shared_ptr<x509_st> certificate_;
};

std::string to_pem(const std::vector<Certificate>& certificates);

/// The root among `roots` that makes `chain` (leaf first, then what may lie between) a member's
/// certificate at `when`: every signature and date, CA constraints, usable as TLS server and as
/// client. Failure (denied) says what is wrong. Pure.
util::Outcome<Certificate> verify_chain(const std::vector<Certificate>& chain,
                                        const std::vector<Certificate>& roots, WallTime when);

}  // namespace swarmfs::cluster
