// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/runtime_plan.h"
#include "util/outcome.h"

/// What doctor saw of a node; what it makes of that is in node_checks.h.
namespace swarmfs::cli {

struct DaemonFacts {
  std::string socket;
  /// Of GET /v1/status and GET /v1/peers; or why there is none.
  util::Outcome<nlohmann::json> status = util::Failure{};
  nlohmann::json peers = nlohmann::json::array();
  [[nodiscard]] bool answers() const { return static_cast<bool>(status); }
};

struct FuseFacts {
  int device_error = 0;  ///< errno of opening /dev/fuse
  std::string kernel;    ///< "6.1.0-18-amd64"
  bool root = true;
  std::optional<std::string> fuse_conf;
  std::filesystem::path mount_point;
  enum class Tree { answers, absent, dead, hangs, strange };
  Tree tree = Tree::absent;
  std::string tree_error;
  bool daemon_answers = true;
};

/// Of the cache's directory. The daemon need not run.
struct CacheFacts {
  std::filesystem::path directory;
  bool exists = true;
  std::string refusal;  ///< what cannot be done there; empty: a file was written and read
  std::string slow;     ///< how a sync took too long; empty: it did not
  bool sparse = true;
  bool direct = true;  ///< O_DIRECT
  int io_uring_disabled = 0;
  uint64_t free = 0;  ///< on its file system
  uint64_t quota = 0;
  uint64_t used = 0;    ///< of the quota; 0: the daemon does not say
  std::string trouble;  ///< of the daemon
  bool daemon_answers = true;
};

struct IdentityFacts {
  std::filesystem::path file;    ///< of the token or of the certificate
  std::string error;             ///< empty: it can be used
  bool open_to_others = false;   ///< its secret file
  bool issues_its_own = false;   ///< with a token
  std::string node_id;           ///< empty with a token until the daemon has made its key
  std::chrono::seconds left{0};  ///< until the certificate ends
};

/// Who answered with a certificate of the cluster at an address.
struct PeerProbe {
  std::string address;
  bool ours = false;  ///< an address of this node
  util::Outcome<std::string> node_id = util::Failure{};
  std::string daemon_state;  ///< of GET /v1/peers; empty: it does not know it
  std::string daemon_reason;
  /// It answers nothing else to a node that it has banned.
  bool refuses_us = false;
};

struct RegistryProbe {
  std::string registry;
  std::string place;  ///< the registry itself, or a mirror of it
  util::Outcome<int> status = util::Failure{};
  std::optional<std::chrono::seconds> ahead;  ///< how far our clock is ahead of its
};

/// Whoever has it, mirrors first; else who wants credentials for it; else the registry.
struct TagProbe {
  std::string reference;
  util::Outcome<int> status = util::Failure{};
  std::string digest;
  std::string place;  ///< whose status it is
};

struct MirrorFacts {
  std::string address;  ///< empty: off
  util::Outcome<int> status = util::Failure{};
  bool daemon_answers = true;
};

/// Whether the daemon takes layers over from containerd.
struct HandOverFacts {
  std::string address;                   ///< as configured; empty: it is not to
  std::vector<std::string> name_spaces;  ///< likewise; empty: all
  /// What the daemon says, null where it takes none over: "containerd" of GET /v1/status.
  nlohmann::json report;
  bool daemon_answers = true;
};

struct RuntimeFacts {
  std::string name;
  std::optional<RuntimePlan> plan;  ///< to ask the mirror; empty: see error
  std::vector<std::string> ours;    ///< files where configure has put the mirror
  std::string error;
};

/// An image that was asked for through the mirror and read over the mount.
struct PullFacts {
  std::string reference;  ///< empty: no image is known
  bool mirror_off = false;
  std::string step;  ///< that failed, "its manifest"; empty: none
  int status = 200;  ///< of that step; 0: no answer
  std::string error;
  std::string blob;    ///< the digest of what came
  uint64_t bytes = 0;  ///< that came with it
  double seconds = 0;
};

struct ReadFacts {
  std::string directory;  ///< of a mount; empty: none
  std::string file;       ///< that was read
  uint64_t bytes = 0;
  std::string error;
};

}  // namespace swarmfs::cli
