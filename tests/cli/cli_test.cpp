// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include "cli/daemon_client.h"
#include "cli/mount_options.h"
#include "cli/print.h"
#include "cli/progress.h"

namespace swarmfs::cli {
namespace {

TEST(MountOptions, of_mount_8_and_fstab) {
  const auto options =
      parse_mount_options("rw,noauto,_netdev,x-systemd.automount,pin,platform=linux/arm64");
  ASSERT_TRUE(options) << options.failure().message;
  EXPECT_TRUE(options->pin);
  EXPECT_EQ(options->platform, "linux/arm64");
  EXPECT_TRUE(parse_mount_options(""));
  const auto bad = parse_mount_options("ro,colour=red");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.failure().message.find("colour=red"), std::string::npos);
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
                                     {"sources", {{"registry", 50}}}}}}});
  EXPECT_EQ(text,
            "r\nmanifest sha256:m\nlayer 0  sha256:d\n  lazy: gzip with an index\n"
            "  present: 50 B of 100 B (50 %)\n  given by: registry 50 B\n");
}

}  // namespace
}  // namespace swarmfs::cli
