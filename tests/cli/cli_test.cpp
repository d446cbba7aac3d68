// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <algorithm>

#include "cli/daemon_client.h"
#include "cli/mount_options.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "util/mounts.h"

namespace swarmfs::cli {
namespace {

TEST(MountOptions, of_mount_8_and_fstab) {
  const auto options = parse_mount_options(
      "rw,noauto,_netdev,x-systemd.automount,pin,platform=linux/arm64,socket=/s", Author::mount_8);
  ASSERT_TRUE(options) << options.failure().message;
  EXPECT_TRUE(options->pin);
  EXPECT_EQ(options->platform, "linux/arm64");
  EXPECT_EQ(options->socket, "/s");
  EXPECT_EQ(options->flags, "");
}

TEST(MountOptions, that_narrow_the_mount_are_kept_and_the_last_word_wins) {
  const std::pair<const char*, const char*> table[] = {
      {"", ""},
      {"ro,defaults,nofail,comment=a", ""},
      {"nosuid,nodev,noexec,noatime,nodiratime", "nosuid,nodev,noexec,noatime,nodiratime"},
      {"nosuid,suid", ""},
      {"suid,nosuid,,nosuid", "nosuid"},
      {"noexec,noatime,nosuid,nodev", "nosuid,nodev,noexec,noatime"},
      {"noatime,relatime", "relatime"},
      {"strictatime,atime", ""},
      {"user", "nosuid,nodev,noexec"},
      {"users,exec", "nosuid,nodev"},
      {"rw,nosuid,nodev,users,exec", "nosuid,nodev"},
      {"user=smith", "nosuid,nodev,noexec"},
      {"group,suid", "nodev"},
  };
  for (const auto& [text, flags] : table) {
    const auto options = parse_mount_options(text, Author::mount_8);
    ASSERT_TRUE(options) << text << ": " << options.failure().message;
    EXPECT_EQ(options->flags, flags) << text;
    EXPECT_TRUE(util::mount_flags(options->flags)) << text;
  }
}

TEST(MountOptions, that_cannot_be_are_refused_by_name) {
  for (const char* text : {"ro,colour=red", "colour=red,pin", "nosuid,colour=red"}) {
    const auto bad = parse_mount_options(text, Author::mount_8);
    ASSERT_FALSE(bad);
    EXPECT_NE(bad.failure().message.find("'colour=red'"), std::string::npos);
  }
  EXPECT_FALSE(parse_mount_options("nosuid=1", Author::user));
  const auto writable = parse_mount_options("pin,rw", Author::user);
  ASSERT_FALSE(writable);
  EXPECT_NE(writable.failure().message.find("read-only"), std::string::npos);
}

TEST(Progress, says_how_far_and_how_long) {
  EXPECT_EQ(progress_text(50'000'000, 100'000'000, 5, 10),
            "[=====>    ]  50 %  50.0 MB of 100 MB, 10.0 MB/s, 5 s left");
  EXPECT_EQ(progress_text(0, 0, 0, 10), "resolving");
}

TEST(Progress, shares_by_source) {
  EXPECT_EQ(share_text({{"cache", 75'000'000}, {"peer", 0}, {"registry", 25'000'000}}, 4.06),
            "100 MB: 75 % cache, 25 % registry, 4.1 s");
  EXPECT_EQ(share_text(nlohmann::json::object(), 0), "0 B, 0.0 s");
}

TEST(PercentEncoded, leaves_only_what_is_safe) {
  EXPECT_EQ(percent_encoded("/mnt/a b&c=\xc3\xa9"), "%2Fmnt%2Fa%20b%26c%3D%C3%A9");
}

TEST(Print, explains_a_layer) {
  const auto text = explain_text({{"reference", "r"},
                                  {"manifest", "sha256:m"},
                                  {"layers",
                                   {{{"digest", "sha256:d"},
                                     {"size", 100},
                                     {"bytes_present", 50},
                                     {"lazy", true},
                                     {"why", "gzip with an index"},
                                     {"verified", false},
                                     {"trust", "sealed: hashed here"},
                                     {"sources", {{"registry", 50}}},
                                     {"holders",
                                      {{{"peer", "10.0.0.3:7946"}, {"bytes", 100}},
                                       {{"peer", "10.0.0.4:7946"}, {"bytes", 16}}}}}}}});
  EXPECT_EQ(text,
            "r\nmanifest sha256:m\nlayer 0  sha256:d\n  lazy: gzip with an index\n"
            "  sealed: hashed here\n  present: 50 B of 100 B (50 %)\n  given by: registry 50 B\n"
            "  held by: 10.0.0.3:7946 100 B, 10.0.0.4:7946 16 B\n");
}

TEST(Print, lists_mounts_with_their_options) {
  const auto mounts = nlohmann::json::parse(R"([
      {"reference":"r.test/a:1","directory":"/a","bytes_total":100,"bytes_present":50,"pinned":true,
       "options":"nosuid,noexec"},
      {"reference":"r.test/b:1","directory":"/b","bytes_total":100,"bytes_present":50,
       "pinned":false,"options":""}])");
  EXPECT_EQ(mounts_text(mounts),
            "r.test/a:1  on /a  50 B of 100 B (50 %) present  pinned  nosuid,noexec\n"
            "r.test/b:1  on /b  50 B of 100 B (50 %) present\n");
}

TEST(Print, tells_of_each_node_of_a_preheat) {
  const auto job = nlohmann::json::parse(R"({"state":"failed","nodes":[
      {"endpoint":"10.0.0.3:7946","zone":"a","state":"done","seconds":4.06,"bytes_total":50000000,
       "bytes_by_source":{"cache":9000000,"peer":37000000,"registry":13000000}},
      {"endpoint":"10.0.0.4:7946","zone":"","state":"done","seconds":0.1,"bytes_total":50000000,
       "bytes_by_source":{"cache":7,"peer":0}},
      {"endpoint":"10.0.0.5:7946","zone":"b","state":"failed","error":"busy","seconds":0,
       "bytes_total":0,"bytes_by_source":{}},
      {"endpoint":"10.0.0.6:7946","zone":"b","state":"running","seconds":1,"bytes_total":1,
       "bytes_by_source":{}}],
      "left_out":[{"endpoint":"10.0.0.7:7946","zone":"b","why":"silent: refused"}]})");
  EXPECT_EQ(preheat_text("app:v1", job),
            "app:v1 is on 2 of 4 nodes\n"
            "10.0.0.3:7946  zone a  done in 4.1 s: peer 37.0 MB, registry 13.0 MB\n"
            "10.0.0.4:7946  done in 0.1 s: all 50.0 MB were there\n"
            "10.0.0.5:7946  zone b  failed: busy\n"
            "10.0.0.6:7946  zone b  running\n"
            "not asked: 10.0.0.7:7946  silent: refused\n");
  EXPECT_EQ(nodes_text(job), ", 2 of 4 nodes done, 1 failed");
  EXPECT_EQ(nodes_text({{"state", "running"}}), "");
}

TEST(Print, lists_peers) {
  const auto peers = nlohmann::json::parse(R"([
      {"endpoint":"10.0.0.3:7946","node_id":"3fa4c0ffee3fa4c0ffee","zone":"a","state":"ok",
       "first_byte_ms":1.25,"p95_ms":4.0,"bytes_per_second":112e6,"bytes_given":1000,"in_flight":2},
      {"endpoint":"10.0.0.4:7946","node_id":"","zone":"","state":"silent","silent_seconds":12.4,
       "reason":"connection refused","bytes_given":0,"in_flight":0},
      {"endpoint":"10.0.0.6:7946","node_id":"","zone":"","state":"silent","silent_seconds":0.0,
       "reason":"connection refused","bytes_given":0,"in_flight":0},
      {"endpoint":"10.0.0.5:7946","node_id":"b","zone":"","state":"banned","reason":"wrong bytes",
       "bytes_given":0,"in_flight":0}])");
  EXPECT_EQ(peers_text(peers),
            "10.0.0.3:7946  node 3fa4c0ffee3f  zone a  ok\n"
            "  first byte 1.2 ms (p95 4.0 ms), 112 MB/s, 1.0 kB given, 2 in flight\n"
            "10.0.0.4:7946  not met yet  silent for 12.4 s more: connection refused\n"
            "  0 B given, 0 in flight\n"
            "10.0.0.6:7946  not met yet  silent: connection refused\n"
            "  0 B given, 0 in flight\n"
            "10.0.0.5:7946  node b  banned: wrong bytes\n  0 B given, 0 in flight\n");
  EXPECT_EQ(peers_text(nlohmann::json::array()),
            "no peers are known (see [cluster] in swarmfs.toml)\n");
}

nlohmann::json layer_in_swarm(const std::string& digit, uint64_t bytes, uint64_t copies) {
  return {{"digest", "sha256:" + std::string(64, digit[0])},
          {"size", 1000},
          {"bytes", bytes},
          {"members", nlohmann::json::array()},
          {"rarest_copies", copies},
          {"received_per_second", 0.0},
          {"given_per_second", 0.0},
          {"bulk_peers", nullptr}};
}

TEST(Print, shows_who_has_what_of_layers) {
  auto coming = layer_in_swarm("a", 999, 1);
  coming["members"] = nlohmann::json::parse(R"([
      {"endpoint":"10.0.0.3:7946","node_id":"3fa4c0ffee3fa4c0ffee","zone":"z","bytes":1000},
      {"endpoint":"10.0.0.4:7946","node_id":"b","zone":"","bytes":7,"wants":true}])");
  coming["received_per_second"] = 11.4e6;
  coming["given_per_second"] = 2e3;
  coming["bulk_peers"] = 2;
  const nlohmann::json swarms = {
      {"peers", 9}, {"answered", 2}, {"layers", {coming, layer_in_swarm("b", 1000, 3)}}};
  const std::string head =
      "swarms    2 layers; 2 of 9 peers answered\n"
      "  layer                    size   here         members  copies     received        given  "
      "BitTorrent\n"
      "  sha256:aaaaaaaaaaaa    1.0 kB   99 %     2 (1 whole)       1    11.4 MB/s     2.0 kB/s  "
      "2 peers\n";
  const std::string last =
      "  sha256:bbbbbbbbbbbb    1.0 kB  100 %     0 (0 whole)       3        0 B/s        0 B/s  "
      "-\n";
  EXPECT_EQ(swarms_text(swarms, false), head + last);
  EXPECT_EQ(swarms_text(swarms, true), head +
                                           "    10.0.0.3:7946  node 3fa4c0ffee3f  zone z  100 %\n"
                                           "    10.0.0.4:7946  node b  0 %, comes in\n" +
                                           last);
  EXPECT_EQ(swarms_text({{"layers", nlohmann::json::array()}}, true), "") << "no cluster";
  EXPECT_EQ(swarms_text({{"error", "it timed out"}}, false), "swarms    not known: it timed out\n");
}

TEST(Print, of_many_layers_shows_those_to_care_about) {
  nlohmann::json swarms = {{"peers", 3}, {"answered", 3}, {"layers", nlohmann::json::array()}};
  for (int i = 0; i < 50; ++i)
    swarms["layers"].push_back(layer_in_swarm("a", 1000, i < 30 ? 2 : 3));
  const auto lines = [&](bool verbose) {
    const auto text = swarms_text(swarms, verbose);
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines(false), 2 + 20 + 1);
  EXPECT_EQ(lines(true), 2 + 50);
  const std::string end =
      "  and 30 more, all of them whole here, at least 2 copies of each (all: "
      "swarmfs status -v)\n";
  const auto text = swarms_text(swarms, false);
  EXPECT_EQ(text.substr(text.size() - std::min(text.size(), end.size())), end);
  swarms["layers"][49]["bytes"] = 5;
  EXPECT_NE(swarms_text(swarms, false).find("  and 30 more, at least 2 copies"), std::string::npos);
}

TEST(Print, shows_what_the_disk_of_the_cache_refuses) {
  auto status = nlohmann::json::parse(R"({"version":"1","uptime_seconds":5,"mount_point":"/m",
      "cache":{"bytes":0,"quota":100,"evicted":0,"layers":0,"trouble":null},"bytes_by_source":{},
      "mounts":[],"cluster":null})");
  EXPECT_EQ(status_text(status).find("warning"), std::string::npos);
  status["cache"]["trouble"] = "the disk is full; free space";
  EXPECT_NE(status_text(status).find(
                "0 B evicted\n          warning: the disk is full; free space\nread from"),
            std::string::npos)
      << status_text(status);
}

TEST(Print, shows_the_cluster_where_there_is_one) {
  auto status = nlohmann::json::parse(R"({"version":"1","uptime_seconds":5,"mount_point":"/m",
      "cache":{"bytes":0,"quota":100,"evicted":0,"layers":0},"bytes_by_source":{},"mounts":[],
      "cluster":null})");
  EXPECT_EQ(status_text(status).find("cluster"), std::string::npos);
  status["cluster"] = nlohmann::json::parse(R"({"node_id":"3fa4c0ffee3fa4","zone":"a",
      "listen":["10.0.0.1:7946","[fd00::1]:7946"],"peers":3,"dht_nodes":12})");
  EXPECT_NE(status_text(status).find("cluster   node 3fa4c0ffee3f, zone a, 3 peers, 12 DHT nodes, "
                                     "listens on 10.0.0.1:7946, [fd00::1]:7946\n"),
            std::string::npos);
}

}  // namespace
}  // namespace swarmfs::cli
