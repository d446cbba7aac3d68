// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/config.h"

#include <fcntl.h>

#include <cstring>
#include <set>

#include "cluster/identity.h"
#include "daemon/config_reader.h"
#include "daemon/host_port.h"
#include "util/file.h"
#include "util/unique_fd.h"

namespace swarmfs::daemon {

namespace {

constexpr size_t kLongestSocket = 107;  // unix(7)
constexpr size_t kLongestPath = 4095;

Apply log_level(const Reader& reader, util::log::Level& target) {
  return [&reader, &target](const toml::node& node) {
    using util::log::Level;
    static const std::map<std::string, Level> levels{{"debug", Level::debug},
                                                     {"info", Level::info},
                                                     {"warning", Level::warning},
                                                     {"error", Level::error}};
    const auto level = levels.find(node.value_exact<std::string>().value_or(""));
    if (level == levels.end())
      reader.refuse(node.source().begin, "expected debug, info, warning or error");
    target = level->second;
  };
}

/// An IP address and a port, or empty: nothing listens. `port`: for the example.
std::optional<HostPort> listen_address(const Reader& reader, const toml::node& node,
                                       std::string& target, unsigned port) {
  reader.text(target)(node);
  if (target.empty()) return std::nullopt;
  auto parsed = parse_host_port(target, 0);
  if (!parsed || parsed->port == 0 || ip_version(parsed->host) == 0)
    reader.refuse(
        node.source().begin,
        fmt::format("'{}' is not like \"127.0.0.1:{}\" or \"[::1]:{}\"", target, port, port));
  return parsed;
}

Apply metrics_address(const Reader& reader, std::string& target) {
  return [&reader, &target](const toml::node& node) { listen_address(reader, node, target, 9753); };
}

Apply mirror_listen(const Reader& reader, std::string& target) {
  return [&reader, &target](const toml::node& node) {
    const auto parsed = listen_address(reader, node, target, 9755);
    if (!parsed) return;
    // Whoever reaches it may read what is public, in plain text.
    if (!is_loopback_ip(parsed->host))
      reader.refuse(
          node.source().begin,
          fmt::format("the mirror listens on loopback only (\"127.0.0.1:9755\"): '{}' can "
                      "be reached from elsewhere",
                      target));
  };
}

bool is_host(std::string_view text) {
  return parse_host_port(text, 443).has_value();
}

Apply registry_host(const Reader& reader, std::string& target) {
  return [&reader, &target](const toml::node& node) {
    reader.text(target)(node);
    if (!is_host(target))
      reader.refuse(node.source().begin,
                    fmt::format("'{}' is not a registry's host such as \"registry.example.com\" or "
                                "\"10.0.0.2:5000\" (without scheme and path)",
                                target));
  };
}

/// A path, or empty.
Apply path_or_none(const Reader& reader, std::filesystem::path& target, size_t longest) {
  return [&reader, &target, longest](const toml::node& node) {
    if (node.value_exact<std::string>() != "") reader.path(target)(node);
    if (target.native().size() > longest)
      reader.refuse(node.source().begin, "the path is too long");
  };
}

Apply namespaces(const Reader& reader, std::vector<std::string>& target) {
  return [&reader, &target](const toml::node& node) {
    reader.list(target)(node);
    for (const auto& name : target)
      if (name.empty()) reader.refuse(node.source().begin, "a namespace without a name");
  };
}

/// "mirror.example.com:5000", "https://harbor.example.com/hub"
bool is_mirror(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (text.starts_with(scheme)) {
      text.remove_prefix(scheme.size());
      break;
    }
  const auto host = text.substr(0, text.find('/'));
  return is_host(host) && text.find_first_of(" \t?#") == std::string_view::npos;
}

Apply mirrors(const Reader& reader, std::vector<std::string>& target) {
  return [&reader, &target](const toml::node& node) {
    reader.list(target)(node);
    const auto& array = *node.as_array();
    for (size_t i = 0; i < target.size(); ++i)
      if (!is_mirror(target[i]))
        reader.refuse(array[i].source().begin,
                      fmt::format("'{}' is not a mirror such as \"mirror.example.com:5000\" or "
                                  "\"https://harbor.example.com/hub\"",
                                  target[i]));
  };
}

RegistrySection read_registry(const Reader& reader, const toml::node& node,
                              std::vector<NamedPath>& named) {
  const auto* table = node.as_table();
  if (!table) reader.refuse(node.source().begin, "[[registry]] must be a table");
  RegistrySection made;
  reader.apply(*table, "[[registry]]",
               {{"host", registry_host(reader, made.host)},
                {"mirrors", mirrors(reader, made.mirrors)},
                {"plain_http", reader.choice(made.plain_http)},
                {"ca_file", reader.named(made.ca_file, NamedPath::Kind::file, named)},
                {"cert_file", reader.named(made.cert_file, NamedPath::Kind::file, named)},
                {"key_file", reader.named(made.key_file, NamedPath::Kind::file, named)},
                {"username", reader.text(made.username)},
                {"password_file", reader.named(made.password_file, NamedPath::Kind::file, named)},
                {"max_connections", reader.count(made.node.connections, 1, 256)},
                {"max_requests_per_second", reader.number(made.node.requests_per_second, 100'000)},
                {"max_bytes_per_second", reader.rate(made.node.bytes_per_second)},
                {"cluster_max_connections", reader.count(made.cluster.connections, 0, 100'000)},
                {"cluster_max_requests_per_second",
                 reader.number(made.cluster.requests_per_second, 10'000'000)},
                {"cluster_max_bytes_per_second", reader.rate(made.cluster.bytes_per_second)}});
  const auto where = node.source().begin;
  if (made.host.empty()) reader.refuse(where, "[[registry]] needs host = \"…\"");
  if (made.cert_file.empty() != made.key_file.empty())
    reader.refuse(where, "cert_file and key_file go together");
  if (made.username.empty() != made.password_file.empty())
    reader.refuse(where, "username and password_file go together");
  return made;
}

Apply registries(const Reader& reader, Config& config) {
  return [&reader, &config](const toml::node& node) {
    const auto* array = node.as_array();
    if (!array) reader.refuse(node.source().begin, "write [[registry]] with two brackets");
    std::set<std::string> hosts;
    for (const auto& item : *array) {
      config.registries.push_back(read_registry(reader, item, config.named));
      const auto& host = config.registries.back().host;
      if (!hosts.insert(host).second)
        reader.refuse(item.source().begin, fmt::format("registry '{}' is there twice", host));
    }
  };
}

Keys top_level(const Reader& reader, Config& config) {
  return {
      {"cache", reader.section(
                    "cache", {{"directory", reader.named(config.cache_directory,
                                                         NamedPath::Kind::directory, config.named)},
                              {"quota", reader.bytes(config.cache_quota)},
                              {"high_watermark", reader.fraction(config.cache_high_watermark)},
                              {"low_watermark", reader.fraction(config.cache_low_watermark)}})},
      {"mount",
       reader.section("mount", {{"point", reader.named(config.mount_point,
                                                       NamedPath::Kind::directory, config.named)},
                                {"fault_timeout", reader.duration(config.fault_timeout)}})},
      {"control", reader.section("control", {{"socket", reader.path(config.control_socket)}})},
      {"metrics",
       reader.section("metrics", {{"address", metrics_address(reader, config.metrics_address)}})},
      {"mirror", reader.section("mirror", {{"listen", mirror_listen(reader, config.mirror_listen)},
                                           {"stale_tags", reader.flag(config.mirror_stale_tags)},
                                           {"borrow_credentials",
                                            reader.flag(config.mirror_borrow_credentials)}})},
      {"containerd",
       reader.section("containerd",
                      {{"address", path_or_none(reader, config.containerd.address, kLongestSocket)},
                       {"namespaces", namespaces(reader, config.containerd.namespaces)},
                       {"content", path_or_none(reader, config.containerd.content, kLongestPath)},
                       {"copy", reader.flag(config.containerd.copy)}})},
      {"log", reader.section("log", {{"level", log_level(reader, config.log_level)}})},
      {"fetch", reader.section("fetch", {{"backfill", reader.flag(config.backfill)},
                                         {"backfill_rate", reader.bytes(config.backfill_rate)},
                                         {"span_cache", reader.bytes(config.span_cache)}})},
      {"credentials",
       reader.section("credentials", {{"files", reader.list(config.credential_files)}})},
      {"registry", registries(reader, config)},
      {"cluster", cluster_section(reader, config.cluster)},
      {"bulk",
       reader.section(
           "bulk", {{"upload", reader.bytes(config.cluster.bulk_upload)},
                    {"upload_per_peer", reader.bytes(config.cluster.bulk_upload_per_peer)},
                    {"download", reader.bytes(config.cluster.bulk_download)},
                    {"download_per_peer", reader.bytes(config.cluster.bulk_download_per_peer)}})},
  };
}

toml::table parse_toml(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& bad) {
    throw BadConfig(fmt::format("{}:{}: {}", file, bad.source().begin.line, bad.description()));
  }
}

void check_identity(const ClusterSection& section, const std::string& file) {
  if (!section.has_identity()) return;
  try {
    cluster::check_identity(
        {section.token_file, section.ca_file, section.cert_file, section.key_file, /*node_key=*/{}},
        cluster::wall_now());
  } catch (const util::Error& error) {
    throw BadConfig(fmt::format("{}:{}: [cluster] {}", file, section.identity_line, error.what()));
  }
}

/// Why not; empty: it can.
std::string cannot_be_read(const std::filesystem::path& file) {
  const util::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  char byte = 0;
  return fd && ::read(fd.get(), &byte, 1) >= 0 ? "" : std::strerror(errno);
}

/// Made with its parents, where it is absent.
std::string cannot_be_made(std::filesystem::path directory) {
  std::error_code error;
  while (!std::filesystem::exists(directory, error) && !error) directory = directory.parent_path();
  // The mount of an earlier daemon that died: the next one takes it off.
  if (error == std::errc::not_connected) return "";
  if (!error && std::filesystem::is_directory(directory, error)) return "";
  return error ? error.message() : directory.string() + " is not a directory";
}

void check_named(const std::vector<NamedPath>& named, const std::string& file) {
  for (const auto& [path, line, kind] : named) {
    if (path.empty()) continue;
    const bool is_file = kind == NamedPath::Kind::file;
    const auto why = is_file ? cannot_be_read(path) : cannot_be_made(path);
    if (!why.empty())
      throw BadConfig(fmt::format("{}:{}: {} cannot be {}: {}", file, line, path.string(),
                                  is_file ? "read" : "a directory", why));
  }
}

}  // namespace

Config parse_config(std::string_view text, const std::string& file) {
  const toml::table table = parse_toml(text, file);
  const Reader reader(file);
  Config config;
  reader.apply(table, "the file", top_level(reader, config));
  if (config.cache_low_watermark >= config.cache_high_watermark)
    throw BadConfig(file + ":1: [cache] low_watermark must be below high_watermark");
  if (config.cache_quota < (64 << 20))
    throw BadConfig(file + ":1: [cache] quota must be at least 64MiB");
  return config;
}

Config load_config(const std::filesystem::path& file, bool optional) {
  const auto text = util::read_text(file);
  if (!text && optional) return {};
  if (!text) throw BadConfig(file.string() + ":0: no such file");
  Config config = parse_config(*text, file.string());
  check_named(config.named, file.string());
  check_identity(config.cluster, file.string());
  return config;
}

}  // namespace swarmfs::daemon
