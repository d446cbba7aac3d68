// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/authority.h"

#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "cluster/native.h"

namespace swarmfs::cluster {

namespace {

using Serial = std::array<std::byte, 16>;

// RFC 5280, section 4.1.2.5: the end of 9999 is "no date at all".
constexpr WallTime kFirstDay = std::chrono::sys_days(std::chrono::year(2020) / 1 / 1);
constexpr WallTime kLastSecond =
    std::chrono::sys_days(std::chrono::year(9999) / 12 / 31) + std::chrono::seconds(86'399);

void check(bool done) {
  if (!done) throw openssl_error("cannot make a certificate");
}

/// One certificate under construction.
class Draft {
 public:
  Draft() : certificate_(X509_new()) { check(X509_set_version(native(), X509_VERSION_3) == 1); }

  void serial(Serial bytes) {
    // Positive, and as long for every certificate.
    bytes[0] = (bytes[0] & std::byte{0x3f}) | std::byte{0x40};
    BIGNUM* number = BN_bin2bn(native::octets(bytes), bytes.size(), nullptr);
    check(number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(native())));
    BN_free(number);
  }
  void subject(const std::string& name) {
    const auto* text = reinterpret_cast<const unsigned char*>(name.data());
    check(X509_NAME_add_entry_by_NID(X509_get_subject_name(native()), NID_commonName,
                                     V_ASN1_UTF8STRING, text, static_cast<int>(name.size()), -1,
                                     0) == 1);
  }
  void validity(Validity dates) {
    check(ASN1_TIME_set(X509_getm_notBefore(native()), dates.from.time_since_epoch().count()) &&
          ASN1_TIME_set(X509_getm_notAfter(native()), dates.until.time_since_epoch().count()));
  }
  void public_key(const PrivateKey& key) { check(X509_set_pubkey(native(), key.native()) == 1); }
  /// `issuer`: whose key signs; its own for a self-signed one.
  Certificate sign(X509* issuer, const PrivateKey& key,
                   std::initializer_list<std::pair<int, const char*>> extensions) {
    check(X509_set_issuer_name(native(), X509_get_subject_name(issuer)) == 1);
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, native(), nullptr, nullptr, 0);
    for (const auto& [kind, value] : extensions) {
      const native::Extension made(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
      check(made && X509_add_ext(native(), made.get(), -1) == 1);
    }
    check(X509_sign(native(), key.native(), nullptr) > 0);
    return certificate_;
  }
  [[nodiscard]] X509* native() const { return certificate_.native(); }

 private:
  Certificate certificate_;
};

Certificate self_signed(const PrivateKey& key) {
  const auto digest = util::Sha256::of(key.public_key());
  Serial serial;
  std::copy_n(digest.bytes().begin() + 16, serial.size(), serial.begin());
  Draft draft;
  draft.serial(serial);
  draft.subject("swarmfs cluster " + digest.hex().substr(0, 16));
  draft.validity({kFirstDay, kLastSecond});
  draft.public_key(key);
  return draft.sign(draft.native(), key,
                    {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                     {NID_key_usage, "critical,keyCertSign,cRLSign"},
                     {NID_subject_key_identifier, "hash"},
                     {NID_authority_key_identifier, "keyid:always"}});
}

}  // namespace

Authority::Authority(const Token& token)
    : key_(PrivateKey::from_seed(token.derive("ca key"))), certificate_(self_signed(key_)) {}

Certificate Authority::issue(const PrivateKey& key, Validity validity) const {
  Serial serial;
  check(RAND_bytes(reinterpret_cast<unsigned char*>(serial.data()), serial.size()) == 1);
  Draft draft;
  draft.serial(serial);
  draft.subject(key.id());
  draft.validity(validity);
  draft.public_key(key);
  return draft.sign(certificate_.native(), key_,
                    {{NID_basic_constraints, "critical,CA:FALSE"},
                     {NID_key_usage, "critical,digitalSignature"},
                     {NID_ext_key_usage, "serverAuth,clientAuth"},
                     {NID_subject_alt_name, "DNS:*,DNS:swarmfs"},
                     {NID_subject_key_identifier, "hash"},
                     {NID_authority_key_identifier, "keyid:always"}});
}

}  // namespace swarmfs::cluster
