// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "cli/containerd_config.h"
#include "cli/hosts_toml.h"
#include "fake_node.h"

namespace swarmfs::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kConfig = "/etc/containerd/config.toml";
constexpr const char* kDefaultHosts = "/etc/containerd/certs.d/_default/hosts.toml";
const std::string kGoodConfig =
    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
    "config_path = \"/etc/containerd/certs.d\"\n";
const std::string kTable =
    "[host.\"http://127.0.0.1:9755\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    "dial_timeout = \"200ms\"\n";
const std::string kBlock = "# swarmfs configure: begin\n" + kTable + "# swarmfs configure: end\n";

MirrorWish containerd_wish(std::vector<std::string> registries = {}) {
  return {.mirror = "127.0.0.1:9755",
          .registries = std::move(registries),
          .remove = false,
          .hosts_directory = {},
          .containerd = ContainerdVersion{1, 6, 20}};
}

MirrorWish removing(MirrorWish wish) {
  wish.remove = true;
  return wish;
}

TEST(ConfigureContainerd, writes_one_file_for_all_registries) {
  FakeNode node{{kConfig, kGoodConfig}};
  const FakeNode before = node;
  const auto plan = plan_containerd(containerd_wish(), node);
  ASSERT_EQ(plan.files.size(), 1U);
  EXPECT_EQ(plan.files[0].file, kDefaultHosts);
  EXPECT_EQ(plan.files[0].after, "# swarmfs configure: begin (made this file and its directory)\n" +
                                     kTable + "# swarmfs configure: end\n");
  EXPECT_THAT(plan.ignored, IsEmpty());
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("1.6.20 knows no dial_timeout"),
                                      HasSubstr("--hosts-dir /etc/containerd/certs.d")));
  node.apply(plan);
  EXPECT_FALSE(plan_containerd(containerd_wish(), node).files[0].changes());
  const auto undo = plan_containerd(removing(containerd_wish()), node);
  EXPECT_TRUE(undo.files[0].remove_directory);
  node.apply(undo);
  EXPECT_EQ(node, before);
}

TEST(ConfigureContainerd, another_mirror_takes_the_place_of_the_first) {
  FakeNode node{{kConfig, kGoodConfig}};
  node.apply(plan_containerd(containerd_wish(), node));
  auto wish = containerd_wish();
  wish.mirror = "[::1]:80";
  node.apply(plan_containerd(wish, node));
  EXPECT_EQ(node.files_[kDefaultHosts],
            "# swarmfs configure: begin (made this file and its directory)\n"
            "[host.\"http://[::1]:80\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
            "dial_timeout = \"200ms\"\n# swarmfs configure: end\n");
}

TEST(ConfigureContainerd, keeps_an_administrators_hosts_behind_ours_and_gives_them_back) {
  const std::pair<std::string, std::string> table[] = {
      {"", kBlock},
      {"server = \"https://r.test\"\n", "server = \"https://r.test\"\n" + kBlock},
      // The end of the last line was not written.
      {"server = \"https://r.test\"",
       "server = \"https://r.test\"\n" + kBlock.substr(0, kBlock.size() - 1)},
      {"# ours\nserver = 'https://r.test'\n\n# the old one\n[host.'https://m.test']\nca = 'x.crt'\n"
       "[host.'https://m.test'.header]\nx = ['y']\n",
       "# ours\nserver = 'https://r.test'\n\n" + kBlock +
           "# the old one\n[host.'https://m.test']\nca = 'x.crt'\n"
           "[host.'https://m.test'.header]\nx = ['y']\n"},
      {"[host.\"https://b.test\"]\n[host.\"https://a.test\"]",
       kBlock + "[host.\"https://b.test\"]\n[host.\"https://a.test\"]"},
  };
  for (const auto& [theirs, expected] : table) {
    const std::string file = "/etc/containerd/certs.d/r.test:5000/hosts.toml";
    FakeNode node{{kConfig, kGoodConfig}, {file, theirs}};
    const FakeNode before = node;
    const auto wish = containerd_wish({"r.test:5000"});
    node.apply(plan_containerd(wish, node));
    EXPECT_EQ(node.files_[file], expected);
    node.apply(plan_containerd(wish, node));
    EXPECT_EQ(node.files_[file], expected) << "a second time";
    EXPECT_EQ(plan_containerd(removing(containerd_wish()), node).files.size(), 1U);
    node.apply(plan_containerd(removing(wish), node));
    EXPECT_EQ(node, before) << theirs;
    node.apply(plan_containerd(removing(wish), node));
    EXPECT_EQ(node, before) << theirs;
  }
}

TEST(ConfigureContainerd, what_is_added_to_our_file_stays) {
  FakeNode node{{kConfig, kGoodConfig}};
  node.apply(plan_containerd(containerd_wish(), node));
  node.files_[kDefaultHosts] += "[host.\"http://m.test\"]\n";
  node.apply(plan_containerd(containerd_wish(), node));
  EXPECT_THAT(node.files_[kDefaultHosts], AllOf(HasSubstr("begin (made this file"),
                                                testing::EndsWith("[host.\"http://m.test\"]\n")));
  const auto undo = plan_containerd(removing(containerd_wish()), node);
  EXPECT_FALSE(undo.files[0].remove_directory);
  EXPECT_EQ(undo.files[0].after, "[host.\"http://m.test\"]\n");
}

TEST(ConfigureContainerd, leaves_what_is_right_already) {
  for (const std::string& theirs : {kTable, kTable + "[host.\"https://m.test\"]\n",
                                    std::string("[host.'http://127.0.0.1:9755']\n")}) {
    const FakeNode node{{kConfig, kGoodConfig}, {kDefaultHosts, theirs}};
    EXPECT_FALSE(plan_containerd(containerd_wish(), node).files[0].changes()) << theirs;
    EXPECT_FALSE(plan_containerd(removing(containerd_wish()), node).files[0].changes());
  }
}

TEST(ConfigureContainerd, refuses_hosts_that_leave_no_place_ahead_and_says_what_to_write) {
  const std::pair<std::string, std::string> table[] = {
      {"[host]\n[host.\"https://m.test\"]\n", "not written as [host.\"…\"] tables"},
      {"[ \"host\" ] # x\n[host.\"https://m.test\"]\n", "not written as [host.\"…\"] tables"},
      {"host = {\"https://m.test\" = {}}\n", "not written as [host.\"…\"] tables"},
      {"host.\"https://m.test\".capabilities = [\"pull\"]\n", "not written as"},
      {"host = 1\n", "not written as"},
      {"[host.\"https://m.test\"]\n" + kTable, "it names the mirror, but not first"},
      {"[host.\"http://127.0.0.1:9755\"]\ncapabilities = [\"resolve\"]\n", "or not for pulls"},
  };
  for (const auto& [theirs, why] : table) {
    const auto said =
        message_of([&] { add_to_hosts_toml(theirs, "127.0.0.1:9755", Made::nothing, "/f"); });
    EXPECT_THAT(said, AllOf(testing::StartsWith("/f: "), HasSubstr(why), HasSubstr(kTable)))
        << theirs;
  }
  EXPECT_THAT(
      message_of([&] { add_to_hosts_toml("server = \"x\"\n[host\n", "m:1", Made::nothing, "/f"); }),
      testing::StartsWith("/f:2: "));
  EXPECT_THAT(
      message_of([&] { find_marked("a\n# swarmfs configure: begin\n[host.\"x\"]\n", "/f"); }),
      testing::StartsWith("/f:2: "));
}

TEST(ConfigureContainerd, does_not_hide_certificates) {
  const FakeNode node{{kConfig, kGoodConfig},
                      {"/etc/containerd/certs.d/r.test/ca.crt", ""},
                      {"/etc/containerd/certs.d/r.test/me.cert", ""},
                      {"/etc/containerd/certs.d/r.test/me.key", ""}};
  EXPECT_THAT(message_of([&] { plan_containerd(containerd_wish({"r.test"}), node); }),
              HasSubstr("ca = [\"ca.crt\"]\nclient = [[\"me.cert\", \"me.key\"]]\n" + kTable));
  const std::pair<std::string, bool> table[] = {
      {"", false},
      {"# theirs\n", false},
      {"server = \"https://r.test\"\n", false},
      {"server = \"https://r.test\"\n[host]\n", false},
      {"server = \"https://r.test\"\n" + kBlock, false},
      {"server = \"https://r.test\"\nca = \"ca.crt\"\n", true},
      {"client = [[\"me.cert\", \"me.key\"]]\n", true},
      {"[host.\"https://m.test\"]\n", true},
      {kTable, true},
  };
  for (const auto& [theirs, good] : table) {
    FakeNode with_hosts = node;
    with_hosts.files_["/etc/containerd/certs.d/r.test/hosts.toml"] = theirs;
    const auto said = message_of([&] { plan_containerd(containerd_wish({"r.test"}), with_hosts); });
    EXPECT_EQ(said.empty(), good) << theirs << said;
    if (!good) {
      EXPECT_THAT(said, HasSubstr("ca = [\"ca.crt\"]\n")) << theirs;
    }
    EXPECT_EQ(message_of([&] { plan_containerd(removing(containerd_wish()), with_hosts); }), "");
  }
}

TEST(ConfigureContainerd, names_the_registries_whose_directories_hide_the_default) {
  FakeNode node{
      {kConfig, kGoodConfig},
      {"/etc/containerd/certs.d/ours.test/hosts.toml", kTable},
      {"/etc/containerd/certs.d/broken.test/hosts.toml", kTable + "["},
      {"/etc/containerd/certs.d/empty.test/", ""},
      {"/etc/containerd/certs.d/later.test/hosts.toml", "[host.\"https://m.test\"]\n" + kTable},
      {"/etc/containerd/certs.d/line.test/hosts.toml",
       "host = {\"https://m.test\" = {}, \"http://127.0.0.1:9755\" = {}}\n"},
      {"/etc/containerd/certs.d/name.test/hosts.toml",
       "[host.\"http://127.0.0.1:9755\"]\ncapabilities = [\"resolve\"]\n"},
      {"/etc/containerd/certs.d/r.test_5000_/hosts.toml", "server = 'https://r.test'\n"},
      {"/etc/containerd/certs.d/_backup/docker.io/hosts.toml", ""}};
  const auto plan = plan_containerd(containerd_wish(), node);
  EXPECT_THAT(plan.ignored,
              ElementsAre(HasSubstr("pulls from broken.test pass by"), HasSubstr("empty.test"),
                          HasSubstr("later.test"), HasSubstr("line.test"), HasSubstr("name.test"),
                          HasSubstr("configure containerd --registry r.test:5000)")));
  // containerd looks for this form of the name first.
  const auto one = plan_containerd(containerd_wish({"r.test:5000"}), node);
  EXPECT_EQ(one.files[0].file, "/etc/containerd/certs.d/r.test_5000_/hosts.toml");
  EXPECT_THAT(one.ignored, IsEmpty());
}

TEST(ConfigureContainerd, hosts_may_be_kept_for_another_reader) {
  auto wish = containerd_wish({"r.test"});
  wish.hosts_directory = "/etc/docker/certs.d";
  const auto plan = plan_containerd(wish, FakeNode{{kConfig, "[[["}});
  EXPECT_EQ(plan.files[0].file, "/etc/docker/certs.d/r.test/hosts.toml");
  EXPECT_THAT(plan.ignored, IsEmpty());
}

/// The parts of `containerd config default` that matter here.
const std::string kDefaultOf1_6 = R"(version = 2
disabled_plugins = []
imports = []
[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    max_concurrent_downloads = 3
    sandbox_image = "registry.k8s.io/pause:3.6"
    [plugins."io.containerd.grpc.v1.cri".containerd]
      disable_snapshot_annotations = true
      discard_unpacked_layers = false
      snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = ""
      [plugins."io.containerd.grpc.v1.cri".registry.auths]
      [plugins."io.containerd.grpc.v1.cri".registry.configs]
      [plugins."io.containerd.grpc.v1.cri".registry.headers]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors]
)";

struct CriCase {
  std::string what;
  std::optional<std::string> config;
  std::optional<ContainerdVersion> version;
  std::string ignored;  ///< a part of the only reason; empty: none
};

TEST(ConfigureContainerd, says_when_its_cri_part_would_not_look) {
  const std::string v2 = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n";
  const std::string v3 = "version = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\n";
  const std::string one = "config_path = \"/etc/containerd/certs.d\"\n";
  const std::string two = "config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n";
  const std::string local =
      "[plugins.\"io.containerd.cri.v1.images\"]\nuse_local_image_pull = true\n";
  const ContainerdVersion v1_6{1, 6, 20};
  const ContainerdVersion v2_0{2, 0, 7};
  const ContainerdVersion v2_2{2, 2, 0};
  const CriCase table[] = {
      {"good", v2 + one, v1_6, ""},
      {"good, version 1", "[plugins.cri.registry]\n" + one, v1_6, ""},
      {"good, version 3", v3 + one, v2_2, ""},
      {"version 3, the old plugin's name", "version = 3\n" + kGoodConfig.substr(12), v2_0,
       "end /etc/containerd/config.toml with\n  "
       "[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = "
       "\"/etc/containerd/certs.d\""},
      {"no file",
       {},
       v1_6,
       "write /etc/containerd/config.toml with\n  version = 2\n  "
       "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path"},
      {"no file, 2.0",
       {},
       v2_0,
       "version = 3\n  [plugins.\"io.containerd.cri.v1.images\".registry]"},
      {"no file, unknown", {}, {}, "with\n  version = 2\n"},
      {"no file, list by default", {}, v2_2, "config_path (the default) for one directory"},
      {"set to nothing", v2 + "config_path = \"\"\n", v1_6,
       "in /etc/containerd/config.toml, line 3, set\n  config_path"},
      {"table only", v2, v1_6,
       "below [plugins.\"io.containerd.grpc.v1.cri\".registry], add\n  config_path"},
      {"set to nothing, 2.2", v3 + "config_path = \"\"\n", v2_2,
       "no config_path is set: in /etc/containerd/config.toml, line 3, set\n  config_path"},
      {"set to nothing, pulled locally, 2.2", v3 + "config_path = \"\"\n" + local, v2_2,
       "no config_path is set"},
      {"what 1.6 prints as its default", kDefaultOf1_6, v1_6, "no config_path is set"},
      {"what 1.6 prints as its default, 2.2", kDefaultOf1_6, v2_2, "no config_path is set"},
      {"list in what 1.6 prints, 2.2",
       std::string(kDefaultOf1_6).replace(kDefaultOf1_6.find("\"\"\n"), 2, "\"/a:/b\""), v2_2,
       "takes the list in config_path for one directory"},
      {"list, with a registry's credentials",
       v3 + two + "[plugins.\"io.containerd.cri.v1.images\".registry.configs.\"r.test\".auth]\n",
       v2_2, ""},
      {"mirrors of old", v2 + "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"a\"]\n",
       v1_6, "Take registry.mirrors out of it"},
      {"both", v2 + one + "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"a\"]\n", v1_6,
       "does not load with both"},
      {"list, 1.6", v2 + two, v1_6, ""},
      {"list, 2.0", v3 + two, v2_0, ""},
      {"list, 2.2", v3 + two, v2_2, "takes the list in config_path for one directory"},
      {"list, unknown", v3 + two, {}, "takes the list in config_path for one directory"},
      {"list, pulled locally", v3 + two + local, v2_2, ""},
      {"list by default, pulled locally", "version = 3\n" + local, v2_2, ""},
      {"list, a lazy snapshotter's setting",
       "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
       "disable_snapshot_annotations = false\n" +
           v2.substr(12) + two,
       v2_2, ""},
      {"list, as many downloads as is usual",
       v3 + two + "[plugins.\"io.containerd.cri.v1.images\"]\nmax_concurrent_downloads = 3\n", v2_2,
       "for one directory"},
      {"list, more downloads",
       v3 + two + "[plugins.\"io.containerd.cri.v1.images\"]\nmax_concurrent_downloads = 9\n", v2_2,
       ""},
      {"no CRI", "disabled_plugins = [\"cri\"]\n", v1_6, ""},
  };
  for (const auto& [what, config, version, ignored] : table) {
    FakeNode node;
    if (config) node.files_[kConfig] = *config;
    RuntimePlan plan;
    judge_cri_config(read_cri_config(node, kConfig), version, plan);
    if (ignored.empty()) {
      EXPECT_THAT(plan.ignored, IsEmpty()) << what;
    } else {
      EXPECT_THAT(plan.ignored, ElementsAre(HasSubstr(ignored))) << what;
    }
  }
}

TEST(ConfigureContainerd, follows_config_path_and_imports) {
  FakeNode node{
      {kConfig, "version = 2\nimports = [\"conf.d/*.toml\", \"/x/y.toml\", \"config.toml\"]\n"},
      {"/etc/containerd/conf.d/10.toml", kGoodConfig},
      {"/etc/containerd/conf.d/20.toml",
       "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
       "config_path = \"/srv/hosts:/etc/containerd/certs.d\"\n"},
      {"/etc/containerd/conf.d/30.conf", "["}};
  const auto config = read_cri_config(node, kConfig);
  EXPECT_EQ(config.file, "/etc/containerd/conf.d/20.toml");
  EXPECT_EQ(config.line, 3);
  EXPECT_EQ(plan_containerd(containerd_wish(), node).files[0].file,
            "/srv/hosts/_default/hosts.toml");
  node.files_["/etc/containerd/conf.d/20.toml"] += "x = [\n";
  EXPECT_THAT(message_of([&] { plan_containerd(containerd_wish(), node); }),
              testing::StartsWith("/etc/containerd/conf.d/20.toml:"));
}

TEST(ConfigureContainerd, the_first_root_that_has_a_registry_counts) {
  const std::string two =
      kGoodConfig.substr(0, kGoodConfig.find("config_path")) + "config_path = \"/a/:/b\"\n";
  const std::pair<FakeNode, std::string> table[] = {
      {{}, "/a/r.test:5000"},
      {{{"/a/r.test:5000/", ""}, {"/b/r.test:5000/", ""}}, "/a/r.test:5000"},
      {{{"/a/x.test/", ""}, {"/b/r.test:5000/", ""}}, "/b/r.test:5000"},
      {{{"/b/r.test_5000_/", ""}, {"/b/r.test:5000/", ""}}, "/b/r.test_5000_"},
      {{{"/b/_default/", ""}}, "/b/r.test:5000"},
      // What is in /b is hidden already.
      {{{"/a/_default/", ""}, {"/b/r.test:5000/", ""}}, "/a/r.test:5000"},
  };
  for (auto [node, directory] : table) {
    node.files_[kConfig] = two;
    const auto plan = plan_containerd(containerd_wish({"r.test:5000"}), node);
    ASSERT_EQ(plan.files.size(), 1U);
    EXPECT_EQ(plan.files[0].file, directory + "/hosts.toml");
    EXPECT_THAT(plan.notes,
                testing::Contains(testing::EndsWith("--hosts-dir " + directory.substr(0, 2))));
  }
}

TEST(ConfigureContainerd, does_not_hide_a_later_root) {
  const std::string two =
      kGoodConfig.substr(0, kGoodConfig.find("config_path")) + "config_path = \"/a:/b:/c\"\n";
  const std::pair<FakeNode, std::string> table[] = {
      {{}, ""},
      {{{"/a/r.test:5000/", ""}, {"/b/r.test_5000_/", ""}, {"/b/_backup/", ""}, {"/b/file", ""}},
       ""},
      {{{"/a/x.test/", ""}, {"/b/r.test/", ""}, {"/c/_default/", ""}},
       "_default would hide /b/r.test, /c/_default; nothing was changed (try: move what is hidden "
       "to /a, or swarmfs configure containerd --registry HOST"},
  };
  for (auto [node, why] : table) {
    node.files_[kConfig] = two;
    const auto said = message_of([&] {
      EXPECT_EQ(plan_containerd(containerd_wish(), node).files[0].file, "/a/_default/hosts.toml");
    });
    EXPECT_THAT(said, HasSubstr(why));
    EXPECT_EQ(said.empty(), why.empty()) << said;
  }
}

TEST(ConfigureContainerd, knows_both_roots_of_the_default) {
  FakeNode node{{"/etc/docker/certs.d/r.test/hosts.toml", ""}};
  auto wish = containerd_wish({"r.test"});
  wish.containerd = ContainerdVersion{2, 2, 0};
  EXPECT_EQ(plan_containerd(wish, node).files[0].file, "/etc/containerd/certs.d/r.test/hosts.toml");
  node.files_[kConfig] =
      "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\nuse_local_image_pull = true\n";
  EXPECT_EQ(plan_containerd(wish, node).files[0].file, "/etc/docker/certs.d/r.test/hosts.toml");
}

TEST(ConfigureContainerd, removes_from_every_root_and_without_a_good_config) {
  const std::string two =
      kGoodConfig.substr(0, kGoodConfig.find("config_path")) + "config_path = \"/a:/b\"\n";
  const FakeNode node{{kConfig, two},
                      {kDefaultHosts, kBlock},
                      {"/a/r.test_5000_/hosts.toml", kBlock},
                      {"/b/r.test:5000/hosts.toml", "# x\n" + kBlock},
                      {"/b/y.test/hosts.toml", "server = \"https://y.test\"\n"}};
  FakeNode all = node;
  all.apply(plan_containerd(removing(containerd_wish()), all));
  for (const auto& [file, text] : all.files_) EXPECT_EQ(text.find("host."), text.npos) << file;
  EXPECT_EQ(all.files_["/b/r.test:5000/hosts.toml"], "# x\n");
  EXPECT_EQ(all.files_["/b/y.test/hosts.toml"], "server = \"https://y.test\"\n");
  const auto one = plan_containerd(removing(containerd_wish({"r.test:5000"})), node);
  ASSERT_EQ(one.files.size(), 2U);
  EXPECT_EQ(one.files[0].file, "/a/r.test_5000_/hosts.toml");
  EXPECT_EQ(one.files[1].file, "/b/r.test:5000/hosts.toml");
  FakeNode broken = node;
  broken.files_[kConfig] = "a = 1\n[[[\n";
  const auto undo = plan_containerd(removing(containerd_wish()), broken);
  ASSERT_EQ(undo.files.size(), 1U);
  EXPECT_EQ(undo.files[0].file, kDefaultHosts);
  EXPECT_TRUE(undo.files[0].changes());
  EXPECT_THAT(undo.notes, ElementsAre(AllOf(testing::StartsWith("/etc/containerd/config.toml:2: "),
                                            HasSubstr("only /etc/containerd/certs.d was looked"),
                                            HasSubstr("--hosts-dir"))));
}

TEST(ConfigureContainerd, says_when_an_import_takes_config_path_away) {
  const std::string other =
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"x\"\n";
  FakeNode node{{kConfig, "imports = [\"conf.d/*\"]\n" + kGoodConfig},
                {"/etc/containerd/conf.d/10.toml", other}};
  auto wish = containerd_wish();
  EXPECT_THAT(
      plan_containerd(wish, node).ignored,
      ElementsAre(HasSubstr("/etc/containerd/conf.d/10.toml, where there is no config_path: "
                            "move it there from /etc/containerd/config.toml")));
  wish.containerd = ContainerdVersion{2, 0, 0};
  EXPECT_THAT(plan_containerd(wish, node).ignored, IsEmpty());
  wish.containerd = std::nullopt;
  EXPECT_EQ(plan_containerd(wish, node).ignored.size(), 1U);
  node.files_["/etc/containerd/conf.d/20.toml"] = kGoodConfig;
  EXPECT_THAT(plan_containerd(wish, node).ignored, IsEmpty());
}

TEST(ConfigureContainerd, says_that_k3s_writes_its_own) {
  FakeNode node{{kConfig, kGoodConfig},
                {"/var/lib/rancher/k3s/agent/etc/containerd/config.toml", ""}};
  EXPECT_THAT(plan_containerd(containerd_wish(), node).ignored,
              ElementsAre(AllOf(HasSubstr("k3s runs a containerd of its own"),
                                HasSubstr("endpoint: [\"http://127.0.0.1:9755\"]"))));
  node.files_["/etc/rancher/k3s/registries.yaml"] =
      "mirrors:\n  \"*\":\n    endpoint: [\"http://127.0.0.1:9755\"]\n";
  EXPECT_THAT(plan_containerd(containerd_wish(), node).ignored, IsEmpty());
  node.files_.erase(kConfig);
  EXPECT_THAT(plan_containerd(containerd_wish(), node).ignored, IsEmpty())
      << "no other containerd has to be there";
}

TEST(ConfigureContainerd, finds_the_endpoint_of_k3s_where_it_counts) {
  const std::pair<std::string, bool> table[] = {
      {"      endpoint: [\"http://127.0.0.1:9755\"]\n", true},
      {"      - http://127.0.0.1:9755", true},
      {"      - 'http://127.0.0.1:9755/'\n", true},
      {"      - http://127.0.0.1:97551\n", false},
      {"#      - http://127.0.0.1:9755\n", false},
      {"      - http://m.test # http://127.0.0.1:9755\n", false},
      {"      - http://m.test/#a http://127.0.0.1:97551\n      - http://127.0.0.1:9755\n", true},
      {"", false},
  };
  for (const auto& [text, good] : table) {
    const FakeNode node{{"/etc/rancher/rke2/registries.yaml", text}};
    const auto ignored = plan_containerd(containerd_wish(), node).ignored;
    if (good) {
      EXPECT_THAT(ignored, IsEmpty()) << text;
    } else {
      EXPECT_THAT(ignored, ElementsAre(HasSubstr("rke2 runs a containerd of its own"))) << text;
    }
  }
}

TEST(ConfigureContainerd, reads_versions) {
  const std::pair<const char*, std::optional<ContainerdVersion>> table[] = {
      {"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n",
       ContainerdVersion{1, 6, 20}},
      {"containerd github.com/containerd/containerd/v2 v2.1.0-rc.1 061792f\n",
       ContainerdVersion{2, 1, 0}},
      {"", std::nullopt},
      {"containerd of some kind", std::nullopt},
  };
  for (const auto& [said, version] : table)
    EXPECT_EQ(parse_containerd_version(said), version) << said;
}

}  // namespace
}  // namespace swarmfs::cli
