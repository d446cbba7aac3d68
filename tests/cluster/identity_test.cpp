// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/identity.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "cluster/authority.h"
#include "cluster/certificate_maker.h"
#include "cluster/identity_keeper.h"
#include "cluster/tls_handshake.h"
#include "support/temporary_directory.h"
#include "util/file.h"

namespace swarmfs::cluster {
namespace {

using std::chrono::hours, std::chrono::minutes;
using testing::Seen, testing::shake_hands, testing::TlsSide;

TlsSide side_of(const Identity& identity) {
  return {identity.certificate_pem(), identity.key_pem(), identity.ca_pem()};
}

Identity node(const std::vector<Token>& tokens, WallTime now = wall_now()) {
  return Identity::of_tokens(tokens, PrivateKey::generate(), now);
}

Seen meet(const Identity& client, const Identity& server) {
  return shake_hands(side_of(client), side_of(server));
}

bool know_each_other(const Identity& a, const Identity& b) {
  return meet(a, b) == Seen{b.node_id(), a.node_id()} &&
         meet(b, a) == Seen{a.node_id(), b.node_id()};
}

bool are_strangers(const Identity& a, const Identity& b) {
  return meet(a, b).by_server.empty() && meet(b, a).by_server.empty();
}

TEST(Identity, is_named_after_its_key) {
  const auto key = PrivateKey::generate();
  const auto now = wall_now();
  const auto ours = Identity::of_tokens({Token::make()}, key, now);
  EXPECT_EQ(ours.node_id(), key.id());
  EXPECT_EQ(ours.node_id().size(), 32u);
  EXPECT_EQ(ours.validity().from, now - hours(1));
  EXPECT_EQ(ours.validity().until, now + hours(24));
  EXPECT_EQ(ours.renew_at(), now + hours(12));
  const auto again = Identity::of_tokens({Token::make()}, key, now);
  EXPECT_EQ(again.node_id(), ours.node_id());
  EXPECT_NE(again.certificate_pem(), ours.certificate_pem());
  EXPECT_NE(again.secret(), ours.secret());
}

TEST(Identity, members_of_one_cluster_know_each_other) {
  const Token token = Token::make();
  EXPECT_TRUE(know_each_other(node({token}), node({token})));
}

TEST(Identity, a_member_of_another_cluster_is_a_stranger) {
  const Identity ours = node({Token::make()}), theirs = node({Token::make()});
  EXPECT_TRUE(are_strangers(ours, theirs));
  const auto chain = *Certificate::parse_all(theirs.certificate_pem());
  EXPECT_FALSE(verify_chain(chain, ours.roots(), wall_now()));
  EXPECT_TRUE(verify_chain(chain, theirs.roots(), wall_now()));
}

TEST(Identity, a_stranger_is_refused_with_any_certificate_or_none) {
  const Token token = Token::make();
  const Identity ours = node({token});
  EXPECT_EQ(shake_hands({"", "", ours.ca_pem()}, side_of(ours)).by_server, "");
  const auto key = PrivateKey::generate();
  const testing::Recipe recipe{ours.node_id(),
                               "serverAuth,clientAuth",
                               {wall_now() - hours(1), wall_now() + hours(1)},
                               false};
  const auto forged = testing::make_certificate(recipe, key, nullptr, key);
  EXPECT_EQ(shake_hands({forged.pem(), key.pem(), ours.ca_pem()}, side_of(ours)).by_server, "");
  EXPECT_EQ(shake_hands(side_of(ours), {forged.pem(), key.pem(), ours.ca_pem()}).by_client, "");
  const auto under_our_name =
      testing::make_certificate(recipe, key, &ours.roots().front(), PrivateKey::generate());
  EXPECT_EQ(shake_hands({under_our_name.pem(), key.pem(), ours.ca_pem()}, side_of(ours)).by_server,
            "");
}

TEST(Identity, an_expired_member_is_refused) {
  const Token token = Token::make();
  EXPECT_TRUE(are_strangers(node({token}, wall_now() - hours(25)), node({token})));
  EXPECT_TRUE(are_strangers(node({token}, wall_now() + hours(2)), node({token})));
  // Clocks may differ by up to an hour.
  EXPECT_TRUE(know_each_other(node({token}, wall_now() + minutes(50)), node({token})));
}

TEST(Identity, tokens_rotate_without_a_moment_apart) {
  const Token old = Token::make(), fresh = Token::make();
  const std::vector<std::vector<Token>> steps = {{old}, {old, fresh}, {fresh, old}, {fresh}};
  for (size_t step = 0; step + 1 < steps.size(); ++step) {
    const Identity here = node(steps[step]);
    EXPECT_TRUE(know_each_other(here, node(steps[step])));
    EXPECT_TRUE(know_each_other(here, node(steps[step + 1])));
  }
  EXPECT_TRUE(are_strangers(node({old}), node({fresh})));
  const auto middle = node({old, fresh});
  EXPECT_EQ(middle.secret(), node({old}).secret());
  EXPECT_EQ(middle.secrets(), (std::vector{node({old}).secret(), node({fresh}).secret()}));
}

TEST(NodeKey, is_kept_with_mode_0600) {
  const support::TemporaryDirectory folder;
  const auto file = folder.path() / "node.key";
  const std::string id = load_node_key(file).id();
  struct stat facts {};
  ASSERT_EQ(::stat(file.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0600u);
  EXPECT_EQ(load_node_key(file).id(), id);
}

TEST(NodeKey, is_made_again_when_it_is_of_no_use) {
  const support::TemporaryDirectory folder;
  const auto file = folder.path() / "node.key";
  const auto expect_a_new_one = [&](const std::string& before) {
    const std::string after = load_node_key(file).id();
    EXPECT_NE(after, before);
    EXPECT_EQ(load_node_key(file).id(), after);
    EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));
    return after;
  };
  std::string id = expect_a_new_one("");
  std::filesystem::permissions(file, std::filesystem::perms(0640));
  id = expect_a_new_one(id);
  for (const std::string& content :
       {std::string(), std::string("no key"), testing::make_ec_key().pem(),
        util::read_text(file)->substr(0, 60)}) {
    util::write_file_durably(file, util::as_bytes(content), 0600);
    id = expect_a_new_one(id);
  }
  EXPECT_THROW(load_node_key(folder.path() / "missing" / "node.key"), util::SysError);
}

/// An operator's CA in files.
class OperatorFiles {
 public:
  OperatorFiles() { write_ca(ca_); }

  /// A certificate of our CA for `recipe` and its key, in the files.
  IdentityFiles issue(const testing::Recipe& recipe) {
    const auto key = testing::make_ec_key();
    write("cert", testing::make_certificate(recipe, key, &ca_, ca_key_).pem());
    write("key", key.pem());
    return files();
  }
  void write_ca(const Certificate& ca) { write("ca", ca.pem()); }
  void write(const std::string& name, const std::string& text) {
    util::write_file_durably(folder_.path() / name, util::as_bytes(text));
  }
  IdentityFiles files() const {
    return {"", folder_.path() / "ca", folder_.path() / "cert", folder_.path() / "key", ""};
  }
  static testing::Recipe usual() {
    return {
        "node-1", "serverAuth,clientAuth", {wall_now() - hours(1), wall_now() + hours(9)}, false};
  }
  std::string refusal() const {
    try {
      check_identity(files(), wall_now());
      return "accepted";
    } catch (const util::Error& error) {
      return error.what();
    }
  }

 private:
  support::TemporaryDirectory folder_;
  PrivateKey ca_key_ = testing::make_ec_key();
  Certificate ca_ = testing::make_certificate(
      {"an operator's CA", "", {wall_now() - hours(99), wall_now() + hours(99)}, true}, ca_key_,
      nullptr, ca_key_);
};

TEST(OperatorIdentity, its_members_know_each_other) {
  OperatorFiles files;
  const auto one = load_identity(files.issue(OperatorFiles::usual()), wall_now());
  auto recipe = OperatorFiles::usual();
  recipe.common_name = "node-2";
  const auto two = load_identity(files.issue(recipe), wall_now());
  EXPECT_EQ(one->node_id(), "node-1");
  EXPECT_TRUE(know_each_other(*one, *two));
  EXPECT_EQ(one->secret(), two->secret());
  EXPECT_FALSE(one->names_are_key_ids());
  EXPECT_TRUE(are_strangers(*one, node({Token::make()})));
}

TEST(OperatorIdentity, errors_name_the_file_and_the_reason) {
  const auto reason = [](auto change) {
    OperatorFiles files;
    auto recipe = OperatorFiles::usual();
    files.issue(recipe);
    change(files, recipe);
    return files.refusal();
  };
  using Files = OperatorFiles&;
  using Recipe = testing::Recipe&;
  const auto has = [](const std::string& message, const std::string& file, const std::string& why) {
    EXPECT_NE(message.find(file), std::string::npos) << message;
    EXPECT_NE(message.find(why), std::string::npos) << message;
  };
  has(reason([](Files files, Recipe) { files.write("cert", "x"); }), "cert_file /",
      "no certificate");
  has(reason([](Files files, Recipe) { files.write("key", "x"); }), "key_file /", "no key");
  has(reason([](Files files, Recipe) { std::filesystem::remove(files.files().ca_file); }),
      "ca_file /", "does not exist");
  has(reason([](Files files, Recipe) { files.write("key", testing::make_ec_key().pem()); }),
      "cert_file /", "is not that of key_file");
  has(reason([](Files files, Recipe recipe) {
        recipe.validity.until = wall_now() - minutes(1);
        files.issue(recipe);
      }),
      "cert_file /", "certificate has expired");
  has(reason([](Files files, Recipe recipe) {
        recipe.usage = "serverAuth";
        files.issue(recipe);
      }),
      "cert_file /", "unsuitable certificate purpose");
  has(reason([](Files files, Recipe recipe) {
        recipe.common_name = "node 1";
        files.issue(recipe);
      }),
      "cert_file /", "needs one CN");
  has(reason([](Files files, Recipe) { files.write_ca(Authority(Token::make()).certificate()); }),
      "cert_file /", "unable to get local issuer certificate");
}

TEST(OperatorIdentity, a_token_file_that_is_missing_is_named) {
  try {
    check_identity({"/nonexistent/token", "", "", "", ""}, wall_now());
    ADD_FAILURE();
  } catch (const util::Error& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent/token does not exist"),
              std::string::npos);
  }
}

/// A keeper of a token's identity whose clock the test turns.
struct Kept {
  Kept() { write({Token::make()}); }
  void write(const std::vector<Token>& tokens) {
    std::string text;
    for (const auto& token : tokens) text += token.text() + "\n";
    util::write_file_durably(files.token_file, util::as_bytes(text), 0600);
  }

  support::TemporaryDirectory folder;
  IdentityFiles files{folder.path() / "token", "", "", "", folder.path() / "node.key"};
  WallTime now = wall_now();
  util::Timers timers;
};

TEST(IdentityKeeper, renews_at_half_life_and_tells) {
  Kept kept;
  IdentityKeeper keeper(kept.files, kept.timers, [&] { return kept.now; });
  const auto first = keeper.current();
  std::vector<std::string> told;
  auto operation =
      keeper.on_change([&](const auto& identity) { told.push_back(identity->certificate_pem()); });
  kept.now += hours(12) - minutes(1);
  keeper.renew_if_due();
  EXPECT_EQ(keeper.current(), first);
  kept.now += minutes(1);
  keeper.renew_if_due();
  const auto second = keeper.current();
  EXPECT_EQ(second->validity().until, kept.now + hours(24));
  EXPECT_EQ(second->node_id(), first->node_id());
  EXPECT_EQ(told, std::vector{second->certificate_pem()});
  operation.cancel();
  keeper.reload();
  EXPECT_EQ(told.size(), 1u);
}

TEST(IdentityKeeper, a_clock_that_was_set_back_makes_it_due) {
  Kept kept;
  IdentityKeeper keeper(kept.files, kept.timers, [&] { return kept.now; });
  kept.now -= hours(48);
  keeper.renew_if_due();
  EXPECT_EQ(keeper.current()->validity().until, kept.now + hours(24));
}

TEST(IdentityKeeper, keeps_the_old_one_while_the_file_is_bad) {
  Kept kept;
  IdentityKeeper keeper(kept.files, kept.timers, [&] { return kept.now; });
  const auto first = keeper.current();
  util::write_file_durably(kept.files.token_file, util::as_bytes("half a tok"), 0600);
  EXPECT_THROW(keeper.reload(), util::Error);
  kept.now += hours(13);
  keeper.renew_if_due();
  EXPECT_EQ(keeper.current(), first);
  const Token fresh = Token::make();
  kept.write({fresh});
  keeper.renew_if_due();
  EXPECT_EQ(keeper.current()->secret(), fresh.derive("dht"));
}

TEST(IdentityKeeper, an_operators_files_that_did_not_change_are_no_news) {
  OperatorFiles files;
  util::Timers timers;
  WallTime now = wall_now();
  IdentityKeeper keeper(files.issue(OperatorFiles::usual()), timers, [&] { return now; });
  int told = 0;
  const auto operation = keeper.on_change([&](const auto&) { ++told; });
  now += hours(1);
  keeper.renew_if_due();
  EXPECT_EQ(told, 0);
  EXPECT_EQ(keeper.current()->renew_at(), now + hours(1));
  files.issue(OperatorFiles::usual());
  now += hours(1);
  keeper.renew_if_due();
  EXPECT_EQ(told, 1);
}

}  // namespace
}  // namespace swarmfs::cluster
