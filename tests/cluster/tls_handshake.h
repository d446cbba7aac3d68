// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <utility>

namespace swarmfs::cluster::testing {

/// What one side of a connection has; no certificate: it shows none.
struct TlsSide {
  std::string certificate_pem, key_pem, ca_pem;
};

/// Whom each side takes the other for (its CN); empty: refused.
struct Seen {
  std::string by_client, by_server;
  bool operator==(const Seen&) const = default;
};

namespace detail {

inline std::shared_ptr<BIO> reading(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free};
}

inline std::shared_ptr<SSL_CTX> make_context(const TlsSide& side) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  X509_STORE* store = SSL_CTX_get_cert_store(context.get());
  // Stricter than curl and asio: RFC 5280 to the letter.
  X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT);
  const auto add_all = [](const std::string& pem, auto add) {
    const auto in = reading(pem);
    while (X509* next = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) {
      add(next);
      X509_free(next);
    }
  };
  add_all(side.ca_pem, [&](X509* ca) { X509_STORE_add_cert(store, ca); });
  bool first = true;
  add_all(side.certificate_pem, [&](X509* own) {
    if (std::exchange(first, false))
      SSL_CTX_use_certificate(context.get(), own);
    else
      SSL_CTX_add1_chain_cert(context.get(), own);
  });
  if (EVP_PKEY* key =
          PEM_read_bio_PrivateKey(reading(side.key_pem).get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_use_PrivateKey(context.get(), key);
    EVP_PKEY_free(key);
  }
  return context;
}

inline std::string name_of_peer(SSL* ssl) {
  char name[100] = "";
  if (X509* peer = SSL_get0_peer_certificate(ssl))
    X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof name);
  return name;
}

}  // namespace detail

/// A TLS 1.3 handshake with certificates on both sides, in memory.
inline Seen shake_hands(const TlsSide& client_side, const TlsSide& server_side) {
  const auto client_context = detail::make_context(client_side);
  const auto server_context = detail::make_context(server_side);
  const std::shared_ptr<SSL> client(SSL_new(client_context.get()), SSL_free);
  const std::shared_ptr<SSL> server(SSL_new(server_context.get()), SSL_free);
  BIO *client_end = nullptr, *server_end = nullptr;
  BIO_new_bio_pair(&client_end, 1 << 16, &server_end, 1 << 16);
  SSL_set_bio(client.get(), client_end, client_end);
  SSL_set_bio(server.get(), server_end, server_end);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());
  bool client_good = false, server_good = false;
  for (int step = 0; step < 10; ++step) {
    client_good = SSL_do_handshake(client.get()) == 1;
    server_good = SSL_do_handshake(server.get()) == 1;
  }
  ERR_clear_error();
  return {client_good ? detail::name_of_peer(client.get()) : "",
          server_good ? detail::name_of_peer(server.get()) : ""};
}

}  // namespace swarmfs::cluster::testing
