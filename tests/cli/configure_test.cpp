// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/configure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>

#include "cli/daemon_json.h"
#include "cli/node_files.h"
#include "cli/plan_text.h"
#include "fake_node.h"
#include "support/temporary_directory.h"
#include "util/file.h"

namespace swarmfs::cli {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kDropIn = "/etc/containers/registries.conf.d/50-swarmfs.conf";
constexpr const char* kDaemonJson = "/etc/docker/daemon.json";
constexpr const char* kStargz = "/etc/containerd-stargz-grpc/config.toml";

MirrorWish wish_for(std::vector<std::string> registries = {}, bool remove = false) {
  return {.mirror = "127.0.0.1:9755",
          .registries = std::move(registries),
          .remove = remove,
          .hosts_directory = {},
          .containerd = std::nullopt};
}

std::string podman_entry(const std::string& registry) {
  return "[[registry]]\nprefix = \"" + registry + "\"\nlocation = \"" + registry +
         "\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:9755/" + registry +
         "\"\ninsecure = true\n";
}

TEST(ConfigurePodman, writes_a_drop_in_that_names_the_registry_in_the_path) {
  FakeNode node{
      {"/etc/containers/registries.conf.d/shortnames.conf", "[aliases]\n\"a\" = \"b/a\"\n"},
      {"/etc/containers/registries.conf", "unqualified-search-registries = []\n"}};
  const FakeNode before = node;
  node.apply(plan_podman(wish_for({"quay.io", "docker.io"}), node));
  EXPECT_EQ(node.files_[kDropIn], "# swarmfs configure: begin (made this file)\n" +
                                      podman_entry("quay.io") + podman_entry("docker.io") +
                                      "# swarmfs configure: end\n");
  EXPECT_FALSE(plan_podman(wish_for(), node).files[0].changes()) << "keeps its registries";
  node.apply(plan_podman(wish_for({"docker.io"}), node));
  EXPECT_EQ(node.files_[kDropIn].find("quay.io"), std::string::npos);
  node.apply(plan_podman(wish_for({}, true), node));
  EXPECT_EQ(node, before);
  node.apply(plan_podman(wish_for(), node));
  EXPECT_THAT(node.files_[kDropIn], HasSubstr(podman_entry("docker.io"))) << "by default";
}

TEST(ConfigurePodman, refuses_what_it_would_undo) {
  const std::pair<FakeNode, std::string> table[] = {
      {{{kDropIn, "# mine\n"}}, "is not of swarmfs's making"},
      {{{"/etc/containers/registries.conf",
         "\n[[registry]]\nprefix = \"docker.io\"\nblocked = true\n"}},
       "/etc/containers/registries.conf:2: there is a [[registry]] for docker.io already"},
      {{{"/etc/containers/registries.conf.d/a.conf",
         "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\n"}},
       "location = \"127.0.0.1:9755/docker.io\""},
      {{{"/etc/containers/registries.conf", "[registries.search]\nregistries = []\n"}},
       "/etc/containers/registries.conf:1: [registries.search] is of version 1"},
      {{{"/etc/containers/registries.conf", "a = 1\nb = \n"}},
       "/etc/containers/registries.conf:2: "},
  };
  for (const auto& [node, why] : table)
    EXPECT_THAT(message_of([&] { plan_podman(wish_for(), node); }), HasSubstr(why));
  EXPECT_THAT(message_of([&] { plan_podman(wish_for({"r.test:5000"}), FakeNode{}); }),
              HasSubstr("it can have no port"));
}

TEST(ConfigurePodman, leaves_what_is_right_already) {
  const FakeNode node{{"/etc/containers/registries.conf", podman_entry("docker.io")}};
  EXPECT_TRUE(plan_podman(wish_for(), node).files.empty());
  const auto both = plan_podman(wish_for({"docker.io", "quay.io"}), node);
  ASSERT_EQ(both.files.size(), 1U);
  EXPECT_EQ(both.files[0].after->find("docker.io"), std::string::npos);
}

TEST(ConfigurePodman, says_what_a_longer_prefix_takes_past_the_mirror) {
  const std::string library = "[[registry]]\nprefix = \"docker.io/library\"\n";
  const std::string mirror = "[[registry.mirror]]\nlocation = \"";
  const auto lines_for = [](const std::string& location) {
    return "Add this below it, ahead of its other mirrors:\n  [[registry.mirror]]\n  location = "
           "\"127.0.0.1:9755/" +
           location + "\"\n  insecure = true";
  };
  const std::pair<std::string, std::string> table[] = {
      {library + "location = \"docker.io/library\"\n", lines_for("docker.io/library")},
      {"\n\n" + library + mirror + "m.test\"\n", "/etc/containers/registries.conf:3 has"},
      {library + "location = \"m.test/library\"\n", lines_for("m.test/library")},
      {library + mirror + "m.test\"\n" + mirror + "127.0.0.1:9755/docker.io/library\"\n",
       "pulls of docker.io/library pass by"},
      {library + mirror + "127.0.0.1:9755/docker.io/library\"\n" + mirror + "m.test\"\n", ""},
      {library + "blocked = true\n", ""},
      {library + "location = \"m.test:5000/library\"\n", ""},
      {"[[registry]]\nlocation = \"docker.io.test/library\"\n", ""},
      {"[[registry]]\nlocation = \"quay.io/library\"\n", ""},
  };
  for (const auto& [text, reason] : table) {
    const FakeNode node{{"/etc/containers/registries.conf", text}};
    const auto plan = plan_podman(wish_for({"docker.io"}), node);
    EXPECT_EQ(plan.files.size(), 1U) << text;
    if (reason.empty()) {
      EXPECT_THAT(plan.ignored, testing::IsEmpty()) << text;
    } else {
      EXPECT_THAT(plan.ignored, ElementsAre(HasSubstr(reason))) << text;
    }
    EXPECT_THAT(plan_podman(wish_for({}, true), node).ignored, testing::IsEmpty());
  }
  const FakeNode later{{"/etc/containers/registries.conf", library},
                       {"/etc/containers/registries.conf.d/a.conf",
                        library + mirror + "127.0.0.1:9755/docker.io/library\"\n"}};
  EXPECT_THAT(plan_podman(wish_for(), later).ignored, testing::IsEmpty());
}

TEST(ConfigureDocker, puts_the_mirror_first_and_gives_the_file_back_to_the_byte) {
  const std::pair<std::optional<std::string>, std::string> table[] = {
      {std::nullopt, "{\"registry-mirrors\": [  \"http://127.0.0.1:9755\"  ]}\n"},
      {"\n", "\n{\"registry-mirrors\": [  \"http://127.0.0.1:9755\"  ]}\n"},
      {"{}", "{\n  \"registry-mirrors\": [  \"http://127.0.0.1:9755\"  ]\n}"},
      {"{ }\n", "{\n  \"registry-mirrors\": [  \"http://127.0.0.1:9755\"  ]\n }\n"},
      {"{\n\t\"debug\": true\n}",
       "{\n  \"registry-mirrors\": [  \"http://127.0.0.1:9755\"  ],\n\t\"debug\": true\n}"},
      {"{\"labels\": [\"a]\\\"registry-mirrors\\\":[\"], \"x\": {\"registry-mirrors\": [1]}}",
       "{\n  \"registry-mirrors\": [  \"http://127.0.0.1:9755\"  ],\"labels\": "
       "[\"a]\\\"registry-mirrors\\\":[\"], \"x\": {\"registry-mirrors\": [1]}}"},
      {"{\"registry-mirrors\": []}\n",
       "{\"registry-mirrors\": [  \"http://127.0.0.1:9755\"   ]}\n"},
      {"{\n  \"registry-mirrors\": []\n}",
       "{\n  \"registry-mirrors\": [  \"http://127.0.0.1:9755\"   ]\n}"},
      {"{\"registry-mirrors\": []}", "{\"registry-mirrors\": [  \"http://127.0.0.1:9755\"   ]}"},
      {"{\"a\": [1, [2]], \"registry-mirrors\" : [\n  \"https://m.test\"]}",
       "{\"a\": [1, [2]], \"registry-mirrors\" : [  \"http://127.0.0.1:9755\"  ,\n  "
       "\"https://m.test\"]}"},
  };
  for (const auto& [theirs, expected] : table) {
    FakeNode node;
    if (theirs) node.files_[kDaemonJson] = *theirs;
    const FakeNode before = node;
    node.apply(plan_docker(wish_for(), node));
    EXPECT_EQ(node.files_[kDaemonJson], expected);
    const auto json = nlohmann::json::parse(node.files_[kDaemonJson]);
    EXPECT_EQ(json["registry-mirrors"][0], "http://127.0.0.1:9755");
    EXPECT_FALSE(plan_docker(wish_for(), node).files[0].changes()) << expected;
    auto elsewhere = wish_for();
    elsewhere.mirror = "127.0.0.1:1";
    node.apply(plan_docker(elsewhere, node));
    EXPECT_EQ(node.files_[kDaemonJson].find("9755"), std::string::npos) << expected;
    node.apply(plan_docker(wish_for({}, true), node));
    EXPECT_EQ(node, before) << expected;
    EXPECT_FALSE(plan_docker(wish_for({}, true), node).files[0].changes());
  }
}

TEST(ConfigureDocker, takes_no_mirror_of_an_administrators_for_its_own) {
  const char* table[] = {
      "{\n  \"registry-mirrors\": [ \"http://mirror.corp:5000\" ],\n  \"debug\": true\n}\n",
      "{\n  \"registry-mirrors\": [  \"http://mirror.corp:5000\"  ],\n  \"debug\": true\n}\n",
      "{\n  \"registry-mirrors\": [ \"http://mirror.corp:5000\" ]\n}\n",
      "{\"registry-mirrors\": [ \"http://mirror.corp:5000\" ]}\n",
      "{\"registry-mirrors\": [  \"http://mirror.corp:5000\"  ]}\n",
      "{\"registry-mirrors\": [ \"http://mirror.corp:5000\" , \"https://m.test\"]}",
      "{\"registry-mirrors\": [  \"http://127.0.0.1.corp:5000\"  ]}\n",
      "{\"registry-mirrors\": [  \"http://localhost.corp\"  ]}\n",
      "{\"registry-mirrors\": [ \"http://localhost:5000\" ]}\n",
  };
  for (const std::string theirs : table) {
    FakeNode node{{kDaemonJson, theirs}};
    const FakeNode before = node;
    node.apply(plan_docker(wish_for({}, true), node));
    EXPECT_EQ(node, before) << theirs;
    node.apply(plan_docker(wish_for(), node));
    const auto json = nlohmann::json::parse(node.files_[kDaemonJson]);
    EXPECT_EQ(json["registry-mirrors"][0], "http://127.0.0.1:9755") << theirs;
    EXPECT_GE(json["registry-mirrors"].size(), 2U) << theirs;
    node.apply(plan_docker(wish_for({}, true), node));
    EXPECT_EQ(node, before) << theirs;
  }
}

TEST(ConfigureDocker, what_is_added_behind_the_mirror_stays) {
  const std::pair<std::string, std::string> table[] = {
      {"{\"registry-mirrors\": [  \"http://[::1]:1\"   , \"x\"]}",
       "{\"registry-mirrors\": [ \"x\"]}"},
      {"{\n  \"registry-mirrors\": [  \"http://127.9.9.9:1\"  , \"x\"]\n}",
       "{\n  \"registry-mirrors\": [ \"x\"]\n}"},
      {"{\"registry-mirrors\": [  \"http://localhost:1\"  ], \"debug\": true}\n",
       "{\"registry-mirrors\": [], \"debug\": true}\n"},
  };
  for (const auto& [text, rest] : table) EXPECT_EQ(without_ours(text, "/f"), rest);
}

TEST(ConfigureDocker, says_which_mirror_it_leaves_and_which_it_will_not_know_again) {
  const auto leaves = [](const std::string& mirror) {
    return plan_docker(wish_for({}, true),
                       FakeNode{{kDaemonJson, "{\"registry-mirrors\": [\"" + mirror + "\"]}"}})
        .notes;
  };
  const std::string reload = "dockerd takes it over after: systemctl reload docker";
  for (const char* mirror : {"http://127.0.0.1:9755", "http://localhost:5000/", "http://[::1]:1"})
    EXPECT_THAT(leaves(mirror),
                ElementsAre(AllOf(HasSubstr("still asks " + std::string(mirror)),
                                  HasSubstr("take it out of \"registry-mirrors\" by hand")),
                            reload));
  EXPECT_THAT(leaves("https://m.test"), ElementsAre(reload));
  // A reload takes over mirrors, but not that there are none any more.
  EXPECT_THAT(plan_docker(wish_for({}, true), FakeNode{}).notes,
              ElementsAre("dockerd takes it over after: systemctl restart docker"));
  auto elsewhere = wish_for();
  elsewhere.mirror = "10.0.0.3:9755";
  EXPECT_THAT(plan_docker(elsewhere, FakeNode{}).notes,
              Contains(HasSubstr("--remove knows only a mirror on loopback")));
}

TEST(ConfigureDocker, leaves_or_refuses_what_an_administrator_wrote) {
  const std::string right =
      "{\"registry-mirrors\": [\"http://127.0.0.1:9755/\", \"https://m.test\"]}";
  EXPECT_EQ(add_to_daemon_json(right, "127.0.0.1:9755", "/f"), right);
  EXPECT_EQ(without_ours(right, "/f"), right);
  const std::pair<const char*, const char*> table[] = {
      {"{\"registry-mirrors\": [\"https://m.test\", \"http://127.0.0.1:9755\"]}",
       "/f: the mirror is"},
      {"{\n\"debug\": yes\n}", "/f:2: this is no JSON: "},
      {"{\n\"debug\": true", "/f:2: this is no JSON: "},
      {"[]", "/f:1: this is no JSON object"},
      {"{\"registry-mirrors\": \"x\"}", "/f: \"registry-mirrors\" is no list"},
  };
  for (const auto& [text, why] : table)
    EXPECT_THAT(message_of([&] { add_to_daemon_json(text, "127.0.0.1:9755", "/f"); }),
                StartsWith(why));
  EXPECT_THAT(message_of([&] { plan_docker(wish_for({"quay.io"}), FakeNode{}); }),
              HasSubstr("--hosts-dir /etc/docker/certs.d --registry quay.io"));
}

TEST(ConfigureStargz, ends_the_configuration_with_a_mirror) {
  const std::string theirs =
      "root_path = \"/x\"\n[resolver.host.\"docker.io\"]\n[blob]\nvalid_interval = 1";
  FakeNode node{{kStargz, theirs}};
  node.apply(plan_stargz(wish_for({"docker.io", "r.test:5000"}), node));
  EXPECT_EQ(node.files_[kStargz],
            theirs +
                "\n# swarmfs configure: begin\n[[resolver.host.\"docker.io\".mirrors]]\n"
                "host = \"127.0.0.1:9755\"\ninsecure = true\n"
                "[[resolver.host.\"r.test:5000\".mirrors]]\nhost = \"127.0.0.1:9755\"\n"
                "insecure = true\n# swarmfs configure: end");
  EXPECT_FALSE(plan_stargz(wish_for({"docker.io", "r.test:5000"}), node).files[0].changes());
  node.apply(plan_stargz(wish_for({}, true), node));
  EXPECT_EQ(node.files_[kStargz], theirs);
}

TEST(ConfigureStargz, refuses_to_stand_behind_other_mirrors) {
  const std::pair<const char*, const char*> table[] = {
      {"[[resolver.host.\"docker.io\".mirrors]]\nhost = \"m.test\"\n",
       "config.toml:1: docker.io has mirrors already"},
      {"resolver = {host = {}}\n", "leaves no place at its end"},
      {"\n[[x]\n", "config.toml:2: "},
  };
  for (const auto& [text, why] : table)
    EXPECT_THAT(message_of([&] {
                  plan_stargz(wish_for(), FakeNode{{kStargz, text}});
                }),
                HasSubstr(why));
  const FakeNode right{
      {kStargz, "[[resolver.host.\"docker.io\".mirrors]]\nhost = \"127.0.0.1:9755\"\n"}};
  EXPECT_FALSE(plan_stargz(wish_for(), right).files[0].changes());
}

TEST(Configure, takes_the_mirror_from_the_daemons_configuration) {
  EXPECT_EQ(mirror_place("[mirror]\nlisten = \"[::1]:99\"\n", "/f").address, "[::1]:99");
  EXPECT_EQ(mirror_place("[mirror]\nlisten = \"[::1]:99\"\n", "/f").trouble, "");
  for (const std::optional<std::string>& text :
       {std::optional<std::string>{}, std::optional<std::string>("[log]\n")}) {
    EXPECT_EQ(mirror_place(text, "/f").address, "127.0.0.1:9755");
    EXPECT_THAT(mirror_place(text, "/f").trouble, HasSubstr("has no mirror: set listen"));
  }
  EXPECT_THAT(message_of([&] { mirror_place("a = 1\nb =\n", "/f"); }), StartsWith("/f:2: "));
}

TEST(Configure, refuses_names_that_cannot_be) {
  for (const char* bad :
       {"", "a b", "../x", "https://r.test", "r.test/x", "r.test:", "-r.test", "."})
    EXPECT_NE(message_of([&] { checked_registry(bad); }), "") << bad;
  EXPECT_EQ(checked_registry("index.docker.io"), "docker.io");
  EXPECT_EQ(checked_registry("localhost:5000"), "localhost:5000");
  for (const char* bad : {"", "127.0.0.1", "http://127.0.0.1:1", "a\"b:1", "::1:9"})
    EXPECT_NE(message_of([&] { check_mirror_address(bad); }), "") << bad;
}

TEST(Configure, shows_what_goes_and_comes) {
  EXPECT_EQ(diff_text({"/f", "a\nb\nc\n", "a\nx\ny\nc\n"}), "@@ line 2 @@\n-b\n+x\n+y\n");
  EXPECT_EQ(diff_text({"/f", std::nullopt, "a"}), "@@ line 1 @@\n+a\n\\ no newline at the end\n");
  EXPECT_EQ(diff_text({"/f", "a\na\n", "a\n"}), "@@ line 2 @@\n-a\n");
  EXPECT_EQ(diff_text({"/f", "a", "a"}), "");
  const RuntimePlan plan{{{"/f", "a\n", std::nullopt}, {"/g", "a\n", "a\n"}}, {"why"}, {"n"}};
  EXPECT_EQ(plan_text(plan, PlanUse::check),
            "/f: differs\n@@ line 1 @@\n-a\n/g: in place\nIGNORED: why\nnote: n\n");
  EXPECT_EQ(plan_text(plan, PlanUse::write), "/f: removed\n/g: in place\nIGNORED: why\nnote: n\n");
  EXPECT_FALSE(is_in_effect(plan));
  const RuntimePlan removal{{{"/f", "a\n", std::nullopt}, {"/g", "a\n", "a\n"}}, {}, {}, true};
  EXPECT_EQ(plan_text(removal, PlanUse::write), "/f: removed\n/g: nothing of swarmfs's\n");
  EXPECT_EQ(plan_json(removal, PlanUse::write)["files"][1]["state"], "nothing of swarmfs's");
  EXPECT_TRUE(is_in_effect({{{"/g", "a\n", "a\n"}}, {}, {"n"}}));
}

class NodeFilesTest : public testing::Test {
 protected:
  [[nodiscard]] mode_t mode_of(const std::string& path) const {
    struct stat facts {};
    return ::stat((root_.string() + path).c_str(), &facts) == 0 ? facts.st_mode & 07777 : 0;
  }

  support::TemporaryDirectory directory_;
  const std::filesystem::path root_ = directory_.path();
};

TEST_F(NodeFilesTest, replace_a_file_that_keeps_its_mode_and_owner) {
  std::filesystem::create_directories(root_ / "etc");
  util::write_file_durably(root_ / "etc/f", util::as_bytes(std::string("old")));
  ::chmod((root_ / "etc/f").c_str(), 0640);
  const bool is_root = ::geteuid() == 0;
  if (is_root) {
    ASSERT_EQ(::chown((root_ / "etc/f").c_str(), 65534, 65533), 0);
  }
  const NodeFiles node(root_);
  EXPECT_EQ(node.read("/etc/f"), "old");
  node.apply({"/etc/f", "old", "new"});
  EXPECT_EQ(node.read("/etc/f"), "new");
  EXPECT_EQ(mode_of("/etc/f"), 0640U);
  struct stat facts {};
  ASSERT_EQ(::stat((root_ / "etc/f").c_str(), &facts), 0);
  if (is_root) {
    EXPECT_EQ(std::pair(facts.st_uid, facts.st_gid), std::pair(65534U, 65533U));
  }
  EXPECT_EQ(node.list("/etc"), std::vector<std::string>{"f"}) << "nothing else is left there";
}

TEST_F(NodeFilesTest, make_and_remove_directories) {
  const NodeFiles node(root_);
  EXPECT_EQ(node.read("/a/b/f"), std::nullopt);
  node.apply({"/a/b/f", std::nullopt, "new"});
  EXPECT_EQ(node.list("/a"), std::vector<std::string>{"b/"});
  EXPECT_EQ(mode_of("/a/b/f"), 0644U);
  node.apply({"/a/b/f", "new", std::nullopt, true});
  EXPECT_TRUE(node.list("/a").empty());
}

TEST_F(NodeFilesTest, follow_links_but_not_out_of_the_root) {
  std::filesystem::create_directories(root_ / "etc");
  util::write_file_durably(root_ / "etc/real", {});
  std::filesystem::create_symlink("real", root_ / "etc/f");
  std::filesystem::create_symlink("/tmp", root_ / "etc/out");
  const NodeFiles node(root_);
  node.apply({"/etc/f", "", "new"});
  EXPECT_TRUE(std::filesystem::is_symlink(root_ / "etc/f"));
  EXPECT_EQ(node.read("/etc/real"), "new");
  EXPECT_THAT(message_of([&] { static_cast<void>(node.read("/etc/out/x")); }),
              HasSubstr("leads out of"));
}

TEST_F(NodeFilesTest, refuse_links_to_what_is_not_there) {
  std::filesystem::create_directories(root_ / "etc");
  std::filesystem::create_symlink("/not-there/daemon.json", root_ / "etc/f");
  std::filesystem::create_symlink("gone", root_ / "etc/d");
  const NodeFiles node(root_);
  const std::string real_root = std::filesystem::canonical(root_).string();
  EXPECT_EQ(message_of([&] { static_cast<void>(node.read("/etc/f")); }),
            real_root +
                "/etc/f is a symbolic link to /not-there/daemon.json, which is not there "
                "below " +
                real_root);
  for (const char* path : {"/etc/d", "/etc/d/x", "/etc/d/x/y"}) {
    EXPECT_THAT(message_of([&] { static_cast<void>(node.read(path)); }),
                HasSubstr("etc/d is a symbolic link to gone"))
        << path;
    EXPECT_THAT(message_of([&] {
                  node.apply({path, std::nullopt, "new"});
                }),
                HasSubstr("etc/d is a symbolic link to gone"))
        << path;
  }
  EXPECT_THAT(message_of([&] { static_cast<void>(NodeFiles("/").read(real_root + "/etc/f")); }),
              HasSubstr("/etc/f is a symbolic link to /not-there/daemon.json, which is not there"));
  EXPECT_TRUE(std::filesystem::is_symlink(root_ / "etc/f"));
  EXPECT_TRUE(std::filesystem::is_symlink(root_ / "etc/d"));
}

TEST_F(NodeFilesTest, make_directories_that_others_can_read) {
  std::filesystem::create_directories(root_ / "there");
  ::chmod((root_ / "there").c_str(), 0711);
  const mode_t old = ::umask(077);
  NodeFiles(root_).apply({"/there/a/b/f", std::nullopt, "new"});
  ::umask(old);
  EXPECT_EQ(mode_of("/there"), 0711U) << "as it was";
  EXPECT_EQ(mode_of("/there/a"), 0755U);
  EXPECT_EQ(mode_of("/there/a/b"), 0755U);
  EXPECT_EQ(mode_of("/there/a/b/f"), 0644U);
}

}  // namespace
}  // namespace swarmfs::cli
