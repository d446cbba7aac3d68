// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/doctor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>

#include "cli/configure.h"
#include "cli/finding.h"
#include "cli/node_checks.h"
#include "cli/node_files.h"
#include "cli/node_probe.h"
#include "oci/reference.h"
#include "util/error.h"
#include "util/file.h"

namespace swarmfs::cli {

using nlohmann::json;

namespace {

/// The mount of the smallest image, or of `reference`; null: none.
json mount_at_hand(const json& status, const std::string& reference) {
  json found;
  for (const auto& mount : status.value("mounts", json::array())) {
    if (!reference.empty() && mount.value("reference", "") != reference) continue;
    if (found.is_null() ||
        mount.value("bytes_total", uint64_t{0}) < found.value("bytes_total", uint64_t{0}))
      found = mount;
  }
  return found;
}

/// As the daemon writes it.
std::string canonical(const std::string& text) {
  const auto reference = oci::Reference::parse(text);
  return reference ? reference->to_string() : text;
}

/// One examination of a node.
class Examination {
 public:
  /// `tell` is called for what was found as it is found.
  Examination(const DoctorOptions& options, std::function<void(const Findings&)> tell)
      : options_(options), tell_(std::move(tell)) {}

  Findings findings() {
    if (::geteuid() != 0)
      add({warned("user", "not root: what doctor may not see it takes for broken",
                  "sudo swarmfs doctor")});
    look("configuration", &Examination::read_configuration);
    look("daemon", &Examination::look_at_daemon);
    look("fuse", &Examination::look_at_fuse);
    look("cache", &Examination::look_at_cache);
    look("cluster", &Examination::look_at_cluster);
    look("registries", &Examination::look_at_registries);
    look("mirror", &Examination::look_at_mirror);
    look("hand-over", &Examination::look_at_hand_over);
    look("runtimes", &Examination::look_at_runtimes_here);
    look("image", &Examination::look_at_image);
    return std::move(all_);
  }

 private:
  /// Whatever goes wrong in one check, the others are made.
  void look(const char* what, void (Examination::*check)()) {
    try {
      (this->*check)();
    } catch (const std::exception& error) {
      add({failed(what, fmt::format("not looked at to the end: {}", error.what()),
                  "what answers there is not what doctor expects")});
    }
  }

  void add(Findings found) {
    if (tell_) tell_(found);
    for (auto& one : found) all_.push_back(std::move(one));
  }

  void read_configuration() {
    const std::string& file = options_.config;
    try {
      const auto text = util::read_text(file);
      if (text) settings_ = parse_settings(*text, file);
      add({well("configuration", file + (text ? " can be read" : " is absent: defaults"))});
    } catch (const util::Error& error) {
      add({failed("configuration", error.what(),
                  "correct it (swarmfsd --check); defaults are looked at here")});
    }
  }

  void look_at_daemon() {
    daemon_ = probe_daemon(options_.socket.empty() ? settings_.control_socket : options_.socket,
                           options_.patience);
    if (daemon_.answers()) status_ = *daemon_.status;
    add(check_daemon(daemon_));
    mount_ = mount_at_hand(status_, canonical(options_.reference));
  }

  void look_at_fuse() {
    auto fuse =
        probe_fuse(status_.value("mount_point", settings_.mount_point.string()), options_.patience);
    fuse.daemon_answers = daemon_.answers();
    add(check_fuse(fuse));
  }

  void look_at_cache() {
    auto cache = probe_cache(settings_.cache_directory, options_.patience);
    cache.daemon_answers = daemon_.answers();
    const json of_daemon = status_.value("cache", json::object());
    cache.quota = of_daemon.value("quota", settings_.cache_quota);
    cache.used = of_daemon.value("bytes", uint64_t{0});
    if (const auto trouble = of_daemon.find("trouble");
        trouble != of_daemon.end() && trouble->is_string())
      cache.trouble = *trouble;
    add(check_cache(cache));
  }

  void look_at_cluster() {
    std::shared_ptr<const http::TlsMaterial> tls;
    const auto identity = probe_identity(settings_, options_.patience, tls);
    add(check_identity(identity));
    const json cluster = status_.value("cluster", json());
    const std::string of_files = identity ? identity->node_id : "";
    const std::string node_id = cluster.is_object() ? cluster.value("node_id", of_files) : of_files;
    if (!settings_.listen.empty())
      add(check_peers(probe_peers(settings_, daemon_.peers, tls, options_.patience), node_id));
  }

  void look_at_registries() {
    auto registries = settings_.registries;
    const auto reference = oci::Reference::parse(image());
    if (reference && std::none_of(registries.begin(), registries.end(), [&](const auto& one) {
          return one.host == reference->registry;
        })) {
      registries.emplace_back();
      registries.back().host = reference->registry;
    }
    add(check_registries(probe_registries(registries, options_.patience)));
    if (!options_.reference.empty())
      add(check_tag(probe_tag(canonical(options_.reference), registries, options_.patience)));
  }

  void look_at_mirror() {
    auto mirror = probe_mirror(settings_.mirror_listen, options_.patience);
    mirror.daemon_answers = daemon_.answers();
    add(check_mirror(mirror));
  }

  void look_at_hand_over() {
    add(check_hand_over({settings_.containerd_address, settings_.containerd_namespaces,
                         status_.value("containerd", json()), daemon_.answers()}));
  }

  void look_at_runtimes_here() {
    for (const auto& runtime :
         look_at_runtimes(NodeFiles(options_.root), settings_.mirror_listen, options_.root == "/"))
      add(check_runtime(runtime, settings_.mirror_listen.empty()));
  }

  void look_at_image() {
    PullFacts pull;
    pull.reference = image();
    pull.mirror_off = settings_.mirror_listen.empty();
    if (!pull.reference.empty() && !pull.mirror_off && daemon_.answers())
      pull = probe_pull(pull.reference, settings_.mirror_listen, 5 * options_.patience);
    if (daemon_.answers()) add(check_pull(pull));
    add(check_read(probe_read(mount_.is_object() ? mount_.value("directory", "") : "",
                              5 * options_.patience)));
  }

  [[nodiscard]] std::string image() const {
    if (!options_.reference.empty()) return canonical(options_.reference);
    return mount_.is_object() ? mount_.value("reference", "") : "";
  }

  const DoctorOptions& options_;
  const std::function<void(const Findings&)> tell_;
  NodeSettings settings_;
  DaemonFacts daemon_;
  json status_ = json::object();
  json mount_;
  Findings all_;
};

}  // namespace

int doctor(const DoctorOptions& options) {
  const auto print = [](const std::string& out) {
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
  };
  std::function<void(const Findings&)> tell;
  if (!options.json) tell = [&](const Findings& found) { print(findings_text(found)); };
  const auto findings = Examination(options, tell).findings();
  if (options.json)
    print(findings_json(findings).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  return is_healthy(findings) ? 0 : 1;
}

}  // namespace swarmfs::cli
