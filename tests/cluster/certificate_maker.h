// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>

#include "cluster/identity.h"

namespace swarmfs::cluster::testing {

/// What an operator's tool, or a forger's, puts in a certificate.
struct Recipe {
  std::string common_name = "node-1";
  std::string usage = "serverAuth,clientAuth";
  Validity validity;
  bool is_ca = false;
};

inline PrivateKey make_ec_key() {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* text = nullptr;
  const long length = BIO_get_mem_data(out, &text);
  auto made = PrivateKey::parse({text, static_cast<size_t>(length)});
  BIO_free(out);
  EVP_PKEY_free(key);
  return *made;
}

/// `issuer` null: self-signed.
inline Certificate make_certificate(const Recipe& recipe, const PrivateKey& key,
                                    const Certificate* issuer, const PrivateKey& issuer_key) {
  X509* made = X509_new();
  X509_set_version(made, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made), 7);
  const auto* name = reinterpret_cast<const unsigned char*>(recipe.common_name.c_str());
  if (!recipe.common_name.empty())
    X509_NAME_add_entry_by_NID(X509_get_subject_name(made), NID_commonName, V_ASN1_UTF8STRING, name,
                               -1, -1, 0);
  ASN1_TIME_set(X509_getm_notBefore(made), recipe.validity.from.time_since_epoch().count());
  ASN1_TIME_set(X509_getm_notAfter(made), recipe.validity.until.time_since_epoch().count());
  X509_set_pubkey(made, key.native());
  X509* signer = issuer ? issuer->native() : made;
  X509_set_issuer_name(made, X509_get_subject_name(signer));
  X509V3_CTX context;
  X509V3_set_ctx(&context, signer, made, nullptr, nullptr, 0);
  const auto add = [&](int kind, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    X509_add_ext(made, extension, -1);
    X509_EXTENSION_free(extension);
  };
  add(NID_basic_constraints, recipe.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  add(NID_subject_key_identifier, "hash");
  add(NID_authority_key_identifier, "keyid:always");
  if (recipe.is_ca)
    add(NID_key_usage, "critical,keyCertSign");
  else
    add(NID_ext_key_usage, recipe.usage);
  const bool own_digest = EVP_PKEY_get_base_id(issuer_key.native()) == EVP_PKEY_ED25519;
  X509_sign(made, issuer_key.native(), own_digest ? nullptr : EVP_sha256());
  return Certificate(made);
}

}  // namespace swarmfs::cluster::testing
