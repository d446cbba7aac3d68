// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/proof.h"

#include <fmt/format.h>

#include <algorithm>

namespace swarmfs::swarm {

namespace {

constexpr size_t kMostProofs = 8;

std::string text_of(const util::Digest& manifest, const util::Digest& secret,
                    std::string_view server, std::string_view asker, std::string_view repository) {
  const std::string text = fmt::format("swarmfs-pull-proof-1\n{}\n{}\n{}\n{}\n", server, asker,
                                       repository, manifest.hex());
  return manifest.hex() + ":" + util::hmac_sha256(secret.bytes(), util::as_bytes(text)).hex();
}

bool equal(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i] ^ b[i]));
  return difference == 0;
}

}  // namespace

std::string make_proof(const Access& access, std::string_view server, std::string_view asker,
                       std::string_view repository) {
  std::string proofs;
  size_t count = 0;
  for (const auto& [manifest, secret] : access.secrets) {
    if (++count > kMostProofs) break;
    if (!proofs.empty()) proofs += ',';
    proofs += text_of(manifest, secret, server, asker, repository);
  }
  return proofs;
}

bool proves(std::string_view proof, const Access& access, std::string_view server,
            std::string_view asker, std::string_view repository) {
  for (size_t i = 0; i < kMostProofs && !proof.empty(); ++i) {
    const std::string_view one = proof.substr(0, proof.find(','));
    proof.remove_prefix(std::min(one.size() + 1, proof.size()));
    const auto manifest = util::Digest::parse_hex(one.substr(0, one.find(':')));
    const auto known = manifest ? access.secrets.find(*manifest) : access.secrets.end();
    if (known != access.secrets.end() &&
        equal(one, text_of(*manifest, known->second, server, asker, repository)))
      return true;
  }
  return false;
}

}  // namespace swarmfs::swarm
