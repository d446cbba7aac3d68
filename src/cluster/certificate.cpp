// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/certificate.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "cluster/native.h"

namespace swarmfs::cluster {

using util::Failure, util::Fault;

namespace {

constexpr size_t kMostCertificates = 16;

std::string only_common_name(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return "";
  unsigned char* text = nullptr;
  const int length =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (length < 0) return "";
  std::string name(reinterpret_cast<char*>(text), static_cast<size_t>(length));
  OPENSSL_free(text);
  return name;
}

WallTime time_of(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return WallTime(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

WallTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

Certificate::Certificate(x509_st* owned) : certificate_(owned, X509_free) {}

util::Outcome<std::vector<Certificate>> Certificate::parse_all(std::string_view pem) {
  const auto in = native::reading(pem);
  std::vector<Certificate> found;
  while (X509* next = PEM_read_bio_X509(in.get(), nullptr, native::no_passphrase, nullptr)) {
    found.emplace_back(next);
    if (found.size() > kMostCertificates) return Failure{Fault::invalid, "too many certificates"};
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (found.empty()) return Failure{Fault::invalid, "no certificate"};
  if (!at_end) return Failure{Fault::invalid, "a damaged certificate"};
  return found;
}

std::string Certificate::pem() const {
  const auto out = native::writing();
  if (PEM_write_bio_X509(out.get(), certificate_.get()) != 1)
    throw openssl_error("cannot write a certificate");
  return native::text_of(out);
}

util::Digest Certificate::fingerprint() const {
  return util::Sha256::of(native::der<X509>(certificate_.get(), i2d_X509));
}

std::string Certificate::node_id() const {
  const std::string name = only_common_name(certificate_.get());
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c < 128 && (std::isalnum(c) || std::string_view("._:-").find(static_cast<char>(c)) !=
                                              std::string_view::npos);
  });
  return plain && name.size() <= 64 ? name : "";
}

std::string Certificate::common_name() const {
  std::string name = only_common_name(certificate_.get());
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return c < 32 || c > 126; }, '?');
  return name;
}

util::Bytes Certificate::public_key() const {
  EVP_PKEY* key = X509_get0_pubkey(certificate_.get());
  if (!key) {
    ERR_clear_error();
    return {};
  }
  return native::der<EVP_PKEY>(key, i2d_PUBKEY);
}

Validity Certificate::validity() const {
  return {time_of(X509_get0_notBefore(certificate_.get())),
          time_of(X509_get0_notAfter(certificate_.get()))};
}

bool Certificate::belongs_to(const PrivateKey& key) const {
  return public_key() == key.public_key();
}

bool Certificate::verifies(util::ByteView bytes, std::string_view signature) const {
  EVP_PKEY* key = X509_get0_pubkey(certificate_.get());
  const native::Digesting context(EVP_MD_CTX_new());
  const bool good =
      key &&
      EVP_DigestVerifyInit(context.get(), nullptr, native::digest_for(key), nullptr, key) == 1 &&
      EVP_DigestVerify(context.get(), native::octets(util::as_bytes(signature)), signature.size(),
                       native::octets(bytes), bytes.size()) == 1;
  ERR_clear_error();
  return good;
}

std::string to_pem(const std::vector<Certificate>& certificates) {
  std::string all;
  for (const auto& certificate : certificates) all += certificate.pem();
  return all;
}

namespace {

util::Outcome<Certificate> verify_for(int purpose, const std::vector<Certificate>& chain,
                                      const std::vector<Certificate>& roots, WallTime when) {
  const native::Store store(X509_STORE_new());
  for (const auto& root : roots) X509_STORE_add_cert(store.get(), root.native());
  const native::Stack between(sk_X509_new_null());
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(between.get(), chain[i].native());
  const native::StoreContext context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store.get(), chain[0].native(), between.get()) != 1)
    throw openssl_error("cannot check a certificate");
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context.get()),
                             when.time_since_epoch().count());
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good)
    return Failure{Fault::denied,
                   X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()))};
  const STACK_OF(X509)* verified = X509_STORE_CTX_get0_chain(context.get());
  X509* root = sk_X509_value(verified, sk_X509_num(verified) - 1);
  X509_up_ref(root);
  return Certificate(root);
}

}  // namespace

util::Outcome<Certificate> verify_chain(const std::vector<Certificate>& chain,
                                        const std::vector<Certificate>& roots, WallTime when) {
  if (chain.empty()) return Failure{Fault::denied, "no certificate"};
  auto as_client = verify_for(X509_PURPOSE_SSL_CLIENT, chain, roots, when);
  if (!as_client) return as_client;
  return verify_for(X509_PURPOSE_SSL_SERVER, chain, roots, when);
}

}  // namespace swarmfs::cluster
