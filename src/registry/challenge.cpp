// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/challenge.h"

#include <strings.h>

#include <algorithm>

namespace swarmfs::registry {

namespace {

void skip(std::string_view& text, std::string_view what) {
  text.remove_prefix(std::min(text.find_first_not_of(what), text.size()));
}

std::string take_value(std::string_view& text) {
  std::string value;
  if (!text.starts_with('"')) {
    value = text.substr(0, text.find_first_of(", "));
    text.remove_prefix(value.size());
    return value;
  }
  size_t i = 1;
  for (; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    value += text[i];
  }
  text.remove_prefix(std::min(i + 1, text.size()));
  return value;
}

}  // namespace

std::optional<Challenge> parse_challenge(std::string_view text) {
  skip(text, " ");
  const std::string_view scheme = text.substr(0, text.find(' '));
  Challenge made;
  made.bearer = scheme.size() == 6 && strncasecmp(scheme.data(), "bearer", 6) == 0;
  const bool basic = scheme.size() == 5 && strncasecmp(scheme.data(), "basic", 5) == 0;
  if (!made.bearer && !basic) return std::nullopt;
  text.remove_prefix(scheme.size());
  for (skip(text, ", "); !text.empty(); skip(text, ", ")) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) break;
    const std::string key(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    const std::string value = take_value(text);
    if (key == "realm") made.realm = value;
    if (key == "service") made.service = value;
    if (key == "scope") made.scope = value;
  }
  if (made.bearer && made.realm.empty()) return std::nullopt;
  return made;
}

}  // namespace swarmfs::registry
