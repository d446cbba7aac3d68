// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/claim.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "cluster/certificate_maker.h"
#include "util/file.h"

namespace swarmfs::cluster {
namespace {

using std::chrono::hours, std::chrono::seconds;

util::Digest digest_of(std::string_view text) {
  return util::Sha256::of(util::as_bytes(text));
}

Claim claim_of(const Identity& identity, WallTime now = wall_now()) {
  return make_claim(identity, digest_of("layer"), 123'456, digest_of("root"), digest_of("index"),
                    now);
}

Identity node(const std::vector<Token>& tokens, WallTime now = wall_now()) {
  return Identity::of_tokens(tokens, PrivateKey::generate(), now);
}

TEST(Claim, travels_as_json) {
  const Token token = Token::make();
  const Identity claimant = node({token});
  const Claim claim = claim_of(claimant);
  const auto parsed = Claim::parse(claim.to_json());
  ASSERT_TRUE(parsed) << parsed.failure().message;
  EXPECT_EQ(*parsed, claim);
  EXPECT_EQ(claim.to_json().find('\n'), std::string::npos);
  const auto verified = verify_claim(*parsed, node({token}));
  ASSERT_TRUE(verified) << verified.failure().message;
  EXPECT_EQ(*verified, claimant.node_id());
}

TEST(Claim, signs_this_text) {
  Claim claim;
  claim.layer = digest_of("");
  claim.size = 7;
  claim.signed_at = WallTime(seconds(1'795'000'000));
  const std::string zeros(64, '0');
  EXPECT_EQ(claim.signed_text(),
            "swarmfs-claim-1\nlayer "
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nsize 7\nroot "
            "sha256:" +
                zeros + "\nindex sha256:" + zeros + "\nsigned_at 1795000000\n");
}

TEST(Claim, of_another_cluster_is_refused) {
  const auto refused = verify_claim(claim_of(node({Token::make()})), node({Token::make()}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.failure().fault, util::Fault::denied);
}

TEST(Claim, stays_good_when_its_certificate_has_expired) {
  const Token token = Token::make();
  const auto then = wall_now() - hours(24 * 365);
  EXPECT_TRUE(verify_claim(claim_of(node({token}, then), then + hours(20)), node({token})));
}

TEST(Claim, must_be_signed_while_its_certificate_is_valid) {
  const Token token = Token::make();
  const auto now = wall_now();
  const Identity claimant = node({token}, now - hours(48)), ours = node({token});
  const auto [from, until] = claimant.validity();
  EXPECT_TRUE(verify_claim(claim_of(claimant, from), ours, now));
  EXPECT_TRUE(verify_claim(claim_of(claimant, until - seconds(1)), ours, now));
  EXPECT_FALSE(verify_claim(claim_of(claimant, from - seconds(1)), ours, now));
  EXPECT_FALSE(verify_claim(claim_of(claimant, until + seconds(1)), ours, now));
}

TEST(Claim, from_the_future_is_refused_beyond_what_clocks_differ_by) {
  const Token token = Token::make();
  const auto now = wall_now();
  const Identity claimant = node({token}, now + hours(1));
  EXPECT_TRUE(verify_claim(claim_of(claimant, now + hours(1)), node({token}), now));
  EXPECT_FALSE(verify_claim(claim_of(claimant, now + hours(1) + seconds(1)), node({token}), now));
}

TEST(Claim, under_the_old_token_is_good_while_that_is_trusted) {
  const Token old = Token::make(), fresh = Token::make();
  const Claim claim = claim_of(node({old}));
  EXPECT_TRUE(verify_claim(claim, node({fresh, old})));
  EXPECT_FALSE(verify_claim(claim, node({fresh})));
}

TEST(Claim, no_member_can_speak_for_another) {
  const Token token = Token::make();
  const Identity victim = node({token}), ours = node({token});
  const auto ca_key = PrivateKey::from_seed(token.derive("ca key"));
  const auto key = PrivateKey::generate();
  const auto forged = testing::make_certificate(
      {victim.node_id(), "serverAuth,clientAuth", victim.validity(), false}, key, &ours.roots()[0],
      ca_key);
  Claim claim = claim_of(victim);
  claim.certificate_pem = forged.pem();
  claim.signature = key.sign(util::as_bytes(claim.signed_text()));
  const auto refused = verify_claim(claim, ours);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.failure().message.find("names another node"), std::string::npos);
}

TEST(Claim, a_change_of_any_byte_is_noticed_or_changes_nothing) {
  const Token token = Token::make();
  const Identity claimant = node({token}), ours = node({token});
  const Claim claim = claim_of(claimant);
  const std::string good = claim.to_json();
  size_t refused = 0;
  for (size_t at = 0; at < good.size(); ++at)
    for (const char flip : {1, 4, 32, 64}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      const auto parsed = Claim::parse(bad);
      if (!parsed || !verify_claim(*parsed, ours)) {
        ++refused;
        continue;
      }
      EXPECT_EQ(parsed->signed_text(), claim.signed_text()) << bad;
      EXPECT_EQ(*verify_claim(*parsed, ours), claimant.node_id()) << bad;
    }
  EXPECT_GT(refused, good.size() * 3);
  for (size_t keep = 0; keep < good.size(); ++keep)
    EXPECT_FALSE(Claim::parse(good.substr(0, keep))) << keep;
}

// The cluster of the museum, and its today.
const char* const kMuseumToken =
    "swarmfs-cluster-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh911Db3";
constexpr WallTime kMuseumDay = std::chrono::sys_days(std::chrono::year(2026) / 11 / 24);

TEST(Claim, every_crime_of_the_museum_is_refused) {
  const Identity ours = node({*Token::parse(kMuseumToken)}, kMuseumDay);
  size_t seen = 0;
  for (const auto& file : std::filesystem::directory_iterator(SWARMFS_REFUSE_CLAIMS)) {
    const auto name = file.path().filename();
    if (name == "README.md") continue;
    const auto parsed = Claim::parse(*util::read_text(file.path()));
    const bool good = parsed && verify_claim(*parsed, ours, kMuseumDay);
    // The one innocent shows that the others are refused for their crime alone.
    EXPECT_EQ(good, name == "innocent.json") << name;
    // Crimes that need a signature are well-formed; the others end in the parser.
    EXPECT_EQ(static_cast<bool>(parsed),
              name == "innocent.json" || name.string().starts_with("signed-"))
        << name;
    ++seen;
  }
  EXPECT_GE(seen, 40u);
}

}  // namespace
}  // namespace swarmfs::cluster
