// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>

#include "cli/bounded.h"
#include "cli/configure.h"
#include "cli/doctor.h"
#include "cli/node_checks.h"
#include "cli/node_probe.h"
#include "cli/node_settings.h"
#include "fake_node.h"
#include "http/server.h"
#include "support/raw_server.h"
#include "support/temporary_directory.h"
#include "util/digest.h"
#include "util/error.h"
#include "util/file.h"

namespace swarmfs::cli {
namespace {

constexpr Patience kPatienceOfTests = std::chrono::seconds(60);

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

TEST(Doctor, makes_all_checks_whatever_one_of_them_meets) {
  const support::TemporaryDirectory directory;
  DoctorOptions options;
  options.socket = (directory.path() / "s").string();
  options.config = (directory.path() / "toml").string();
  options.root = (directory.path() / "root").string();
  options.patience = kPatienceOfTests;
  const auto here = directory.path().string();
  util::write_file_durably(
      options.config, util::as_bytes("[cache]\ndirectory = \"" + here + "\"\n[mount]\npoint = \"" +
                                     here + "/fs\"\n"));
  http::ServerOptions server;
  server.unix_socket = options.socket;
  const http::Server odd(server, [](const http::ServerRequest&) {
    return http::ServerResponse{
        .status = 200,
        .content_type = "application/json",
        .body = R"({"version":7,"mounts":[7],"cache":{"quota":[]},"mount_point":"/x"})"};
  });
  testing::internal::CaptureStdout();
  const int code = doctor(options);
  const auto text = testing::internal::GetCapturedStdout();
  EXPECT_EQ(code, 1);
  for (const char* line :
       {"ok    configuration: ", "FAIL  daemon: not looked at to the end: ",
        "FAIL  cache: not looked at to the end: ", "ok    cluster: none", "ok    mirror: off"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
}

TEST(NodeSettings, have_the_daemons_defaults_and_skip_what_is_strange) {
  const auto none = parse_settings("", "f");
  EXPECT_EQ(none.cache_directory, "/var/lib/swarmfs");
  EXPECT_EQ(none.cache_quota, 20'000'000'000U);
  EXPECT_EQ(none.mirror_listen, "");
  const auto some = parse_settings(R"(
      strange = 1
      [cache]
      directory = "/c"
      quota = "1GiB"
      [mirror]
      listen = "127.0.0.1:1"
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

TEST(Bounded, gives_what_comes_in_time_and_no_more) {
  const auto done = in_time(
      [] {
        return json{{"a", std::string(100'000, 'x')}};
      },
      std::chrono::seconds(60));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->at("a").get<std::string>().size(), 100'000U);
  const auto thrown =
      in_time([]() -> json { throw util::Error("broken"); }, std::chrono::seconds(60));
  ASSERT_FALSE(thrown);
  EXPECT_EQ(thrown.failure().message, "broken");
  const auto silent = in_time(
      []() -> json {
        json made = json::array();
        for (int stream = 0; stream < 3; ++stream)
          made.push_back(
              std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(stream)).string());
        return made;
      },
      std::chrono::seconds(60));
  ASSERT_TRUE(silent);
  EXPECT_EQ(*silent, json({"/dev/null", "/dev/null", "/dev/null"}));
  const auto ended = in_time([]() -> json { ::_exit(3); }, std::chrono::seconds(60));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.failure().message, "the check ended early");
  const auto late = in_time(
      []() -> json {
        for (;;) ::pause();
      },
      std::chrono::milliseconds(100));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.failure().fault, Fault::timed_out);
}

TEST(Probe, of_a_cache_leaves_nothing_there) {
  const support::TemporaryDirectory directory;
  const auto cache = probe_cache(directory.path(), kPatienceOfTests);
  EXPECT_TRUE(cache.exists);
  EXPECT_EQ(cache.refusal, "");
  EXPECT_TRUE(cache.sparse);
  EXPECT_GT(cache.free, 0U);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  EXPECT_FALSE(probe_cache(directory.path() / "absent", kPatienceOfTests).exists);
}

std::string place_of(const support::RawServer& server) {
  const std::string url = server.url();
  return url.substr(7, url.size() - 8);
}

TEST(Probe, of_a_registry_reads_its_clock) {
  const support::RawServer server(
      "HTTP/1.1 401 Unauthorized\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: "
      "0\r\n\r\n");
  RegistrySetting setting;
  setting.host = place_of(server);
  setting.mirrors = {"127.0.0.1:1"};
  const auto probes = probe_registries({setting}, kPatienceOfTests);
  ASSERT_EQ(probes.size(), 2U);
  ASSERT_TRUE(probes[0].status);
  EXPECT_EQ(*probes[0].status, 401);
  ASSERT_TRUE(probes[0].ahead);
  EXPECT_NEAR(static_cast<double>(probes[0].ahead->count()),
              static_cast<double>(std::time(nullptr) - 784887151), 60);
  EXPECT_EQ(probes[1].place, "127.0.0.1:1");
  EXPECT_FALSE(probes[1].status);
}

TEST(Probe, of_a_tag_asks_mirrors_first) {
  const support::RawServer lacks("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  const support::RawServer has(
      "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:00\r\nContent-Length: 0\r\n\r\n");
  RegistrySetting setting;
  setting.host = place_of(lacks);
  const std::string image = setting.host + "/a:1";
  EXPECT_EQ(*probe_tag(image, {setting}, kPatienceOfTests).status, 404);
  setting.mirrors = {"127.0.0.1:1", place_of(has) + "/hub"};
  const auto tag = probe_tag(image, {setting}, kPatienceOfTests);
  ASSERT_TRUE(tag.status);
  EXPECT_EQ(*tag.status, 200);
  EXPECT_EQ(tag.place, setting.mirrors[1]);
  EXPECT_EQ(tag.digest, "sha256:00");
  const support::RawServer asks("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
  setting.mirrors = {place_of(asks)};
  EXPECT_EQ(*probe_tag(image, {setting}, kPatienceOfTests).status, 401);
}

TEST(Probe, of_a_mount_looks_at_no_link) {
  const support::TemporaryDirectory directory;
  std::filesystem::create_symlink("loop", directory.path() / "loop");
  std::filesystem::create_symlink("/proc/self/maps", directory.path() / "away");
  auto read = probe_read(directory.path(), kPatienceOfTests);
  EXPECT_EQ(read.error + read.file, "");
  util::write_file_durably(directory.path() / "z", util::as_bytes("abc"));
  read = probe_read(directory.path(), kPatienceOfTests);
  EXPECT_EQ(read.file, directory.path() / "z");
  EXPECT_EQ(read.bytes, 3U);
}

TEST(Probe, of_many_answers_for_each) {
  std::vector<RegistrySetting> many(300);
  for (size_t i = 0; i < many.size(); ++i) many[i].host = "127.0.0.1:" + std::to_string(1 + i % 3);
  const auto probes = probe_registries(many, kPatienceOfTests);
  ASSERT_EQ(probes.size(), many.size());
  for (size_t i = 0; i < many.size(); ++i) {
    EXPECT_EQ(probes[i].place, many[i].host);
    EXPECT_FALSE(probes[i].status);
  }
}

TEST(Probe, of_a_pull_believes_no_digest) {
  const std::string body = R"({"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:)" +
                           std::string(64, '0') + R"(","size":2},"layers":[]})";
  const auto answer = [&](const std::string& digest) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nDocker-Content-Digest: " + digest + "\r\n\r\n" + body;
  };
  const support::RawServer liar(answer("sha256:" + std::string(64, 'a')));
  const auto wrong = probe_pull("r.test/a:1", place_of(liar), kPatienceOfTests);
  EXPECT_EQ(wrong.step, "the manifest");
  EXPECT_EQ(wrong.error, "its bytes do not have the digest sha256:" + std::string(64, 'a'));
  // It says the manifest also where the config is asked for.
  const support::RawServer half(answer(util::Sha256::of(util::as_bytes(body)).to_string()));
  const auto blob = probe_pull("r.test/a:1", place_of(half), kPatienceOfTests);
  EXPECT_EQ(blob.step, "a blob");
  EXPECT_EQ(blob.blob, "");
  // What was asked for counts, not what the mirror says that it is.
  const std::string other = "sha256:" + std::string(64, 'b');
  const auto swapped = probe_pull("r.test/a@" + other, place_of(half), kPatienceOfTests);
  EXPECT_EQ(swapped.error, "its bytes do not have the digest " + other);
  const auto nobody = probe_pull("r.test/a:1", "127.0.0.1:1", kPatienceOfTests);
  EXPECT_EQ(nobody.status, 0);
  EXPECT_FALSE(is_healthy(check_pull(nobody)));
}

TEST(Probe, of_a_mount_point_that_is_none) {
  const support::TemporaryDirectory directory;
  EXPECT_EQ(probe_fuse(directory.path(), kPatienceOfTests).tree, FuseFacts::Tree::absent);
  EXPECT_EQ(probe_fuse(directory.path() / "absent", kPatienceOfTests).tree,
            FuseFacts::Tree::absent);
  EXPECT_NE(probe_fuse(directory.path(), kPatienceOfTests).kernel, "");
}

}  // namespace
}  // namespace swarmfs::cli
