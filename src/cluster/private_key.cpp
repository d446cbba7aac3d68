// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/private_key.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "cluster/native.h"
#include "util/digest.h"
#include "util/file.h"
#include "util/log.h"

namespace swarmfs::cluster {

namespace fs = std::filesystem;

std::string key_id(util::ByteView public_key) {
  return util::Sha256::of(public_key).hex().substr(0, 32);
}

PrivateKey::PrivateKey(evp_pkey_st* owned) : key_(owned, EVP_PKEY_free) {}

PrivateKey PrivateKey::generate() {
  EVP_PKEY* made = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (!made) throw openssl_error("cannot make a key");
  return PrivateKey(made);
}

PrivateKey PrivateKey::from_seed(const Secret& seed) {
  EVP_PKEY* made =
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, native::octets(seed), seed.size());
  if (!made) throw openssl_error("cannot make a key");
  return PrivateKey(made);
}

std::optional<PrivateKey> PrivateKey::parse(std::string_view pem) {
  const auto in = native::reading(pem);
  EVP_PKEY* found = PEM_read_bio_PrivateKey(in.get(), nullptr, native::no_passphrase, nullptr);
  if (!found) {
    ERR_clear_error();
    return std::nullopt;
  }
  return PrivateKey(found);
}

std::string PrivateKey::pem() const {
  const auto out = native::writing();
  if (PEM_write_bio_PKCS8PrivateKey(out.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
      1)
    throw openssl_error("cannot write a key");
  return native::text_of(out);
}

util::Bytes PrivateKey::public_key() const {
  return native::der<EVP_PKEY>(key_.get(), i2d_PUBKEY);
}

std::string PrivateKey::sign(util::ByteView bytes) const {
  const native::Digesting context(EVP_MD_CTX_new());
  size_t length = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, native::digest_for(key_.get()), nullptr,
                         key_.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &length, native::octets(bytes), bytes.size()) != 1)
    throw openssl_error("cannot sign");
  std::string signature(length, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length,
                     native::octets(bytes), bytes.size()) != 1)
    throw openssl_error("cannot sign");
  signature.resize(length);
  return signature;
}

namespace {

/// Why the file's key cannot be ours; empty where it can. `key` stays empty where there is none.
std::string fault_of(const fs::path& file, std::optional<PrivateKey>& key) {
  try {
    key = PrivateKey::parse(util::read_text(file).value_or(""));
  } catch (const util::SysError& error) {
    return error.what();
  }
  if (!key || EVP_PKEY_get_base_id(key->native()) != EVP_PKEY_ED25519)
    return "holds no Ed25519 key";
  const auto others = fs::perms::group_all | fs::perms::others_all;
  const bool open = (fs::status(file).permissions() & others) != fs::perms::none;
  return open ? "was open to others" : "";
}

PrivateKey make_node_key(const fs::path& file) {
  const PrivateKey made = PrivateKey::generate();
  util::write_file_durably(file, util::as_bytes(made.pem()), 0600);
  util::log::info("node key {} is new: this is node {}", file.string(), made.id());
  return made;
}

}  // namespace

PrivateKey load_node_key(const fs::path& file) {
  std::error_code error;
  if (fs::status(file, error).type() == fs::file_type::not_found) return make_node_key(file);
  std::optional<PrivateKey> key;
  const std::string fault = fault_of(file, key);
  if (fault.empty()) return *key;
  util::log::warning("node key {} {}: it is made again", file.string(), fault);
  return make_node_key(file);
}

}  // namespace swarmfs::cluster
