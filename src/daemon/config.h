// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "registry/budget.h"
#include "util/error.h"
#include "util/log.h"

namespace swarmfs::daemon {

/// A configuration that cannot be used. The message starts with "FILE:LINE: ".
class BadConfig : public util::Error {
 public:
  using util::Error::Error;
};

/// A path of the file, and the line that names it, for messages.
struct NamedPath {
  enum class Kind { file, directory };
  std::filesystem::path path;
  unsigned line = 0;
  Kind kind = Kind::file;
};

/// [[registry]]: how one registry is reached.
struct RegistrySection {
  std::string host;
  std::vector<std::string> mirrors;
  std::optional<bool> plain_http;  ///< unset: on loopback only
  std::filesystem::path ca_file, cert_file, key_file;
  std::string username;
  std::filesystem::path password_file;
  registry::Limits node = registry::kNodeLimits;        ///< max_…
  registry::Limits cluster = registry::kClusterLimits;  ///< cluster_max_…
};

/// [cluster] provisional: from whom bytes may come that no hash tree covers yet.
enum class Provisional {
  cluster,        ///< the registry, and members of the cluster
  registry_only,  ///< never from a member
};

/// [cluster]: who this node is for its peers, and where it meets them. Addresses are
/// "10.0.0.3:7946", "[fd00::1]:7946" or "name:7946", always with a port.
struct ClusterSection {
  std::filesystem::path token_file;                    ///< or else these three:
  std::filesystem::path ca_file, cert_file, key_file;  ///< all or none
  std::vector<std::string> listen;                     ///< addresses of this node; empty: no peers
  std::vector<std::string> peers;                      ///< always asked
  std::vector<std::string> dns;  ///< each stands for all addresses that it resolves to
  bool dht = false;              ///< unset: where listen is set
  std::string zone;              ///< up to 63 of [A-Za-z0-9._-]
  uint64_t cross_zone_rate = 0;  ///< bytes per second; 0: no limit
  Provisional provisional = Provisional::cluster;
  unsigned max_peer_requests = 256;     ///< that are answered at once
  std::vector<std::string> preheat;     ///< registries from which members may order what we pull
  unsigned bulk_port = 0;               ///< of the BitTorrent exchange; 0: none
  uint64_t bulk_upload = 0;             ///< bytes per second of bulk, on both lanes; 0: no limit
  uint64_t bulk_upload_per_peer = 0;    ///< of this, to each peer; likewise
  uint64_t bulk_download = 0;           ///< as bulk_upload
  uint64_t bulk_download_per_peer = 0;  ///< of this, from each peer; likewise
  unsigned identity_line = 0;           ///< where the file names the identity, for messages

  [[nodiscard]] bool has_identity() const { return !token_file.empty() || !ca_file.empty(); }
};

/// [containerd]: whose layers are handed over to the swarm.
struct ContainerdSection {
  std::filesystem::path address;        ///< of its socket; empty: none
  std::vector<std::string> namespaces;  ///< containerd's; empty: all
  std::filesystem::path content;        ///< of its content store; empty: it says it
  bool copy = false;                    ///< where file systems cannot share blocks
};

/// What /etc/swarmfs/swarmfs.toml says. Every key has a default; an unknown key is an error.
struct Config {
  std::filesystem::path cache_directory = "/var/lib/swarmfs";
  uint64_t cache_quota = 20'000'000'000;
  double cache_high_watermark = 0.95;
  double cache_low_watermark = 0.85;
  std::filesystem::path mount_point = "/run/swarmfs/fs";
  std::chrono::milliseconds fault_timeout{30'000};
  std::filesystem::path control_socket = "/run/swarmfs/control.sock";
  std::string
      metrics_address;        ///< "127.0.0.1:9753", "[::1]:9753"; empty: on the control socket only
  std::string mirror_listen;  ///< on loopback, "127.0.0.1:9755"; empty: no mirror
  bool mirror_stale_tags = true;  ///< see mirror::MirrorOptions
  bool mirror_borrow_credentials = true;
  util::log::Level log_level = util::log::Level::info;
  bool backfill = true;
  uint64_t backfill_rate = 0;       ///< bytes per second, from anywhere; 0: no limit
  uint64_t span_cache = 128 << 20;  ///< bytes of inflated spans kept in memory
  std::vector<std::filesystem::path> credential_files;
  std::vector<RegistrySection> registries;
  ClusterSection cluster;
  ContainerdSection containerd;
  std::vector<NamedPath> named;  ///< files to be read and directories to be made or used
};

/// Pure. `file` is used in messages only. Throws BadConfig.
Config parse_config(std::string_view text, const std::string& file);

/// Reads and parses, and looks at what the file names: the cluster's identity is usable, files can
/// be read, directories be made. A missing file is an error unless `optional`. Throws BadConfig,
/// SysError.
Config load_config(const std::filesystem::path& file, bool optional);

}  // namespace swarmfs::daemon
