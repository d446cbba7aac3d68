// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/doctor.h"

#include <algorithm>
#include <cstdio>

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

void add(Findings& all, Findings more) {
  for (auto& one : more) all.push_back(std::move(one));
}

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
  explicit Examination(const DoctorOptions& options) : options_(options) {}

  Findings findings() {
    read_configuration();
    look_at_daemon();
    look_at_disk();
    look_at_cluster();
    look_at_registries();
    look_at_mirror();
    look_at_image();
    return std::move(all_);
  }

 private:
  void read_configuration() {
    const std::string& file = options_.config;
    try {
      const auto text = util::read_text(file);
      if (text) settings_ = parse_settings(*text, file);
      all_.push_back(
          well("configuration", file + (text ? " can be read" : " is absent: defaults")));
    } catch (const util::Error& error) {
      all_.push_back(failed("configuration", error.what(),
                            "correct it (swarmfsd --check); defaults are looked at here"));
    }
  }

  void look_at_daemon() {
    daemon_ = probe_daemon(options_.socket.empty() ? settings_.control_socket : options_.socket,
                           options_.patience);
    if (daemon_.answers()) status_ = *daemon_.status;
    add(all_, check_daemon(daemon_));
    mount_ = mount_at_hand(status_, canonical(options_.reference));
  }

  void look_at_disk() {
    auto fuse =
        probe_fuse(status_.value("mount_point", settings_.mount_point.string()), options_.patience);
    fuse.daemon_answers = daemon_.answers();
    add(all_, check_fuse(fuse));
    auto cache = probe_cache(settings_.cache_directory, options_.patience);
    cache.daemon_answers = daemon_.answers();
    const json of_daemon = status_.value("cache", json::object());
    cache.quota = of_daemon.value("quota", settings_.cache_quota);
    cache.used = of_daemon.value("bytes", uint64_t{0});
    if (const auto trouble = of_daemon.find("trouble");
        trouble != of_daemon.end() && trouble->is_string())
      cache.trouble = *trouble;
    add(all_, check_cache(cache));
  }

  void look_at_cluster() {
    std::shared_ptr<const http::TlsMaterial> tls;
    add(all_, check_identity(probe_identity(settings_, tls)));
    const json cluster = status_.value("cluster", json());
    const std::string node_id = cluster.is_object() ? cluster.value("node_id", "") : "";
    if (!settings_.listen.empty())
      add(all_,
          check_peers(probe_peers(settings_, daemon_.peers, tls, options_.patience), node_id));
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
    add(all_, check_registries(probe_registries(registries, options_.patience)));
    if (!options_.reference.empty())
      add(all_, check_tag(probe_tag(canonical(options_.reference), registries, options_.patience)));
  }

  void look_at_mirror() {
    auto mirror = probe_mirror(settings_.mirror_listen, options_.patience);
    mirror.daemon_answers = daemon_.answers();
    add(all_, check_mirror(mirror));
    for (const auto& runtime :
         look_at_runtimes(NodeFiles(options_.root), settings_.mirror_listen, options_.root == "/"))
      add(all_, check_runtime(runtime, settings_.mirror_listen.empty()));
  }

  void look_at_image() {
    PullFacts pull;
    pull.reference = image();
    pull.mirror_off = settings_.mirror_listen.empty();
    if (!pull.reference.empty() && !pull.mirror_off && daemon_.answers())
      pull = probe_pull(pull.reference, settings_.mirror_listen, 5 * options_.patience);
    if (daemon_.answers()) add(all_, check_pull(pull));
    add(all_, check_read(probe_read(mount_.is_object() ? mount_.value("directory", "") : "",
                                    5 * options_.patience)));
  }

  [[nodiscard]] std::string image() const {
    if (!options_.reference.empty()) return canonical(options_.reference);
    return mount_.is_object() ? mount_.value("reference", "") : "";
  }

  const DoctorOptions& options_;
  NodeSettings settings_;
  DaemonFacts daemon_;
  json status_ = json::object();
  json mount_;
  Findings all_;
};

}  // namespace

int doctor(const DoctorOptions& options) {
  const auto findings = Examination(options).findings();
  const std::string out =
      options.json
          ? findings_json(findings).dump(2, ' ', false, json::error_handler_t::replace) + "\n"
          : findings_text(findings);
  std::fwrite(out.data(), 1, out.size(), stdout);
  return is_healthy(findings) ? 0 : 1;
}

}  // namespace swarmfs::cli
