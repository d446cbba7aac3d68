// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>
#include <cctype>

#include "daemon/config_reader.h"
#include "daemon/host_port.h"

namespace swarmfs::daemon {

namespace {

constexpr uint16_t kDefaultPort = 7946;
// A zone becomes a label of metrics and a header of requests.
constexpr size_t kLongestZone = 63;

/// "host:port" with the port filled in.
Apply addresses(const Reader& reader, std::vector<std::string>& target) {
  return [&reader, &target](const toml::node& node) {
    std::vector<std::string> texts;
    reader.list(texts)(node);
    for (const auto& text : texts) {
      const auto parsed = parse_host_port(text, kDefaultPort);
      if (!parsed)
        reader.refuse(node.source().begin,
                      fmt::format("'{}' is not like \"node-3:7946\", \"10.0.0.3:7946\" or "
                                  "\"[fd00::3]:7946\"",
                                  text));
      target.push_back(parsed->to_string());
    }
  };
}

/// Addresses of this node, one by one: the DHT finds no members behind "all of them".
Apply listen(const Reader& reader, std::vector<std::string>& target) {
  return [&reader, &target](const toml::node& node) {
    addresses(reader, target)(node);
    for (const auto& text : target) {
      const auto where = parse_host_port(text, kDefaultPort);
      if (ip_version(where->host) == 0)
        reader.refuse(node.source().begin,
                      fmt::format("listen: '{}' is a name; write this node's address", text));
      if (is_unspecified_ip(where->host))
        reader.refuse(node.source().begin,
                      fmt::format("listen: '{}' is every address; name those that peers may use, "
                                  "such as \"10.0.0.3:7946\"",
                                  text));
    }
  };
}

Apply zone(const Reader& reader, std::string& target) {
  return [&reader, &target](const toml::node& node) {
    reader.text(target)(node);
    const bool plain = std::all_of(target.begin(), target.end(), [](unsigned char c) {
      return c < 128 && (std::isalnum(c) || c == '.' || c == '_' || c == '-');
    });
    if (!plain || target.size() > kLongestZone)
      reader.refuse(node.source().begin, "a zone is up to 63 letters, digits and . _ -");
  };
}

Apply provisional(const Reader& reader, Provisional& target) {
  return [&reader, &target](const toml::node& node) {
    const auto value = node.value_exact<std::string>().value_or("");
    if (value != "cluster" && value != "registry-only")
      reader.refuse(node.source().begin, "expected \"cluster\" or \"registry-only\"");
    target = value == "cluster" ? Provisional::cluster : Provisional::registry_only;
  };
}

/// The line of a key, or of the section where it is absent.
toml::source_position line_of(const toml::table& table, std::string_view key) {
  const auto found = table.find(key);
  return found == table.end() ? table.source().begin : found->first.source().begin;
}

void check_identity_keys(const Reader& reader, const toml::table& table,
                         const ClusterSection& section) {
  const int files = int{!section.ca_file.empty()} + int{!section.cert_file.empty()} +
                    int{!section.key_file.empty()};
  if (files != 0 && !section.token_file.empty())
    reader.refuse(line_of(table, "token_file"),
                  "either token_file or ca_file, cert_file and key_file");
  if (files % 3 != 0) {
    const char* first = section.ca_file.empty() ? "cert_file" : "ca_file";
    reader.refuse(line_of(table, table.contains(first) ? first : "key_file"),
                  "ca_file, cert_file and key_file go together");
  }
}

void check_bulk_port(const Reader& reader, const toml::table& table,
                     const ClusterSection& section) {
  if (section.bulk_port == 0) return;
  if (section.listen.empty())
    reader.refuse(line_of(table, "bulk_port"),
                  "bulk_port does nothing without listen, this node's own addresses");
  for (const auto& text : section.listen) {
    const unsigned port = parse_host_port(text, kDefaultPort)->port;
    if (section.bulk_port == port || section.bulk_port == port + 1)
      reader.refuse(line_of(table, "bulk_port"),
                    fmt::format("bulk_port: {} is taken: {} and {} are those of listen and its DHT",
                                section.bulk_port, port, port + 1));
  }
}

void check_together(const Reader& reader, const toml::table& table, const ClusterSection& section) {
  check_identity_keys(reader, table, section);
  check_bulk_port(reader, table, section);
  if (!section.listen.empty() && !section.has_identity())
    reader.refuse(line_of(table, "listen"),
                  "listen needs an identity: set token_file (make one: swarmfs cluster init "
                  "--output FILE) or ca_file, cert_file and key_file");
  if (!section.listen.empty()) return;
  for (const char* key : {"peers", "dns"})
    if (table.contains(key))
      reader.refuse(line_of(table, key),
                    fmt::format("{} does nothing without listen, this node's own addresses", key));
  if (section.dht)
    reader.refuse(line_of(table, "dht"),
                  "dht does nothing without listen, this node's own addresses");
}

}  // namespace

Apply cluster_section(const Reader& reader, ClusterSection& target) {
  return [&reader, &target](const toml::node& node) {
    std::optional<bool> dht;
    reader.section("cluster",
                   {{"token_file", reader.path(target.token_file)},
                    {"ca_file", reader.path(target.ca_file)},
                    {"cert_file", reader.path(target.cert_file)},
                    {"key_file", reader.path(target.key_file)},
                    {"listen", listen(reader, target.listen)},
                    {"peers", addresses(reader, target.peers)},
                    {"dns", addresses(reader, target.dns)},
                    {"dht", reader.choice(dht)},
                    {"zone", zone(reader, target.zone)},
                    {"cross_zone_rate", reader.bytes(target.cross_zone_rate)},
                    {"provisional", provisional(reader, target.provisional)},
                    {"max_peer_requests", reader.count(target.max_peer_requests, 1, 10'000)},
                    {"preheat", reader.list(target.preheat)},
                    {"bulk_port", reader.count(target.bulk_port, 0, 65'535)}})(node);
    const auto& table = *node.as_table();
    target.dht = dht.value_or(!target.listen.empty());
    check_together(reader, table, target);
    target.identity_line =
        line_of(table, target.token_file.empty() ? "cert_file" : "token_file").line;
  };
}

}  // namespace swarmfs::daemon
