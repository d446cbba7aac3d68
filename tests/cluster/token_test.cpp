// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/token.h"

#include <gtest/gtest.h>

#include <numeric>

#include "cluster/authority.h"

namespace swarmfs::cluster {
namespace {

// Bytes 0, 1, … 31, made with Python's hashlib and base64.
constexpr const char* kCounting =
    "swarmfs-cluster-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh911Db3";

std::string hex(const Secret& secret) {
  return util::Digest(secret).hex();
}

std::string refusal(const std::string& text) {
  try {
    parse_tokens(text, "f");
    return "accepted";
  } catch (const util::Error& error) {
    return error.what();
  }
}

TEST(Token, comes_back_from_its_text) {
  const Token token = Token::make();
  EXPECT_TRUE(*Token::parse(token.text()) == token);
  EXPECT_FALSE(Token::make() == token);
  EXPECT_EQ(Token::parse(kCounting)->text(), kCounting);
}

TEST(Token, derives_what_rfc_5869_says) {
  const Token token = *Token::parse(kCounting);
  EXPECT_EQ(hex(token.derive("dht")),
            "7d7f3ec71653c0b9109fb14f993d3ddd1bd8b78ed2f22e80e44429725568082b");
  EXPECT_EQ(hex(token.derive("ca key")),
            "ab0c036af5c66dc31929da80a8e96ed2cfcb07413944df24f520c952b4b6e78f");
}

TEST(Token, every_wrong_letter_is_noticed) {
  const std::string good = kCounting;
  for (size_t at = 0; at < good.size(); ++at)
    for (const char other : {'A', 'b', '-', '=', ' '}) {
      std::string bad = good;
      bad[at] = other;
      EXPECT_EQ(static_cast<bool>(Token::parse(bad)), bad == good) << bad;
    }
  for (const std::string& bad : {std::string(), good.substr(0, good.size() - 1), good + "A",
                                 good + "==", "swarmfs-cluster-2" + good.substr(17)})
    EXPECT_FALSE(Token::parse(bad)) << bad;
}

TEST(Token, no_message_contains_one) {
  const auto damaged = std::string(kCounting).substr(0, 50);
  EXPECT_EQ(Token::parse(damaged).failure().message.find("AAEC"), std::string::npos);
  EXPECT_EQ(refusal(damaged).find("AAEC"), std::string::npos);
}

TEST(TokenFile, holds_one_or_two) {
  const std::string one = Token::make().text(), two = Token::make().text();
  EXPECT_EQ(parse_tokens("# ours\n\n  " + one + "\r\n", "f").size(), 1u);
  const auto tokens = parse_tokens(one + "\n" + two, "f");
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].text(), one);
  EXPECT_EQ(tokens[1].text(), two);
}

TEST(TokenFile, errors_name_the_line_and_the_reason) {
  const std::string one = Token::make().text() + "\n", two = Token::make().text() + "\n";
  EXPECT_EQ(refusal(""), "f: no token (make one: swarmfs cluster init --output FILE)");
  EXPECT_EQ(refusal(one + "\nhello\n"), "f:3: not a token (one begins with swarmfs-cluster-1:)");
  EXPECT_EQ(refusal(one.substr(0, 30) + "\n"), "f:1: a damaged token (copy it again, whole)");
  EXPECT_EQ(refusal(one + one), "f:2: the same token again");
  EXPECT_EQ(refusal(one + two + Token::make().text()),
            "f:3: a third token (at most two are valid at once)");
}

TEST(Authority, is_the_same_on_every_node_and_in_every_version) {
  const Authority one(*Token::parse(kCounting)), two(*Token::parse(kCounting));
  EXPECT_EQ(one.certificate().pem(), two.certificate().pem());
  EXPECT_EQ(one.certificate().common_name(), "swarmfs cluster 6af5f0ede1f62fe5");
  // A change of these bytes cuts clusters in two while they are upgraded.
  EXPECT_EQ(one.certificate().fingerprint().hex(),
            "dbd72e6f3e4921b72f41da07edb3a79a4aba5a68b74aceced0968048f1cbe9d7");
  EXPECT_NE(Authority(Token::make()).certificate().pem(), one.certificate().pem());
}

}  // namespace
}  // namespace swarmfs::cluster
