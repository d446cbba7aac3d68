// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <functional>
#include <map>

#include "util/file.h"
#include "util/units.h"

namespace swarmfs::daemon {

namespace {

using Apply = std::function<void(const toml::node&)>;
using Keys = std::map<std::string, Apply, std::less<>>;

/// Reads one file: knows its name for messages, and turns TOML values into ours.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  [[noreturn]] void refuse(const toml::source_position& where, const std::string& why) const {
    throw BadConfig(fmt::format("{}:{}: {}", file_, where.line, why));
  }

  void apply(const toml::table& table, const std::string& section, const Keys& keys) const {
    for (const auto& [key, value] : table) {
      const auto known = keys.find(key.str());
      if (known == keys.end())
        refuse(key.source().begin,
               fmt::format("unknown key '{}' in {} (known: {})", key.str(), section, names(keys)));
      known->second(value);
    }
  }

  template <class T>
  Apply into(T& target, const char* expected) const {
    return [this, &target, expected](const toml::node& node) {
      const auto value = node.value_exact<T>();
      if (!value) refuse(node.source().begin, fmt::format("expected {}", expected));
      target = *value;
    };
  }
  Apply text(std::string& target) const { return into(target, "a string"); }
  Apply flag(bool& target) const { return into(target, "true or false"); }
  Apply path(std::filesystem::path& target) const {
    return [this, &target](const toml::node& node) {
      std::string value;
      text(value)(node);
      if (!value.starts_with('/'))
        refuse(node.source().begin, fmt::format("'{}' is not an absolute path", value));
      target = value;
    };
  }
  Apply choice(std::optional<bool>& target) const {
    return [this, &target](const toml::node& node) {
      target = node.value_exact<bool>();
      if (!target) refuse(node.source().begin, "expected true or false");
    };
  }
  Apply bytes(uint64_t& target) const {
    return [this, &target](const toml::node& node) {
      const auto value =
          node.is_string() ? util::parse_bytes(*node.value<std::string>()) : node.value<uint64_t>();
      if (!value) refuse(node.source().begin, "expected a size such as \"20GB\" or \"512MiB\"");
      target = *value;
    };
  }
  Apply fraction(double& target) const {
    return [this, &target](const toml::node& node) {
      const auto value = node.value<double>();
      if (!value || *value <= 0 || *value > 1)
        refuse(node.source().begin, "expected a number above 0, up to 1");
      target = *value;
    };
  }
  Apply count(unsigned& target, unsigned least, unsigned most) const {
    return [this, &target, least, most](const toml::node& node) {
      const auto value = node.value_exact<int64_t>();
      if (!value || *value < least || *value > most)
        refuse(node.source().begin, fmt::format("expected a number from {} to {}", least, most));
      target = static_cast<unsigned>(*value);
    };
  }
  Apply duration(std::chrono::milliseconds& target) const {
    return [this, &target](const toml::node& node) {
      const auto text_value = node.value_exact<std::string>().value_or("");
      char* rest = nullptr;
      const double number = std::strtod(text_value.c_str(), &rest);
      const std::string unit = rest;
      const double factor = unit == "s" ? 1000 : unit == "ms" ? 1 : unit == "m" ? 60'000 : 0;
      if (rest == text_value.c_str() || factor == 0 || !(number * factor >= 1) ||
          number * factor > 86'400'000)
        refuse(node.source().begin, "expected a time such as \"30s\", \"500ms\" or \"2m\"");
      target = std::chrono::milliseconds(static_cast<int64_t>(number * factor));
    };
  }
  template <class T>
  Apply list(std::vector<T>& target) const {
    return [this, &target](const toml::node& node) {
      const auto* array = node.as_array();
      if (!array) refuse(node.source().begin, "expected a list of strings");
      for (const auto& item : *array) {
        if constexpr (std::is_same_v<T, std::string>)
          text(target.emplace_back())(item);
        else
          path(target.emplace_back())(item);
      }
    };
  }
  Apply section(const std::string& name, Keys keys) const {
    return [this, name, keys = std::move(keys)](const toml::node& node) {
      const auto* table = node.as_table();
      if (!table) refuse(node.source().begin, fmt::format("[{}] must be a table", name));
      apply(*table, "[" + name + "]", keys);
    };
  }

 private:
  static std::string names(const Keys& keys) {
    std::string all;
    for (const auto& [name, unused] : keys) all += (all.empty() ? "" : ", ") + name;
    return all;
  }

  std::string file_;
};

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
  };
}

toml::table parse_toml(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& bad) {
    throw BadConfig(fmt::format("{}:{}: {}", file, bad.source().begin.line, bad.description()));
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
  return parse_config(*text, file.string());
}

}  // namespace swarmfs::daemon
