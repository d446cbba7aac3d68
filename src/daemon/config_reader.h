// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <fmt/format.h>

#include <toml++/toml.h>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "util/units.h"

/// How config.cpp and cluster_section.cpp read TOML. For them alone.
namespace swarmfs::daemon {

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
  /// A path of that kind, noted in `named` as well.
  Apply named(std::filesystem::path& target, NamedPath::Kind kind,
              std::vector<NamedPath>& named) const {
    return [this, &target, kind, &named](const toml::node& node) {
      path(target)(node);
      named.push_back({target, node.source().begin.line, kind});
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
  Apply rate(double& target) const {
    return [this, &target](const toml::node& node) {
      uint64_t value = 0;
      bytes(value)(node);
      target = static_cast<double>(value);
    };
  }
  /// From 0 on.
  Apply number(double& target, double most) const {
    return [this, &target, most](const toml::node& node) {
      const auto value = node.value<double>();
      if (!value || !(*value >= 0 && *value <= most))
        refuse(node.source().begin, fmt::format("expected a number from 0 to {}", most));
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

/// [cluster]
Apply cluster_section(const Reader& reader, ClusterSection& target);

}  // namespace swarmfs::daemon
