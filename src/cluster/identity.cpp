// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/identity.h"

#include <fmt/format.h>

#include <algorithm>

#include "cluster/authority.h"
#include "util/file.h"

namespace swarmfs::cluster {

namespace {

constexpr std::string_view kDht = "dht";
constexpr std::chrono::hours kReadFilesAgain{1};

std::string read_or_throw(const char* key, const std::filesystem::path& file) {
  auto text = util::read_text(file);
  if (!text) throw util::Error(fmt::format("{} {} does not exist", key, file.string()));
  return *std::move(text);
}

std::vector<Certificate> read_certificates(const char* key, const std::filesystem::path& file) {
  auto found = Certificate::parse_all(read_or_throw(key, file));
  if (!found)
    throw util::Error(fmt::format("{} {}: {}", key, file.string(), found.failure().message));
  return std::move(found).value();
}

/// The secret of the CA that issued our certificate comes first.
std::vector<Secret> secrets_of(const std::vector<Certificate>& roots, const Certificate& ours) {
  std::vector<Secret> secrets{derive(ours.public_key(), kDht)};
  for (const auto& root : roots) {
    const Secret secret = derive(root.public_key(), kDht);
    if (std::find(secrets.begin(), secrets.end(), secret) == secrets.end())
      secrets.push_back(secret);
  }
  return secrets;
}

}  // namespace

Identity::Identity(PrivateKey key, const std::vector<Certificate>& chain,
                   std::vector<Certificate> roots, const Certificate& issuer,
                   std::vector<Secret> secrets)
    : key_(std::move(key)),
      roots_(std::move(roots)),
      secrets_(std::move(secrets)),
      node_id_(chain.front().node_id()),
      certificate_pem_(to_pem(chain)),
      ca_pem_(to_pem(roots_)),
      issuer_pem_(to_pem({issuer})),
      validity_(chain.front().validity()) {}

Identity Identity::of_tokens(const std::vector<Token>& tokens, const PrivateKey& node_key,
                             WallTime now) {
  std::vector<Certificate> roots;
  std::vector<Secret> secrets;
  for (const auto& token : tokens) {
    roots.push_back(Authority(token).certificate());
    secrets.push_back(token.derive(kDht));
  }
  const auto ours = Authority(tokens.at(0)).issue(node_key, {now - kClockSkew, now + kIssuedFor});
  const auto issuer = roots.front();
  Identity made(node_key, {ours}, std::move(roots), issuer, std::move(secrets));
  made.renew_at_ = now + kIssuedFor / 2;
  made.issues_ = true;
  return made;
}

Identity Identity::of_files(const IdentityFiles& files, WallTime now) {
  auto roots = read_certificates("ca_file", files.ca_file);
  const auto chain = read_certificates("cert_file", files.cert_file);
  const auto key = PrivateKey::parse(read_or_throw("key_file", files.key_file));
  if (!key)
    throw util::Error(
        fmt::format("key_file {}: no key, or one with a passphrase", files.key_file.string()));
  const auto refuse = [&](const std::string& why) {
    throw util::Error(fmt::format("cert_file {}: {}", files.cert_file.string(), why));
  };
  if (!chain.front().belongs_to(*key))
    refuse("its first certificate is not that of key_file " + files.key_file.string());
  if (chain.front().node_id().empty())
    refuse("its subject needs one CN of up to 64 letters, digits and . _ : -, the node's id");
  const auto root = verify_chain(chain, roots, now);
  if (!root)
    refuse(fmt::format("{} (under ca_file {}, as TLS client and server)", root.failure().message,
                       files.ca_file.string()));
  auto secrets = secrets_of(roots, *root);
  Identity made(*key, chain, std::move(roots), *root, std::move(secrets));
  made.renew_at_ = now + kReadFilesAgain;
  return made;
}

std::shared_ptr<const Identity> load_identity(const IdentityFiles& files, WallTime now) {
  if (files.token_file.empty())
    return std::make_shared<const Identity>(Identity::of_files(files, now));
  const auto tokens = read_tokens(files.token_file);
  return std::make_shared<const Identity>(
      Identity::of_tokens(tokens, load_node_key(files.node_key), now));
}

void check_identity(const IdentityFiles& files, WallTime now) {
  if (files.token_file.empty())
    (void)Identity::of_files(files, now);
  else
    (void)read_tokens(files.token_file);
}

}  // namespace swarmfs::cluster
