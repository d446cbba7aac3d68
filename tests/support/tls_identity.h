// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "support/certificates.h"

namespace swarmfs::support {

/// Connections of `context` show this certificate.
inline void use(SSL_CTX* context, const Certificate& certificate) {
  BIO* bio = BIO_new_mem_buf(certificate.certificate_pem.data(), -1);
  X509* own = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(context, own);
  X509_free(own);
  BIO_free(bio);
  bio = BIO_new_mem_buf(certificate.key_pem.data(), -1);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  SSL_CTX_use_PrivateKey(context, key);
  EVP_PKEY_free(key);
  BIO_free(bio);
}

}  // namespace swarmfs::support
