// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/tls_session.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "http/common_name.h"
#include "util/error.h"

namespace swarmfs::http {

namespace {

constexpr long kMaxCertificateChain = 16 * 1024;

template <auto release>
struct Release {
  template <class T>
  void operator()(T* thing) const {
    release(thing);
  }
};
using BioPtr = std::unique_ptr<BIO, Release<BIO_free_all>>;
using CertificatePtr = std::unique_ptr<X509, Release<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;

std::string openssl_says() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  return reason ? reason : "no reason given";
}

[[noreturn]] void refuse(const std::string& what) {
  throw util::Error("TLS: " + what + ": " + openssl_says());
}

BioPtr reader(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

/// Keeps OpenSSL from asking a terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

CertificatePtr next_certificate(const BioPtr& bio) {
  return CertificatePtr(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
}

void use_certificate(SSL_CTX* context, const TlsMaterial& material) {
  const auto bio = reader(material.certificate_pem);
  const auto own = next_certificate(bio);
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1) refuse("no usable certificate");
  while (const auto above = next_certificate(bio))
    if (SSL_CTX_add1_chain_cert(context, above.get()) != 1) refuse("no usable chain");
  const KeyPtr key(
      PEM_read_bio_PrivateKey(reader(material.key_pem).get(), nullptr, no_passphrase, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1)
    refuse("the key does not fit the certificate");
}

void trust(SSL_CTX* context, const std::string& ca_pem) {
  const auto bio = reader(ca_pem);
  size_t trusted = 0;
  for (; const auto ca = next_certificate(bio); ++trusted)
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1)
      refuse("a CA cannot be used");
  if (trusted == 0) refuse("no CA to trust");
}

/// As OpenSSL's socket BIO, but with the flags of send(): no SIGPIPE, and segments filled up.
template <class Channel>
struct ChannelBio {
  static int write(BIO* bio, const char* data, int length) {
    const auto& channel = *static_cast<const Channel*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const ssize_t sent = ::send(channel.socket, data, static_cast<size_t>(length),
                                MSG_NOSIGNAL | (channel.more ? MSG_MORE : 0));
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
    return static_cast<int>(sent);
  }
  static int read(BIO* bio, char* data, int length) {
    const auto& channel = *static_cast<const Channel*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const ssize_t received = ::recv(channel.socket, data, static_cast<size_t>(length), 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
    return static_cast<int>(received);
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
  static const BIO_METHOD* method() {
    static const std::unique_ptr<BIO_METHOD, Release<BIO_meth_free>> made = [] {
      BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
      BIO_meth_set_write(fresh, write);
      BIO_meth_set_read(fresh, read);
      BIO_meth_set_ctrl(fresh, control);
      return std::unique_ptr<BIO_METHOD, Release<BIO_meth_free>>(fresh);
    }();
    return made.get();
  }
};

}  // namespace

void TlsContext::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

TlsContext::TlsContext(const TlsMaterial& material) : context_(SSL_CTX_new(TLS_server_method())) {
  ERR_clear_error();
  SSL_CTX* context = context_.get();
  if (!context) refuse("OpenSSL gives no context");
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
  // The cheapest first, unless the client has no AES in hardware and says so.
  SSL_CTX_set_ciphersuites(
      context, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384");
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_max_cert_list(context, kMaxCertificateChain);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  use_certificate(context, material);
  trust(context, material.ca_pem);
  ERR_clear_error();
}

TlsSession::TlsSession(const TlsContext& context, int socket)
    : channel_{socket}, session_(SSL_new(context.context_.get())) {
  BIO* bio = BIO_new(ChannelBio<Channel>::method());
  if (!session_ || !bio) throw util::Error("OpenSSL gives no session");
  BIO_set_data(bio, &channel_);
  BIO_set_init(bio, 1);
  SSL_set_bio(session_, bio, bio);
  SSL_set_accept_state(session_);
}

TlsSession::~TlsSession() {
  SSL_free(session_);
}

TlsSession::Step TlsSession::judge(int result) {
  if (result > 0) return Step::done;
  const int error = SSL_get_error(session_, result);
  if (error == SSL_ERROR_WANT_READ) return Step::wants_read;
  if (error == SSL_ERROR_WANT_WRITE) return Step::wants_write;
  why_ = error == SSL_ERROR_SSL ? openssl_says() : "closed by the other side";
  return Step::ended;
}

TlsSession::Step TlsSession::shake_hands() {
  ERR_clear_error();
  return judge(SSL_do_handshake(session_));
}

TlsSession::Moved TlsSession::read(std::span<std::byte> into) {
  ERR_clear_error();
  size_t bytes = 0;
  const Step step = judge(SSL_read_ex(session_, into.data(), into.size(), &bytes));
  return {step, bytes};
}

TlsSession::Moved TlsSession::write(util::ByteView from, bool more) {
  ERR_clear_error();
  channel_.more = more;
  size_t bytes = 0;
  const Step step = judge(SSL_write_ex(session_, from.data(), from.size(), &bytes));
  return {step, bytes};
}

void TlsSession::say_goodbye() {
  ERR_clear_error();
  channel_.more = false;
  if (SSL_is_init_finished(session_)) SSL_shutdown(session_);
}

std::string TlsSession::peer() const {
  const X509* certificate = SSL_get0_peer_certificate(session_);
  return certificate ? common_name(certificate) : std::string();
}

std::chrono::system_clock::time_point TlsSession::peer_expires() const {
  const auto now = std::chrono::system_clock::now();
  auto left = std::chrono::hours(24 * 365);
  std::chrono::seconds soonest = left;
  const STACK_OF(X509)* chain = SSL_get0_verified_chain(session_);
  for (int at = 0; at < sk_X509_num(chain); ++at) {
    int days = 0, seconds = 0;
    if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(sk_X509_value(chain, at))) == 1)
      soonest = std::min(soonest, std::chrono::hours(24) * days + std::chrono::seconds(seconds));
  }
  return now + soonest;
}

}  // namespace swarmfs::http
