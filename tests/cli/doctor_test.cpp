// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include "cli/configure.h"
#include "cli/node_checks.h"
#include "cli/node_settings.h"
#include "fake_node.h"
#include "util/error.h"

namespace swarmfs::cli {
namespace {

using nlohmann::json;
using util::Failure;
using util::Fault;

std::string text_of(const Findings& findings) {
  return findings_text(findings);
}

void expect_text(const Findings& findings, const std::string& text) {
  EXPECT_EQ(findings_text(findings), text);
}

TEST(Findings, are_a_line_each_and_only_fail_is_unhealthy) {
  const Findings found{well("a", "b"), warned("c", "d\ne", "f")};
  EXPECT_EQ(findings_text(found), "ok    a: b\nwarn  c: d e – f\n");
  EXPECT_TRUE(is_healthy(found));
  const Findings bad{well("a", "b"), failed("c", "d", "f")};
  EXPECT_FALSE(is_healthy(bad));
  EXPECT_EQ(findings_json(bad), json::parse(R"({"healthy":false,"findings":[
      {"grade":"ok","what":"a","why":"b","remedy":""},
      {"grade":"FAIL","what":"c","why":"d","remedy":"f"}]})"));
}

TEST(CheckDaemon, says_who_answers_or_what_to_do) {
  DaemonFacts daemon;
  daemon.socket = "/s";
  daemon.status = Failure{Fault::unavailable, "/s: refused"};
  expect_text(check_daemon(daemon),
              "FAIL  daemon: swarmfsd does not answer on /s: refused – systemctl start swarmfs; "
              "journalctl -u swarmfs says why; or say --socket\n");
  daemon.status = json{{"version", SWARMFS_VERSION}, {"uptime_seconds", 7300.5}};
  expect_text(check_daemon(daemon),
              "ok    daemon: swarmfsd " SWARMFS_VERSION " answers on /s, up 2 h\n");
  daemon.status = json{{"version", "0.0.9"}, {"uptime_seconds", 5}};
  expect_text(check_daemon(daemon),
              "warn  daemon: swarmfsd 0.0.9 answers on /s, up 5 s; this client is " SWARMFS_VERSION
              " – systemctl restart swarmfs after an upgrade\n");
}

TEST(CheckFuse, knows_each_state_of_device_and_mount) {
  FuseFacts fuse;
  fuse.kernel = "6.1.0";
  fuse.mount_point = "/m";
  fuse.tree_error = "why";
  struct Case {
    int device;
    FuseFacts::Tree tree;
    bool daemon, root;
    const char* expected;
  };
  const std::string opens = "ok    fuse device: /dev/fuse opens, kernel 6.1.0\n";
  const Case table[] = {
      {0, FuseFacts::Tree::answers, true, true, "ok    fuse mount: /m is there and answers\n"},
      {0, FuseFacts::Tree::absent, false, true,
       "warn  fuse mount: /m is not mounted – no daemon, no mount\n"},
      {0, FuseFacts::Tree::absent, true, true,
       "FAIL  fuse mount: /m is no FUSE mount here – not in the daemon's mount namespace? else: "
       "systemctl restart swarmfs\n"},
      {0, FuseFacts::Tree::dead, false, true,
       "FAIL  fuse mount: /m is left from a daemon that is gone: why – systemctl start swarmfs: "
       "its mounts come back\n"},
      {0, FuseFacts::Tree::hangs, true, true,
       "FAIL  fuse mount: /m does not answer: why – the daemon hangs: systemctl restart swarmfs\n"},
      {0, FuseFacts::Tree::strange, true, false,
       "FAIL  fuse mount: /m: why – run doctor as root\n"
       "warn  fuse.conf: /etc/fuse.conf has no line user_allow_other – add it where swarmfsd does "
       "not run as root\n"},
  };
  for (const auto& one : table) {
    fuse.device_error = one.device;
    fuse.tree = one.tree;
    fuse.daemon_answers = one.daemon;
    fuse.root = one.root;
    expect_text(check_fuse(fuse), opens + one.expected);
  }
  fuse.fuse_conf = "# user_allow_other\n user_allow_other \n";
  EXPECT_EQ(check_fuse(fuse).size(), 2U);
  fuse.fuse_conf = "# user_allow_other\n";
  EXPECT_EQ(check_fuse(fuse).size(), 3U);
  fuse.device_error = ENOENT;
  EXPECT_NE(text_of(check_fuse(fuse)).find("FAIL  fuse device: /dev/fuse: No such file"),
            std::string::npos);
  fuse.device_error = EACCES;
  EXPECT_EQ(check_fuse(fuse)[0].grade, Finding::Grade::warn);
  fuse.root = true;
  EXPECT_EQ(check_fuse(fuse)[0].grade, Finding::Grade::fail);
}

CacheFacts good_cache() {
  CacheFacts made;
  made.directory = "/c";
  made.free = 30'000'000'000;
  made.quota = 20'000'000'000;
  return made;
}

TEST(CheckCache, tells_of_disk_room_and_trouble) {
  auto cache = good_cache();
  const std::string writable = "ok    cache directory: /c can be written and read\n";
  const std::string roomy = "ok    cache space: 30.0 GB free for 20.0 GB of quota\n";
  expect_text(check_cache(cache), writable + roomy);
  cache.trouble = "no room";
  cache.direct = false;
  EXPECT_EQ(text_of(check_cache(cache)),
            "warn  cache disk: the daemon says: no room – see there\n" + writable +
                "warn  cache file system: /c has no O_DIRECT – it works, with twice the memory: "
                "better ext4, xfs or btrfs\n" +
                roomy);
  cache = good_cache();
  cache.sparse = false;
  cache.io_uring_disabled = 2;
  EXPECT_EQ(text_of(check_cache(cache)),
            "FAIL  io_uring: kernel.io_uring_disabled is 2 – sysctl kernel.io_uring_disabled=0\n" +
                writable +
                "FAIL  cache file system: /c keeps no sparse files – use ext4, xfs or btrfs for "
                "[cache] directory\n" +
                roomy);
  cache = good_cache();
  cache.slow = "no answer within 3 s";
  EXPECT_EQ(text_of(check_cache(cache)),
            writable +
                "warn  cache disk: /c is slow: a sync: no answer within 3 s – what else writes "
                "there, and does the kernel's log name the disk?\n" +
                roomy);
  cache = good_cache();
  cache.refusal = "a file cannot be made: Read-only file system";
  EXPECT_EQ(text_of(check_cache(cache)),
            "FAIL  cache directory: /c: a file cannot be made: Read-only file system – make it "
            "writable, give it room, or choose another: [cache] directory\n" +
                roomy);
}

TEST(CheckCache, weighs_free_space_against_what_the_quota_has_left) {
  struct Case {
    uint64_t free, used;
    Finding::Grade grade;
  };
  const Case table[] = {
      {20'000'000'000, 0, Finding::Grade::ok},
      {19'999'999'999, 0, Finding::Grade::warn},
      {5'000'000'000, 15'000'000'000, Finding::Grade::ok},
      {5'000'000'000, 14'999'999'999, Finding::Grade::warn},
      {60 << 20, 0, Finding::Grade::fail},
      {0, 20'000'000'000, Finding::Grade::ok},
      {0, 21'000'000'000, Finding::Grade::ok},
  };
  for (const auto& one : table) {
    auto cache = good_cache();
    cache.free = one.free;
    cache.used = one.used;
    EXPECT_EQ(check_cache(cache).back().grade, one.grade) << one.free << " " << one.used;
  }
  auto cache = good_cache();
  cache.exists = false;
  expect_text(check_cache(cache),
              "FAIL  cache directory: /c is not there while the daemon runs – systemctl restart "
              "swarmfs\n");
  cache.daemon_answers = false;
  expect_text(check_cache(cache),
              "warn  cache directory: /c is not there – swarmfsd makes it when it starts\n");
}

TEST(CheckIdentity, says_for_how_long) {
  expect_text(check_identity(std::nullopt),
              "ok    cluster: none is configured: this node has no peers\n");
  IdentityFacts identity;
  identity.file = "/k";
  identity.node_id = "0123456789abcdef";
  identity.left = std::chrono::hours(24 * 30);
  expect_text(check_identity(identity),
              "ok    cluster identity: /k is valid for 30 days more, node 0123456789ab\n");
  identity.left = std::chrono::hours(30);
  expect_text(check_identity(identity),
              "warn  cluster identity: /k is valid for 30 h more, node 0123456789ab – renew it, "
              "then: systemctl reload swarmfs\n");
  identity.issues_its_own = true;
  expect_text(check_identity(identity),
              "ok    cluster identity: /k can be read, node 0123456789ab; certificates of 24 h are "
              "made from it\n");
  identity.open_to_others = true;
  identity.issues_its_own = false;
  EXPECT_EQ(check_identity(identity).size(), 2U);
  EXPECT_EQ(check_identity(identity)[1].grade, Finding::Grade::warn) << "30 h are few";
  EXPECT_EQ(check_identity(identity)[0].grade, Finding::Grade::warn);
  identity.error = "/k:3: not a token";
  expect_text(check_identity(identity),
              "FAIL  cluster identity: /k:3: not a token – put that in order, then: systemctl "
              "restart swarmfs\n");
}

PeerProbe probe_of(const std::string& address, util::Outcome<std::string> node, bool ours = false,
                   const std::string& state = "", const std::string& reason = "") {
  return {address, ours, std::move(node), state, reason, false};
}

TEST(CheckPeers, names_who_is_not_there_and_why) {
  const Failure refused{Fault::unavailable, "refused"};
  const std::vector<PeerProbe> probes{
      probe_of("10.0.0.1:7946", std::string("aaaaaaaaaaaaaaaa"), true),
      probe_of("10.0.0.2:7946", std::string("bbbb"), false, "ok"),
      probe_of("10.0.0.3:7946", refused, false, "silent", "refused"),
      probe_of("10.0.0.4:7946", Failure{Fault::denied, "unknown CA"}),
      probe_of("10.0.0.5:7946", std::string("cccc"), false, "banned", "wrong bytes"),
      probe_of("10.0.0.6:7946", std::string("dddd"), false, "silent", "reset"),
  };
  expect_text(
      check_peers(probes, "aaaaaaaaaaaaaaaa"),
      "ok    cluster listen 10.0.0.1:7946: answers with a certificate of the cluster\n"
      "ok    peers: 3 of 5 answer as members of the cluster\n"
      "warn  peer 10.0.0.3:7946: not reached: refused – does swarmfsd run there, and does a "
      "firewall let TCP through?\n"
      "FAIL  peer 10.0.0.4:7946: of another cluster: unknown CA – the same token or CA on "
      "both nodes, and clocks that agree\n"
      "warn  peer 10.0.0.5:7946: banned: wrong bytes – it gave wrong bytes: look at its "
      "disk and memory; a restart here forgets it\n"
      "warn  peer 10.0.0.6:7946: answers now, and did not a moment ago: reset\n");
}

TEST(CheckPeers, alone_is_a_failure_where_peers_are_known) {
  const Failure refused{Fault::unavailable, "refused"};
  const auto ours = probe_of("10.0.0.1:7946", std::string("aaaaaaaaaaaaaaaa"), true);
  EXPECT_TRUE(is_healthy(check_peers({ours}, "")));
  EXPECT_EQ(check_peers({ours}, "").back().why, "none is known");
  EXPECT_FALSE(is_healthy(check_peers({ours, probe_of("p:1", refused)}, "")));
  const auto other = check_peers({ours}, "bbbbbbbbbbbbbbbb");
  EXPECT_EQ(other[0].why, "node aaaaaaaaaaaa answers there, and this is node bbbbbbbbbbbb");
  EXPECT_FALSE(is_healthy(other));
  EXPECT_FALSE(is_healthy(check_peers({probe_of("10.0.0.1:7946", refused, true)}, "")));
  EXPECT_TRUE(check_peers({}, "").empty());
}

TEST(CheckPeers, count_nodes_and_neither_this_one_nor_who_refuses_it) {
  const auto ours = probe_of("10.0.0.1:7946", std::string("aaaa"), true);
  auto refusing = probe_of("10.0.0.3:7946", std::string("cccc"));
  refusing.refuses_us = true;
  const std::vector<PeerProbe> probes{ours, probe_of("n1:7946", std::string("aaaa")),
                                      probe_of("10.0.0.2:7946", std::string("bbbb")),
                                      probe_of("n2:7946", std::string("bbbb")), refusing};
  for (const char* node_id : {"aaaa", ""})
    expect_text(check_peers(probes, node_id),
                "ok    cluster listen 10.0.0.1:7946: answers with a certificate of the cluster\n"
                "ok    peers: 1 of 2 answer as members of the cluster\n"
                "warn  peer 10.0.0.3:7946: has banned this node: it answers 403 to everything – it "
                "got wrong bytes from here: look at this node's disk and memory; a restart there "
                "forgets it\n");
  EXPECT_EQ(check_peers({ours, probes[1]}, "aaaa").back().why, "none is known");
  EXPECT_EQ(check_peers({ours, refusing}, "aaaa")[1].why, "none of 1 answers us");
}

TEST(CheckRegistries, one_place_of_several_is_enough) {
  const Failure refused{Fault::unavailable, "refused"};
  const auto text = text_of(check_registries({{"r.test", "r.test", refused, std::nullopt},
                                              {"r.test", "m.test", 401, std::nullopt},
                                              {"s.test", "s.test", refused, std::nullopt},
                                              {"t.test", "t.test", 200, std::nullopt},
                                              {"u.test", "u.test", 404, std::nullopt},
                                              {"v.test", "v.test", 502, std::nullopt}}));
  EXPECT_EQ(text,
            "warn  registry r.test: refused – another place gives its images meanwhile\n"
            "ok    registry m.test (mirror of r.test): answers, and wants credentials\n"
            "FAIL  registry s.test: refused – what is cached works on; look at the network, DNS "
            "and [[registry]]\n"
            "ok    registry t.test: answers\n"
            "warn  registry u.test: answers 404 to /v2/ – is it a registry?\n"
            "FAIL  registry v.test: answers 502 to /v2/ – what is cached works on; look at the "
            "network, DNS and [[registry]]\n");
}

TEST(CheckRegistries, the_nearest_clock_counts) {
  const auto clock = [](std::vector<int> ahead) {
    std::vector<RegistryProbe> probes;
    for (const int seconds : ahead)
      probes.push_back({"r", "r" + std::to_string(seconds), 200, std::chrono::seconds(seconds)});
    return check_registries(probes).back();
  };
  EXPECT_EQ(clock({0}).grade, Finding::Grade::ok);
  EXPECT_EQ(clock({-7200, 59}).grade, Finding::Grade::ok);
  EXPECT_EQ(clock({-60}).grade, Finding::Grade::warn);
  EXPECT_EQ(clock({-60}).why, "60 s behind that of r-60");
  EXPECT_EQ(clock({3600, 7200}).grade, Finding::Grade::fail);
  EXPECT_EQ(clock({3600, 7200}).why, "3600 s ahead of that of r3600");
}

TEST(CheckMirror, off_is_well_and_said) {
  MirrorFacts mirror;
  expect_text(check_mirror(mirror),
              "ok    mirror: off; ordinary pulls go through swarmfs with [mirror] listen\n");
  mirror.address = "127.0.0.1:9755";
  mirror.status = 200;
  expect_text(check_mirror(mirror), "ok    mirror 127.0.0.1:9755: answers\n");
  mirror.status = 404;
  EXPECT_FALSE(is_healthy(check_mirror(mirror)));
  mirror.status = Failure{Fault::unavailable, "refused"};
  expect_text(
      check_mirror(mirror),
      "FAIL  mirror 127.0.0.1:9755: refused – the daemon runs without it: systemctl restart "
      "swarmfs\n");
}

TEST(CheckHandOver, says_what_comes_from_containerd_or_why_nothing_does) {
  const nlohmann::json well{
      {"address", "/c.sock"}, {"trouble", nullptr}, {"layers", 12}, {"bytes", 34'000'000}};
  auto down = well, other = well, refused = well;
  refused["refused"] = "the cache has no room";
  down["trouble"] = "connection refused";
  other["address"] = "/other.sock";
  const std::string off =
      "ok    hand-over: off; layers that containerd pulls past the mirror count with [containerd] "
      "address\n";
  const std::string restart = " – systemctl restart swarmfs\n";
  const struct {
    HandOverFacts facts;
    std::string expected;
  } table[] = {
      {{"", {}, nullptr, true}, off},
      {{"", {}, nullptr, false}, off},
      {{"/c.sock", {}, well, true},
       "ok    hand-over: /c.sock is watched, all its namespaces; 12 layers, 34.0 MB handed over "
       "since start\n"},
      {{"/c.sock", {"k8s.io"}, well, true},
       "ok    hand-over: /c.sock is watched, namespace k8s.io; 12 layers, 34.0 MB handed over "
       "since start\n"},
      {{"/c.sock", {"k8s.io", "moby"}, well, true},
       "ok    hand-over: /c.sock is watched, namespaces k8s.io, moby; 12 layers, 34.0 MB handed "
       "over since start\n"},
      {{"/c.sock", {}, down, true},
       "FAIL  hand-over: /c.sock is not watched: connection refused – systemctl status containerd; "
       "is that its socket? ([containerd] address) the daemon tries again by itself\n"},
      {{"/c.sock", {}, refused, true},
       "warn  hand-over: /c.sock is watched, and nothing is handed over – the cache has no room\n"},
      {{"/c.sock", {}, nullptr, true},
       "warn  hand-over: [containerd] address is set, and the daemon runs without it" + restart},
      {{"/c.sock", {}, other, true},
       "warn  hand-over: the daemon watches /other.sock, [containerd] address is '/c.sock'" +
           restart},
      {{"", {}, well, true},
       "warn  hand-over: the daemon watches /c.sock, [containerd] address is ''" + restart},
      {{"/c.sock", {}, nullptr, false},
       "warn  hand-over: no layer of /c.sock – no daemon, no hand-over\n"},
  };
  for (const auto& row : table) expect_text(check_hand_over(row.facts), row.expected);
}

TEST(CheckRuntimes, are_those_that_the_node_has) {
  FakeNode node{{"/etc/containerd/config.toml",
                 "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
                 "config_path = \"/etc/containerd/certs.d\"\n"},
                {"/usr/bin/dockerd", ""}};
  const auto text = [&](const std::string& mirror) {
    std::string made;
    for (const auto& runtime : look_at_runtimes(node, mirror, false))
      made += text_of(check_runtime(runtime, mirror.empty()));
    return made;
  };
  const std::string mirror = "127.0.0.1:9755";
  EXPECT_EQ(text(""),
            "ok    runtime containerd: asks no mirror, and there is none\n"
            "ok    runtime docker: asks no mirror, and there is none\n");
  EXPECT_EQ(text(mirror),
            "warn  runtime containerd: is not told of the mirror – swarmfs configure containerd\n"
            "warn  runtime docker: is not told of the mirror – swarmfs configure docker\n");
  MirrorWish wish;
  wish.mirror = mirror;
  wish.registries = {"r.test"};
  node.apply(plan_containerd(wish, node));
  EXPECT_EQ(
      text(mirror),
      "ok    runtime containerd: asks the mirror as /etc/containerd/certs.d/r.test/hosts.toml "
      "say\n"
      "warn  runtime docker: is not told of the mirror – swarmfs configure docker\n");
  node = FakeNode{{"/etc/containers/registries.conf", ""}};
  wish.registries.clear();
  node.apply(plan_podman(wish, node));
  EXPECT_EQ(text(mirror), "ok    runtime podman: asks the mirror\n");
  EXPECT_EQ(text(""),
            "warn  runtime podman: is told of a mirror, which is off – swarmfs configure podman "
            "--remove, or set [mirror] listen\n");
  node.files_["/etc/containers/registries.conf"] = "[[[";
  EXPECT_NE(text(mirror).find("warn  runtime podman: /etc/containers/registries.conf:1: "),
            std::string::npos)
      << text(mirror);
}

TEST(CheckPull, tells_what_came_or_what_did_not) {
  PullFacts pull;
  EXPECT_EQ(check_pull(pull)[0].grade, Finding::Grade::warn);
  pull.reference = "r.test/a:1";
  pull.blob = "sha256:00";
  pull.bytes = 1'500'000;
  pull.seconds = 0.25;
  expect_text(check_pull(pull),
              "ok    pull: 1.5 MB of r.test/a:1 came through the mirror in 0.2 s, digest right: "
              "sha256:00\n");
  pull.step = "a blob";
  pull.status = 503;
  pull.error = "the mirror answers 503";
  expect_text(check_pull(pull),
              "FAIL  pull: a blob of r.test/a:1: the mirror answers 503 – see above; what the "
              "mirror does not give, runtimes take from the registry\n");
  pull.status = 401;
  EXPECT_EQ(check_pull(pull)[0].grade, Finding::Grade::warn);
  pull.mirror_off = true;
  EXPECT_EQ(check_pull(pull)[0].why, "not tried: the mirror is off");
  EXPECT_EQ(check_tag({"r.test/a:1", 404, "", "r.test"})[0].grade, Finding::Grade::fail);
  EXPECT_EQ(check_tag({"r.test/a:1", 200, "sha256:0123456789abcdef", "m.test"})[0].why,
            "m.test has it, sha256:0123456789ab");
  EXPECT_EQ(check_tag({"r.test/a:1", 401, "", "r.test"})[0].grade, Finding::Grade::warn);
}

class LockedNode : public FakeNode {
 public:
  [[nodiscard]] std::optional<std::string> read(const std::filesystem::path& file) const override {
    throw util::Error(file.string() + ": denied");
  }
};

TEST(CheckRuntimes, that_cannot_be_looked_at_are_named) {
  const auto runtimes = look_at_runtimes(LockedNode(), "127.0.0.1:9755", false);
  ASSERT_EQ(runtimes.size(), 4U);
  for (const auto& one : runtimes)
    EXPECT_NE(one.error.find(": denied"), std::string::npos) << one.name;
}

TEST(NodeSettings, have_the_daemons_defaults_and_skip_what_is_strange) {
  const auto none = parse_settings("", "f");
  EXPECT_EQ(none.cache_directory, "/var/lib/swarmfs");
  EXPECT_EQ(none.cache_quota, 20'000'000'000U);
  EXPECT_EQ(none.mirror_listen, "");
  EXPECT_EQ(none.containerd_address, "");
  const auto some = parse_settings(R"(
      strange = 1
      [cache]
      directory = "/c"
      quota = "1GiB"
      [mirror]
      listen = "127.0.0.1:1"
      [containerd]
      address = "/c.sock"
      namespaces = ["k8s.io"]
      [cluster]
      token_file = "/t"
      listen = ["10.0.0.1", "[fd00::1]"]
      peers = ["10.0.0.2:1", 7]
      [[registry]]
      host = "r.test"
      mirrors = ["https://m.test/hub"]
      plain_http = true
      ca_file = "/ca"
      )",
                                   "f");
  EXPECT_EQ(some.cache_directory, "/c");
  EXPECT_EQ(some.cache_quota, 1U << 30);
  EXPECT_EQ(some.mirror_listen, "127.0.0.1:1");
  EXPECT_EQ(some.containerd_address, "/c.sock");
  EXPECT_EQ(some.containerd_namespaces, std::vector<std::string>{"k8s.io"});
  EXPECT_EQ(some.listen, (std::vector<std::string>{"10.0.0.1:7946", "[fd00::1]:7946"}));
  EXPECT_EQ(some.peers, std::vector<std::string>{"10.0.0.2:1"});
  ASSERT_EQ(some.registries.size(), 1U);
  EXPECT_EQ(some.registries[0].tls.ca_file, "/ca");
  EXPECT_EQ(message_of([] { parse_settings("a = 1\n[[[", "f"); }).substr(0, 4), "f:2:");

  const auto& registry = some.registries[0];
  EXPECT_EQ(version_url("r.test", registry), "http://r.test/v2/");
  EXPECT_EQ(version_url("https://m.test/hub", {}), "https://m.test/v2/");
  EXPECT_EQ(version_url("v2/v2/a", {}), "https://v2/v2/");
  EXPECT_EQ(version_url("m.test/api/v2/hub/", {}), "https://m.test/api/v2/");
  EXPECT_EQ(repository_url("m.test/api/v2", {}, "a/b"), "https://m.test/api/v2/a/b");
  EXPECT_EQ(repository_url("https://m.test/hub", {}, "a/b"), "https://m.test/v2/hub/a/b");
  EXPECT_EQ(repository_url("r.test", registry, "a"), "http://r.test/v2/a");
  EXPECT_EQ(version_url("docker.io", {}), "https://registry-1.docker.io/v2/");
  EXPECT_EQ(version_url("127.0.0.1:5000", {}), "http://127.0.0.1:5000/v2/");
}

}  // namespace
}  // namespace swarmfs::cli
