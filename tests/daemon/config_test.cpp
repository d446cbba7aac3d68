// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/config.h"

#include <gtest/gtest.h>

#include "cluster/token.h"
#include "support/temporary_directory.h"
#include "util/file.h"

namespace swarmfs::daemon {
namespace {

TEST(Config, an_empty_file_is_all_defaults) {
  const Config config = parse_config("", "x.toml");
  EXPECT_EQ(config.cache_directory, "/var/lib/swarmfs");
  EXPECT_EQ(config.fault_timeout, std::chrono::seconds(30));
  EXPECT_TRUE(config.backfill);
}

TEST(Config, every_key_arrives) {
  const Config config = parse_config(R"([cache]
directory = "/c"
quota = "1GiB"
high_watermark = 0.9
low_watermark = 0.5
[mount]
point = "/m"
fault_timeout = "500ms"
[control]
socket = "/s"
[metrics]
address = "127.0.0.1:1"
[mirror]
listen = "127.0.0.1:9755"
stale_tags = false
borrow_credentials = false
[containerd]
address = "/run/containerd/containerd.sock"
namespaces = ["k8s.io", "moby"]
content = "/var/lib/containerd/store"
copy = true
[log]
level = "debug"
[fetch]
backfill = false
backfill_rate = "20MB"
span_cache = "64MiB"
[credentials]
files = ["/a", "/b"]
[[registry]]
host = "r:5000"
mirrors = ["m1"]
plain_http = true
username = "u"
password_file = "/p"
max_connections = 3
max_requests_per_second = 50
max_bytes_per_second = "30MB"
cluster_max_connections = 40
cluster_max_requests_per_second = 2.5
cluster_max_bytes_per_second = 100000000
)",
                                     "x.toml");
  EXPECT_EQ(config.cache_quota, 1ull << 30);
  EXPECT_EQ(config.mount_point, "/m");
  EXPECT_EQ(config.fault_timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(config.log_level, util::log::Level::debug);
  EXPECT_EQ(config.span_cache, 64u << 20);
  EXPECT_EQ(config.mirror_listen, "127.0.0.1:9755");
  EXPECT_FALSE(config.mirror_stale_tags);
  EXPECT_FALSE(config.mirror_borrow_credentials);
  EXPECT_EQ(config.containerd.address, "/run/containerd/containerd.sock");
  EXPECT_EQ(config.containerd.namespaces, (std::vector<std::string>{"k8s.io", "moby"}));
  EXPECT_EQ(config.containerd.content, "/var/lib/containerd/store");
  EXPECT_TRUE(config.containerd.copy);
  EXPECT_FALSE(config.backfill);
  EXPECT_EQ(config.backfill_rate, 20'000'000u);
  ASSERT_EQ(config.credential_files.size(), 2u);
  ASSERT_EQ(config.registries.size(), 1u);
  EXPECT_EQ(config.registries[0].host, "r:5000");
  EXPECT_EQ(config.registries[0].mirrors, std::vector<std::string>{"m1"});
  EXPECT_EQ(config.registries[0].plain_http, true);
  EXPECT_EQ(config.registries[0].node.connections, 3u);
  EXPECT_EQ(config.registries[0].node.requests_per_second, 50);
  EXPECT_EQ(config.registries[0].node.bytes_per_second, 30e6);
  EXPECT_EQ(config.registries[0].cluster.connections, 40u);
  EXPECT_EQ(config.registries[0].cluster.requests_per_second, 2.5);
  EXPECT_EQ(config.registries[0].cluster.bytes_per_second, 100'000'000);
}

TEST(Config, containerd_is_left_alone_unless_it_is_named) {
  for (const char* text : {"", "[containerd]\naddress = \"\"\ncontent = \"\"\nnamespaces = []"}) {
    const auto section = parse_config(text, "x.toml").containerd;
    EXPECT_TRUE(section.address.empty() && section.content.empty());
    EXPECT_TRUE(section.namespaces.empty());
    EXPECT_FALSE(section.copy);
  }
  const std::string longest = "/" + std::string(106, 'x');
  EXPECT_EQ(parse_config("[containerd]\naddress = \"" + longest + "\"", "x").containerd.address,
            longest);
  EXPECT_THROW(parse_config("[containerd]\naddress = \"" + longest + "x\"", "x"), BadConfig);
}

TEST(Config, the_mirror_is_for_this_machine_alone) {
  EXPECT_EQ(parse_config("", "x.toml").mirror_listen, "");
  EXPECT_EQ(parse_config("[mirror]\nlisten = \"[::1]:9755\"", "x.toml").mirror_listen,
            "[::1]:9755");
  for (const char* address : {"0.0.0.0:9755", "10.0.0.3:9755", "[::]:9755", "[fd00::1]:9755"}) try {
      parse_config(std::string("[mirror]\nlisten = \"") + address + "\"", "x.toml");
      ADD_FAILURE() << address;
    } catch (const BadConfig& error) {
      EXPECT_NE(std::string(error.what()).find("loopback only"), std::string::npos) << error.what();
    }
  for (const char* address : {"127.0.0.1", "127.0.0.1:0", "localhost:9755", "x"})
    EXPECT_THROW(parse_config(std::string("[mirror]\nlisten = \"") + address + "\"", "x.toml"),
                 BadConfig)
        << address;
}

TEST(Config, a_cluster_is_known_by_every_key) {
  const ClusterSection cluster = parse_config(R"([cluster]
token_file = "/t"
listen = ["10.0.0.3:1000", "[::1]"]
peers = ["node-4", "10.0.0.5:7", "[fd00::6]:8"]
dns = ["swarmfs.kube-system.svc"]
dht = false
zone = "eu-1a"
cross_zone_rate = "100MB"
provisional = "registry-only"
max_peer_requests = 5
preheat = ["reg.example.com:5000", "docker.io"]
bulk_port = 7950
[bulk]
upload = "50MB"
upload_per_peer = "5MB"
download = 7
download_per_peer = 3
)",
                                              "x.toml")
                                     .cluster;
  using Texts = std::vector<std::string>;
  EXPECT_EQ(cluster.token_file, "/t");
  EXPECT_EQ(cluster.listen, (Texts{"10.0.0.3:1000", "[::1]:7946"}));
  EXPECT_EQ(cluster.peers, (Texts{"node-4:7946", "10.0.0.5:7", "[fd00::6]:8"}));
  EXPECT_EQ(cluster.dns, Texts{"swarmfs.kube-system.svc:7946"});
  EXPECT_FALSE(cluster.dht);
  EXPECT_EQ(cluster.zone, "eu-1a");
  EXPECT_EQ(cluster.cross_zone_rate, 100'000'000u);
  EXPECT_EQ(cluster.provisional, Provisional::registry_only);
  EXPECT_EQ(cluster.max_peer_requests, 5u);
  EXPECT_EQ(cluster.preheat, (Texts{"reg.example.com:5000", "docker.io"}));
  EXPECT_EQ(cluster.bulk_port, 7950u);
  EXPECT_EQ(cluster.bulk_upload, 50'000'000u);
  EXPECT_EQ(cluster.bulk_upload_per_peer, 5'000'000u);
  EXPECT_EQ(cluster.bulk_download, 7u);
  EXPECT_EQ(cluster.bulk_download_per_peer, 3u);
}

TEST(Config, without_a_cluster_there_are_no_peers) {
  for (const char* text : {"", "[cluster]\n", "[cluster]\ntoken_file = \"/t\"\n"}) {
    const ClusterSection cluster = parse_config(text, "x.toml").cluster;
    EXPECT_TRUE(cluster.listen.empty());
    EXPECT_FALSE(cluster.dht);
    EXPECT_EQ(cluster.provisional, Provisional::cluster);
    EXPECT_EQ(cluster.max_peer_requests, 256u);
    EXPECT_TRUE(cluster.preheat.empty());
    EXPECT_EQ(cluster.bulk_port, 0u);
  }
}

TEST(Config, the_dht_follows_listen) {
  const ClusterSection cluster =
      parse_config(
          "[cluster]\nca_file=\"/a\"\ncert_file=\"/b\"\nkey_file=\"/c\"\n"
          "listen=[\"10.0.0.3:1000\"]\n",
          "x.toml")
          .cluster;
  EXPECT_TRUE(cluster.has_identity());
  EXPECT_TRUE(cluster.dht);
}

struct Refused {
  const char* text;
  const char* message;
};

TEST(Config, errors_name_the_line_and_the_reason) {
  const Refused table[] = {
      {"[cache]\nquotta = 3\n", "x.toml:2: unknown key 'quotta' in [cache]"},
      {"[cahce]\n", "x.toml:1: unknown key 'cahce' in the file"},
      {"\n[cache]\nquota = \"much\"\n", "x.toml:3: expected a size"},
      {"[mount]\npoint = \"relative\"\n", "x.toml:2: 'relative' is not an absolute path"},
      {"[mount]\nfault_timeout = \"30\"\n", "x.toml:2: expected a time"},
      {"[log]\nlevel = \"loud\"\n", "x.toml:2: expected debug"},
      {"[containerd]\naddress = \"containerd.sock\"\n", "x.toml:2: 'containerd.sock' is not"},
      {"[containerd]\naddress = 7\n", "x.toml:2: expected a string"},
      {"[containerd]\n\nnamespaces = [\"a\", \"\"]\n", "x.toml:3: a namespace"},
      {"[containerd]\ncopy = \"yes\"\n", "x.toml:2: expected true or false"},
      {"[cache\n", "x.toml:1: "},
      {"[[registry]]\nplain_http = true\n", "needs host"},
      {"[[registry]]\nhost=\"a\"\nusername=\"u\"\n", "username and password_file go together"},
      {"[registry]\nhost=\"a\"\n", "two brackets"},
      {"[cache]\nquota = 5\n", "at least 64MiB"},
      {"[cache]\nlow_watermark = 0.99\n", "below high_watermark"},
      {"[cluster]\nlisten = [\"10.0.0.3\"]\n",
       "x.toml:2: listen needs an identity: set token_file"},
      {"[cluster]\ntoken_file=\"/t\"\nlisten = [\"0.0.0.0:7946\"]\n",
       "x.toml:3: listen: '0.0.0.0:7946' is"},
      {"[cluster]\ntoken_file=\"/t\"\nlisten = [\"[::]\"]\n", "every address"},
      {"[cluster]\ntoken_file=\"/t\"\nlisten = [\"node-3\"]\n", "'node-3:7946' is a name"},
      {"[cluster]\ntoken_file=\"/t\"\nlisten = [\"::1\"]\n", "'::1' is not like"},
      {"[cluster]\npeers = [\"a:0\"]\n", "x.toml:2: 'a:0' is not like"},
      {"[cluster]\npeers = [\"a:65536\"]\n", "is not like"},
      {"[cluster]\npeers = [\"a:1x\"]\n", "is not like"},
      {"[cluster]\npeers = [\"[10.0.0.3]:1\"]\n", "is not like"},
      {"[cluster]\npeers = [\"[fd00::1\"]\n", "is not like"},
      {"[cluster]\npeers = [\"[fd00::1]7\"]\n", "is not like"},
      {"[cluster]\npeers = [\"http://a\"]\n", "is not like"},
      {"[cluster]\npeers = [\"\"]\n", "is not like"},
      {"[cluster]\n\npeers = [\"a\"]\n", "x.toml:3: peers does nothing without listen"},
      {"[cluster]\ndns = [\"a\"]\n", "x.toml:2: dns does nothing without listen"},
      {"[cluster]\nbulk_port = 7950\n", "x.toml:2: bulk_port does nothing without listen"},
      {"[cluster]\ntoken_file=\"/t\"\nlisten = [\"10.0.0.3:7946\"]\nbulk_port = 7946\n",
       "x.toml:4: bulk_port: 7946 is taken"},
      {"[cluster]\ntoken_file=\"/t\"\nlisten = [\"10.0.0.3:7946\"]\nbulk_port = 7947\n",
       "x.toml:4: bulk_port: 7947 is taken"},
      {"[cluster]\nbulk_port = 65536\n", "x.toml:2: "},
      {"[cluster]\ndht = true\n", "x.toml:2: dht does nothing without listen"},
      {"[cluster]\ntoken_file = \"t\"\n", "x.toml:2: 't' is not an absolute path"},
      {"[cluster]\ncert_file=\"/c\"\ntoken_file=\"/t\"\n", "x.toml:3: either token_file or"},
      {"[cluster]\nzone=\"a\"\ncert_file = \"/c\"\n",
       "x.toml:3: ca_file, cert_file and key_file go"},
      {"[cluster]\nkey_file = \"/c\"\n", "x.toml:2: ca_file, cert_file and key_file go"},
      {"[cluster]\nzone = \"a b\"\n", "x.toml:2: a zone is up to 63"},
      {"[cluster]\ncross_zone_rate = \"fast\"\n", "x.toml:2: expected a size"},
      {"[cluster]\nprovisional = true\n", "x.toml:2: expected \"cluster\" or \"registry-only\""},
      {"[cluster]\nmax_peer_requests = 0\n", "x.toml:2: expected a number from 1"},
      {"[cluster]\nsecret = \"x\"\n", "x.toml:2: unknown key 'secret' in [cluster]"},
      {"cluster = 3\n", "[cluster] must be a table"},
      {"[metrics]\naddress = \"9753\"\n", "x.toml:2: '9753' is not like"},
      {"[metrics]\naddress = \"127.0.0.1\"\n", "x.toml:2: '127.0.0.1' is not like"},
      {"[metrics]\naddress = \"127.0.0.1:0\"\n", "is not like"},
      {"[metrics]\naddress = \"127.0.0.1:65536\"\n", "is not like"},
      {"[metrics]\naddress = \"localhost:9753\"\n", "is not like"},
      {"[metrics]\naddress = \"::1:9753\"\n", "is not like"},
      {"[[registry]]\nhost = \"https://a\"\n", "x.toml:2: 'https://a' is not a registry's host"},
      {"[[registry]]\nhost = \"a/b\"\n", "x.toml:2: 'a/b' is not a registry's host"},
      {"[[registry]]\nhost = \"a:port\"\n", "x.toml:2: 'a:port' is not a registry's host"},
      {"[[registry]]\nhost = \"a b\"\n", "is not a registry's host"},
      {"[[registry]]\nhost = \"\"\n", "is not a registry's host"},
      {"[[registry]]\nhost = \"a\"\nmirrors = [\"b\",\n\"ftp://c\"]\n",
       "x.toml:4: 'ftp://c' is not a mirror"},
      {"[[registry]]\nhost = \"a\"\nmirrors = [\"https:///x\"]\n", "is not a mirror"},
      {"[[registry]]\nhost = \"a\"\nmirrors = [\"b:0/x\"]\n", "is not a mirror"},
      {"[[registry]]\nhost = \"a\"\nmirrors = [\"b/x?y\"]\n", "is not a mirror"},
      {"[[registry]]\nhost = \"a\"\n[[registry]]\nhost = \"a\"\n",
       "x.toml:3: registry 'a' is there twice"},
  };
  for (const auto& row : table) {
    try {
      parse_config(row.text, "x.toml");
      ADD_FAILURE() << "accepted: " << row.text;
    } catch (const BadConfig& bad) {
      EXPECT_NE(std::string(bad.what()).find(row.message), std::string::npos) << bad.what();
    }
  }
}

TEST(Config, addresses_and_mirrors_of_every_kind) {
  for (const char* address : {"", "0.0.0.0:1", "[::1]:9753", "[::]:65535"})
    EXPECT_EQ(parse_config(std::string("[metrics]\naddress = \"") + address + "\"\n", "x.toml")
                  .metrics_address,
              address);
  const auto config = parse_config(R"([[registry]]
host = "[fd00::1]:5000"
mirrors = ["b", "10.0.0.2:5000", "[::1]:5", "http://c:1", "https://d.example.com/hub/x/", "e/v2/p"]
)",
                                   "x.toml");
  EXPECT_EQ(config.registries[0].mirrors.size(), 6u);
}

TEST(Config, paths_that_cannot_be_used_are_named) {
  const support::TemporaryDirectory folder;
  const std::string here = folder.path().string();
  util::write_file_durably(here + "/file", util::as_bytes("secret\n"), 0600);
  std::filesystem::create_directory(here + "/folder");
  const std::string registry = "[[registry]]\nhost = \"a\"\n";
  const std::pair<std::string, std::string> table[] = {
      {"[cache]\ndirectory = \"HERE/file/x/y\"\n", "2: HERE/file/x/y cannot be a directory: "},
      {"[cache]\ndirectory = \"HERE/file\"\n", "2: HERE/file cannot be a directory: "},
      {"\n[mount]\npoint = \"HERE/file/x\"\n", "3: HERE/file/x cannot be a directory: "},
      {registry + "ca_file = \"HERE/none\"\n", "3: HERE/none cannot be read: No such file"},
      {registry + "ca_file = \"HERE/folder\"\n", "3: HERE/folder cannot be read: Is a directory"},
      {registry + "username = \"u\"\npassword_file = \"HERE/none\"\n",
       "4: HERE/none cannot be read"},
      {registry + "cert_file = \"HERE/file\"\nkey_file = \"HERE/none\"\n",
       "4: HERE/none cannot be"},
      {registry + "username = \"u\"\npassword_file = \"HERE/file\"\n", ""},
      {"[cache]\ndirectory = \"HERE/folder/new/one\"\n[mount]\npoint = \"HERE/folder\"\n", ""},
  };
  const auto with_folder = [&](std::string text) {
    for (size_t at = text.find("HERE"); at != std::string::npos; at = text.find("HERE"))
      text.replace(at, 4, here);
    return text;
  };
  for (const auto& [text, message] : table) {
    util::write_file_durably(here + "/c.toml", util::as_bytes(with_folder(text)));
    std::string said;
    try {
      load_config(here + "/c.toml", false);
    } catch (const BadConfig& bad) {
      said = bad.what();
    }
    const auto wanted = message.empty() ? "" : here + "/c.toml:" + with_folder(message);
    EXPECT_EQ(said.substr(0, wanted.size()), wanted) << text << said;
    EXPECT_EQ(said.empty(), message.empty()) << text << said;
  }
}

/// What load_config() says of a file that names /…/token.
std::string load_refusal(const std::string& token) {
  const support::TemporaryDirectory folder;
  const auto config = folder.path() / "c.toml", file = folder.path() / "token";
  util::write_file_durably(
      config, util::as_bytes("[cluster]\nzone = \"a\"\ntoken_file = \"" + file.string() + "\"\n"));
  if (!token.empty()) util::write_file_durably(file, util::as_bytes(token), 0600);
  try {
    load_config(config, false);
    return "";
  } catch (const BadConfig& bad) {
    return std::string(bad.what()).substr(folder.path().string().size() + 1);
  }
}

TEST(Config, a_token_file_of_no_use_is_named) {
  EXPECT_EQ(load_refusal(cluster::Token::make().text()), "");
  EXPECT_TRUE(load_refusal("").starts_with("c.toml:3: [cluster] /var/tmp/"));
  EXPECT_NE(load_refusal("").find("/token does not exist"), std::string::npos);
  EXPECT_NE(load_refusal("secret\n").find("/token:1: not a token"), std::string::npos);
}

}  // namespace
}  // namespace swarmfs::daemon
