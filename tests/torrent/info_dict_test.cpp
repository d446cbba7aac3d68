// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/info_dict.h"

#include <gtest/gtest.h>

#include <cstring>
#include <libtorrent/create_torrent.hpp>
#include <libtorrent/torrent_info.hpp>

#include "torrent_fixture.h"

namespace swarmfs::torrent_test {

namespace {

util::Digest v2_hash(const lt::torrent_info& info) {
  std::array<std::byte, 32> bytes{};
  std::memcpy(bytes.data(), info.info_hashes().v2.data(), bytes.size());
  return util::Digest(bytes);
}

lt::torrent_info read_back(const std::string& text) {
  return lt::torrent_info(
      lt::span<const char>(text.data(), static_cast<std::ptrdiff_t>(text.size())), lt::from_span);
}

}  // namespace

TEST(InfoDict, is_these_bytes) {
  chunk::HashTreeBuilder builder;
  builder.feed(util::as_bytes("hello"));
  const auto tree = builder.finish();
  const auto layer = util::Sha256::of(util::as_bytes("hello"));
  const std::string name =
      "71:sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  const std::string root(util::as_text(layer.bytes()));  // of a layer of one block: its hash
  EXPECT_EQ(swarm::info_dict(layer, tree, ""),
            "d9:file treed" + name + "d0:d6:lengthi5e11:pieces root32:" + root +
                "eee12:meta versioni2e4:name" + name + "12:piece lengthi262144ee");
  EXPECT_EQ(swarm::info_dict(layer, tree, "CA"),
            "d9:file treed" + name + "d0:d6:lengthi5e11:pieces root32:" + root +
                "eee12:meta versioni2e4:name" + name + "12:piece lengthi262144e8:ssl-cert2:CAe");
}

TEST(InfoDict, is_what_libtorrent_reads) {
  for (const size_t size : {1u, 16'384u, 16'385u, 262'144u, 262'145u, 1'000'001u}) {
    const Subject subject(size);
    const std::string info = swarm::info_dict(subject.ref.digest, *subject.tree, "");
    const auto torrent = read_back(swarm::metainfo(info, *subject.tree));
    EXPECT_EQ(v2_hash(torrent), swarm::info_hash(info)) << size;
    EXPECT_FALSE(torrent.info_hashes().has_v1());
    EXPECT_EQ(torrent.files().file_size(lt::file_index_t{0}), static_cast<int64_t>(size));
    EXPECT_EQ(torrent.files().file_name(lt::file_index_t{0}).to_string(),
              subject.ref.digest.to_string());
    EXPECT_TRUE(torrent.ssl_cert().empty());
  }
}

TEST(InfoDict, is_what_libtorrent_makes) {
  const Subject subject(1'000'001);
  lt::file_storage files;
  files.add_file(subject.ref.digest.to_string(), 1'000'001);
  lt::create_torrent made(files, 256 * 1024, lt::create_torrent::v2_only);
  const auto layer = subject.tree->piece_layer();
  for (size_t i = 0; i < layer.size(); ++i)
    made.set_hash2(lt::file_index_t{0}, lt::piece_index_t::diff_type(static_cast<int>(i)),
                   lt::sha256_hash(reinterpret_cast<const char*>(layer[i].bytes().data())));
  std::vector<char> text;
  lt::bencode(std::back_inserter(text), made.generate());
  const auto torrent = read_back({text.begin(), text.end()});
  EXPECT_EQ(v2_hash(torrent),
            swarm::info_hash(swarm::info_dict(subject.ref.digest, *subject.tree, "")));
}

TEST(InfoDict, keeps_swarms_of_different_clusters_apart) {
  const Subject subject(300'000);
  const auto with = swarm::info_dict(subject.ref.digest, *subject.tree, "one CA");
  EXPECT_NE(swarm::info_hash(with),
            swarm::info_hash(swarm::info_dict(subject.ref.digest, *subject.tree, "another")));
  EXPECT_EQ(read_back(swarm::metainfo(with, *subject.tree)).ssl_cert().to_string(), "one CA");
}

}  // namespace swarmfs::torrent_test
