// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/derive.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <memory>

namespace swarmfs::cluster {

namespace {

OSSL_PARAM octets(const char* name, std::string_view value) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(value.data()), value.size());
}

}  // namespace

Secret derive(util::ByteView key, std::string_view purpose) {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      EVP_KDF_CTX_new(kdf.get()), EVP_KDF_CTX_free);
  char hash[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
      octets(OSSL_KDF_PARAM_KEY, util::as_text(key)),
      octets(OSSL_KDF_PARAM_SALT, "swarmfs-cluster-1"),
      octets(OSSL_KDF_PARAM_INFO, purpose),
      OSSL_PARAM_construct_end(),
  };
  Secret made{};
  if (!context || EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(made.data()),
                                 made.size(), parameters) != 1)
    throw openssl_error("HKDF failed");
  return made;
}

util::Error openssl_error(const std::string& what) {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return util::Error(reason ? what + ": " + reason : what);
}

}  // namespace swarmfs::cluster
