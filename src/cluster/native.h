// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "cluster/derive.h"

/// OpenSSL's objects with owners. For this room's .cpp files.
namespace swarmfs::cluster::native {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
using Bio = std::unique_ptr<BIO, Free>;
using Digesting = std::unique_ptr<EVP_MD_CTX, Free>;
using Store = std::unique_ptr<X509_STORE, Free>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Free>;
using Stack = std::unique_ptr<STACK_OF(X509), Free>;
using Extension = std::unique_ptr<X509_EXTENSION, Free>;

inline const unsigned char* octets(util::ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
inline Bio reading(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}
inline Bio writing() {
  return Bio(BIO_new(BIO_s_mem()));
}
inline std::string text_of(const Bio& bio) {
  char* at = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &at);
  return {at, static_cast<size_t>(length)};
}

/// Instead of OpenSSL's question on the terminal.
inline int no_passphrase(char*, int, int, void*) {
  return -1;
}

/// What a signature of this key is made over; null: the key's kind brings its own.
inline const EVP_MD* digest_for(const EVP_PKEY* key) {
  const int kind = EVP_PKEY_get_base_id(key);
  return kind == EVP_PKEY_ED25519 || kind == EVP_PKEY_ED448 ? nullptr : EVP_sha256();
}

template <class T>
util::Bytes der(const T* object, int (*encode)(const T*, unsigned char**)) {
  const int length = encode(object, nullptr);
  if (length <= 0) throw openssl_error("cannot encode");
  util::Bytes bytes(static_cast<size_t>(length));
  auto* at = reinterpret_cast<unsigned char*>(bytes.data());
  encode(object, &at);
  return bytes;
}

}  // namespace swarmfs::cluster::native
