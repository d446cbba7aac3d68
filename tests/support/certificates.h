// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <functional>
#include <memory>
#include <string>

namespace swarmfs::support {

/// A certificate and its key, as PEM.
struct Certificate {
  std::string certificate_pem;
  std::string key_pem;
};

/// A CA of a test's own, with an Ed25519 key.
class Authority {
 public:
  explicit Authority(const std::string& name) : key_(make_key()), certificate_(X509_new()) {
    fill(certificate_, name, name, key_, 24 * 3600);
    extend(certificate_, NID_basic_constraints, "critical,CA:TRUE");
    extend(certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
    X509_sign(certificate_, key_, nullptr);
    name_ = name;
  }
  ~Authority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  [[nodiscard]] std::string pem() const { return pem_of(certificate_); }

  /// For a node; valid from an hour ago.
  [[nodiscard]] Certificate issue(const std::string& common_name, long seconds = 3600,
                                  const char* usage = "serverAuth,clientAuth") const {
    EVP_PKEY* key = make_key();
    X509* made = X509_new();
    fill(made, common_name, name_, key, seconds);
    extend(made, NID_basic_constraints, "critical,CA:FALSE");
    extend(made, NID_ext_key_usage, usage);
    X509_sign(made, key_, nullptr);
    Certificate issued{pem_of(made), pem_of(key)};
    X509_free(made);
    EVP_PKEY_free(key);
    return issued;
  }

 private:
  static EVP_PKEY* make_key() { return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"); }
  static void name(X509_NAME* into, const std::string& common_name) {
    X509_NAME_add_entry_by_txt(into, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.data()),
                               static_cast<int>(common_name.size()), -1, 0);
  }
  static void fill(X509* certificate, const std::string& subject, const std::string& issuer,
                   EVP_PKEY* key, long seconds) {
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate),
                     static_cast<long>(std::hash<std::string>()(subject) >> 2));
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), seconds);
    name(X509_get_subject_name(certificate), subject);
    name(X509_get_issuer_name(certificate), issuer);
    X509_set_pubkey(certificate, key);
  }
  static void extend(X509* certificate, int what, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static std::string take(BIO* bio) {
    char* data = nullptr;
    const long length = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<size_t>(length));
    BIO_free(bio);
    return text;
  }
  static std::string pem_of(X509* certificate) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    return take(bio);
  }
  static std::string pem_of(EVP_PKEY* key) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    return take(bio);
  }

  std::string name_;
  EVP_PKEY* key_;
  X509* certificate_;
};

}  // namespace swarmfs::support
