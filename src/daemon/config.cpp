// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/config.h"

#include "cluster/identity.h"
#include "daemon/config_reader.h"
#include "util/file.h"

namespace swarmfs::daemon {

namespace {

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

RegistrySection read_registry(const Reader& reader, const toml::node& node) {
  const auto* table = node.as_table();
  if (!table) reader.refuse(node.source().begin, "[[registry]] must be a table");
  RegistrySection made;
  reader.apply(
      *table, "[[registry]]",
      {{"host", reader.text(made.host)},
       {"mirrors", reader.list(made.mirrors)},
       {"plain_http", reader.choice(made.plain_http)},
       {"ca_file", reader.path(made.ca_file)},
       {"cert_file", reader.path(made.cert_file)},
       {"key_file", reader.path(made.key_file)},
       {"username", reader.text(made.username)},
       {"password_file", reader.path(made.password_file)},
       {"max_connections", reader.count(made.max_connections, 1, 256)},
       {"max_requests_per_second", reader.count(made.max_requests_per_second, 0, 100'000)}});
  const auto where = node.source().begin;
  if (made.host.empty()) reader.refuse(where, "[[registry]] needs host = \"…\"");
  if (made.cert_file.empty() != made.key_file.empty())
    reader.refuse(where, "cert_file and key_file go together");
  if (made.username.empty() != made.password_file.empty())
    reader.refuse(where, "username and password_file go together");
  return made;
}

Apply registries(const Reader& reader, std::vector<RegistrySection>& target) {
  return [&reader, &target](const toml::node& node) {
    const auto* array = node.as_array();
    if (!array) reader.refuse(node.source().begin, "write [[registry]] with two brackets");
    for (const auto& item : *array) target.push_back(read_registry(reader, item));
  };
}

Keys top_level(const Reader& reader, Config& config) {
  return {
      {"cache",
       reader.section("cache", {{"directory", reader.path(config.cache_directory)},
                                {"quota", reader.bytes(config.cache_quota)},
                                {"high_watermark", reader.fraction(config.cache_high_watermark)},
                                {"low_watermark", reader.fraction(config.cache_low_watermark)}})},
      {"mount",
       reader.section("mount", {{"point", reader.path(config.mount_point)},
                                {"fault_timeout", reader.duration(config.fault_timeout)}})},
      {"control", reader.section("control", {{"socket", reader.path(config.control_socket)}})},
      {"metrics", reader.section("metrics", {{"address", reader.text(config.metrics_address)}})},
      {"log", reader.section("log", {{"level", log_level(reader, config.log_level)}})},
      {"fetch", reader.section("fetch", {{"backfill", reader.flag(config.backfill)},
                                         {"span_cache", reader.bytes(config.span_cache)}})},
      {"credentials",
       reader.section("credentials", {{"files", reader.list(config.credential_files)}})},
      {"registry", registries(reader, config.registries)},
      {"cluster", cluster_section(reader, config.cluster)},
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
  check_identity(config.cluster, file.string());
  return config;
}

}  // namespace swarmfs::daemon
