// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/token.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>

#include "util/digest.h"
#include "util/file.h"
#include "util/log.h"

namespace swarmfs::cluster {

namespace {

constexpr std::string_view kPrefix = "swarmfs-cluster-1:";
constexpr size_t kChecksum = 4;

std::string checksum(std::string_view secret) {
  const auto digest = util::Sha256::of(util::as_bytes(std::string(kPrefix) + std::string(secret)));
  return std::string(util::as_text(digest.bytes()).substr(0, kChecksum));
}

void exchange(std::string& text, char plus, char slash, char new_plus, char new_slash) {
  std::replace(text.begin(), text.end(), plus, new_plus);
  std::replace(text.begin(), text.end(), slash, new_slash);
}

std::string_view trimmed(std::string_view line) {
  const size_t begin = std::min(line.find_first_not_of(" \t\r"), line.size());
  line.remove_prefix(begin);
  return line.substr(0, line.find_last_not_of(" \t\r") + 1);
}

}  // namespace

Token Token::make() {
  Secret secret;
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(secret.data()), secret.size()) != 1)
    throw openssl_error("no random numbers");
  return Token(secret);
}

util::Outcome<Token> Token::parse(std::string_view text) {
  using util::Failure, util::Fault;
  if (!text.starts_with(kPrefix))
    return Failure{Fault::invalid, fmt::format("not a token (one begins with {})", kPrefix)};
  std::string encoded(text.substr(kPrefix.size()));
  exchange(encoded, '-', '_', '+', '/');
  const auto bytes = util::from_base64(encoded).value_or("");
  Secret secret;
  if (bytes.size() != secret.size() + kChecksum ||
      bytes.substr(secret.size()) != checksum(bytes.substr(0, secret.size())))
    return Failure{Fault::invalid, "a damaged token (copy it again, whole)"};
  std::copy_n(util::as_bytes(bytes).begin(), secret.size(), secret.begin());
  const Token token(secret);
  // One text per token: no '+' for '-', no padding.
  if (token.text() != text)
    return Failure{Fault::invalid, "a damaged token (copy it again, whole)"};
  return token;
}

std::string Token::text() const {
  const std::string secret(util::as_text(secret_));
  std::string encoded = util::to_base64(secret + checksum(secret));
  exchange(encoded, '+', '/', '-', '_');
  return std::string(kPrefix) + encoded;
}

Secret Token::derive(std::string_view purpose) const {
  return cluster::derive(secret_, purpose);
}

std::vector<Token> parse_tokens(std::string_view text, const std::string& name) {
  std::vector<Token> tokens;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view word = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty() || word.starts_with('#')) continue;
    const auto refuse = [&](const std::string& why) {
      throw util::Error(fmt::format("{}:{}: {}", name, line, why));
    };
    const auto token = Token::parse(word);
    if (!token) refuse(token.failure().message);
    if (std::find(tokens.begin(), tokens.end(), *token) != tokens.end())
      refuse("the same token again");
    if (tokens.size() == 2) refuse("a third token (at most two are valid at once)");
    tokens.push_back(*token);
  }
  if (tokens.empty())
    throw util::Error(name + ": no token (make one: swarmfs cluster init --output FILE)");
  return tokens;
}

std::vector<Token> read_tokens(const std::filesystem::path& file) {
  const auto text = util::read_text(file);
  if (!text)
    throw util::Error(fmt::format("{} does not exist (make one: swarmfs cluster init --output {})",
                                  file.string(), file.string()));
  std::error_code error;
  const auto allowed = std::filesystem::status(file, error).permissions();
  if (!error && (allowed & std::filesystem::perms::others_read) != std::filesystem::perms::none)
    util::log::warning("{} can be read by everybody (try: chmod 600 {})", file.string(),
                       file.string());
  return parse_tokens(*text, file.string());
}

}  // namespace swarmfs::cluster
