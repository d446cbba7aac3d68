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
    value = text.substr(0, text.find_first_of(", \t"));
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

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

void set(Challenge& challenge, std::string_view key, std::string value) {
  if (same(key, "realm")) challenge.realm = std::move(value);
  if (same(key, "service")) challenge.service = std::move(value);
  if (same(key, "scope")) challenge.scope = std::move(value);
}

}  // namespace

std::optional<Challenge> parse_challenge(std::string_view text) {
  std::optional<Challenge> bearer, basic;
  std::optional<Challenge>* current = nullptr;
  for (skip(text, ", \t"); !text.empty(); skip(text, ", \t")) {
    const std::string_view word = text.substr(0, text.find_first_of(",= \t"));
    text.remove_prefix(word.size());
    std::string_view ahead = text;
    skip(ahead, " \t");
    if (ahead.starts_with('=')) {
      ahead.remove_prefix(1);
      skip(ahead, " \t");
      text = ahead;
      auto value = take_value(text);
      if (current && *current) set(**current, word, std::move(value));
    } else {
      current = same(word, "bearer") ? &bearer : same(word, "basic") ? &basic : nullptr;
      if (current) *current = Challenge{current == &bearer, "", "", ""};
    }
  }
  return bearer && !bearer->realm.empty() ? bearer : basic;
}

}  // namespace swarmfs::registry
