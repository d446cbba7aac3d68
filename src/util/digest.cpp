// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "util/error.h"

namespace swarmfs::util {

std::optional<Digest> Digest::parse(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  if (!text.starts_with(prefix)) return std::nullopt;
  return parse_hex(text.substr(prefix.size()));
}

std::optional<Digest> Digest::parse_hex(std::string_view hex) {
  if (hex.size() != 64) return std::nullopt;
  Digest digest;
  for (size_t i = 0; i < 64; ++i) {
    const auto value = std::string_view("0123456789abcdef").find(hex[i]);
    if (value == std::string_view::npos) return std::nullopt;
    digest.bytes_[i / 2] = digest.bytes_[i / 2] << 4 | static_cast<std::byte>(value);
  }
  return digest;
}

std::string Digest::hex() const {
  std::string out;
  out.reserve(64);
  for (const std::byte byte : bytes_) {
    out += "0123456789abcdef"[static_cast<unsigned>(byte) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned>(byte) & 15];
  }
  return out;
}

namespace {

/// Fetched once: EVP_sha256() is looked up anew, under locks, whenever a hash begins.
const EVP_MD* sha256() {
  static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (!method) throw Error("there is no SHA-256 (OpenSSL)");
  return method;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { start(); }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  void start() {
    if (!context || EVP_DigestInit_ex(context, sha256(), nullptr) != 1)
      throw Error("cannot start a SHA-256 (OpenSSL)");
  }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(ByteView bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

Digest Sha256::finish() {
  std::array<std::byte, 32> out{};
  EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(out.data()), nullptr);
  state_->start();
  return Digest(out);
}

Digest Sha256::of(ByteView bytes) {
  std::array<std::byte, 32> out{};
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr,
                 sha256(), nullptr) != 1)
    throw Error("cannot make a SHA-256 (OpenSSL)");
  return Digest(out);
}

Digest hmac_sha256(ByteView key, ByteView message) {
  std::array<std::byte, 32> out{};
  unsigned length = 0;
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
            reinterpret_cast<const unsigned char*>(message.data()), message.size(),
            reinterpret_cast<unsigned char*>(out.data()), &length))
    throw Error("cannot make an HMAC (OpenSSL)");
  return Digest(out);
}

}  // namespace swarmfs::util
