// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/config.h"

#include <gtest/gtest.h>

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
[log]
level = "debug"
[fetch]
backfill = false
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
)",
                                     "x.toml");
  EXPECT_EQ(config.cache_quota, 1ull << 30);
  EXPECT_EQ(config.mount_point, "/m");
  EXPECT_EQ(config.fault_timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(config.log_level, util::log::Level::debug);
  EXPECT_EQ(config.span_cache, 64u << 20);
  EXPECT_FALSE(config.backfill);
  ASSERT_EQ(config.credential_files.size(), 2u);
  ASSERT_EQ(config.registries.size(), 1u);
  EXPECT_EQ(config.registries[0].host, "r:5000");
  EXPECT_EQ(config.registries[0].mirrors, std::vector<std::string>{"m1"});
  EXPECT_EQ(config.registries[0].plain_http, true);
  EXPECT_EQ(config.registries[0].max_connections, 3u);
  EXPECT_EQ(config.registries[0].max_requests_per_second, 50u);
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
      {"[cache\n", "x.toml:1: "},
      {"[[registry]]\nplain_http = true\n", "needs host"},
      {"[[registry]]\nhost=\"a\"\nusername=\"u\"\n", "username and password_file go together"},
      {"[registry]\nhost=\"a\"\n", "two brackets"},
      {"[cache]\nquota = 5\n", "at least 64MiB"},
      {"[cache]\nlow_watermark = 0.99\n", "below high_watermark"},
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

}  // namespace
}  // namespace swarmfs::daemon
