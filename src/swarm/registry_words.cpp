// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/registry_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace swarmfs::swarm {

using util::Failure;
using util::Fault;

namespace {

constexpr size_t kMostRegistries = 16;
constexpr std::string_view kHeld = "held=";
constexpr unsigned kLongestHeld = 24 * 3600 * 1000;

std::string_view cut(std::string_view& rest, char at) {
  const auto part = rest.substr(0, rest.find(at));
  rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  return part;
}

bool read_attribute(std::string_view text, RegistryWord& word) {
  if (text == "asks") return word.asks = true;
  if (!text.starts_with(kHeld)) return false;
  text.remove_prefix(kHeld.size());
  unsigned held = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), held);
  word.held = std::chrono::milliseconds(held);
  return error == std::errc() && end == text.data() + text.size() && held <= kLongestHeld;
}

}  // namespace

util::Digest registry_name(std::string_view host) {
  return util::Sha256::of(util::as_bytes("swarmfs-registry-1\n" + std::string(host)));
}

std::string to_header(const RegistryWords& words) {
  std::string made;
  size_t count = 0;
  for (const auto& [name, word] : words) {
    if (++count > kMostRegistries) break;
    made += (made.empty() ? "" : ",") + name.hex();
    if (word.asks) made += ";asks";
    if (word.held.count() > 0) made += fmt::format(";{}{}", kHeld, word.held.count());
  }
  return made;
}

util::Outcome<RegistryWords> parse_registry_words(std::string_view text) {
  RegistryWords made;
  while (!text.empty()) {
    auto rest = cut(text, ',');
    const auto name = util::Digest::parse_hex(cut(rest, ';'));
    if (!name) return Failure{Fault::invalid, "a registry without a name"};
    RegistryWord word;
    while (!rest.empty())
      if (!read_attribute(cut(rest, ';'), word))
        return Failure{Fault::invalid, "something else of a registry"};
    made.emplace(*name, word);
    if (made.size() > kMostRegistries) return Failure{Fault::invalid, "too many registries"};
  }
  return made;
}

}  // namespace swarmfs::swarm
