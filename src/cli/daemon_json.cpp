// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/daemon_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <string_view>

#include "util/error.h"

namespace swarmfs::cli {

namespace {

constexpr std::string_view kMirrorsKey = "registry-mirrors";

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == text.npos;
}

nlohmann::json parse_daemon_json(const std::string& text, const std::string& file) {
  nlohmann::json made;
  try {
    made = nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& bad) {
    const auto read = text.substr(0, bad.byte > 0 ? bad.byte - 1 : 0);
    throw util::Error(fmt::format("{}:{}: this is no JSON: {}", file,
                                  1 + std::count(read.begin(), read.end(), '\n'), bad.what()));
  }
  if (!made.is_object()) throw util::Error(file + ":1: this is no JSON object");
  if (made.contains(kMirrorsKey) && !made[std::string(kMirrorsKey)].is_array())
    throw util::Error(fmt::format("{}: \"{}\" is no list", file, kMirrorsKey));
  return made;
}

/// Right behind the first brace, and behind the bracket of registry-mirrors; npos: there is none.
struct JsonPlaces {
  size_t object = std::string::npos;
  size_t mirrors = std::string::npos;
};

/// Of a text that is a JSON object.
JsonPlaces find_places(std::string_view text) {
  JsonPlaces places;
  int depth = 0;
  std::string_view word;
  std::string_view key;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      const size_t start = i + 1;
      for (++i; text[i] != '"'; ++i)
        if (text[i] == '\\') ++i;
      word = text.substr(start, i - start);
    } else if (c == ':' && depth == 1) {
      key = word;
    } else if (c == '{' || c == '[') {
      ++depth;
      if (depth == 1) places.object = i + 1;
      if (c == '[' && depth == 2 && key == kMirrorsKey) places.mirrors = i + 1;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return places;
}

bool is_on_loopback(const std::string& url) {
  static const std::regex loopback(
      R"(https?://(127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\]|localhost)(:[0-9]{1,5})?/*)");
  return std::regex_match(url, loopback);
}

/// How long at `place` of `text` that is which `before` begins and one of `ends` ends, with the URL
/// of a mirror on loopback between; 0: it is not there.
size_t length_of_ours(std::string_view text, size_t place, std::string_view before,
                      std::initializer_list<std::string_view> ends) {
  if (place == text.npos || !text.substr(place).starts_with(before)) return 0;
  const size_t quote = text.find('"', place + before.size());
  if (quote == text.npos) return 0;
  const size_t url = text.rfind('"', quote - 1) + 1;
  if (!is_on_loopback(std::string(text.substr(url, quote - url)))) return 0;
  for (const auto end : ends)
    if (text.substr(quote).starts_with(end)) return quote + end.size() - place;
  return 0;
}

}  // namespace

std::string add_to_daemon_json(const std::optional<std::string>& theirs, const std::string& mirror,
                               const std::string& file) {
  const std::string url = "http://" + mirror;
  if (!theirs || is_blank(*theirs))
    return theirs.value_or("") + fmt::format("{{\"{}\": [  \"{}\"  ]}}\n", kMirrorsKey, url);
  const auto parsed = parse_daemon_json(*theirs, file);
  const JsonPlaces places = find_places(*theirs);
  std::string made = *theirs;
  if (places.mirrors == std::string::npos)
    return made.insert(places.object, fmt::format("\n  \"{}\": [  \"{}\"  ]{}", kMirrorsKey, url,
                                                  parsed.empty() ? "\n" : ","));
  const auto& mirrors = parsed[std::string(kMirrorsKey)];
  for (const auto& one : mirrors) {
    if (one != url && one != url + "/") continue;
    if (one == mirrors.front()) return made;
    throw util::Error(
        fmt::format("{}: the mirror is in \"{}\", but not first; nothing was changed (try: move "
                    "\"{}\" to the front)",
                    file, kMirrorsKey, url));
  }
  return made.insert(places.mirrors, fmt::format("  \"{}\"  {}", url, mirrors.empty() ? " " : ","));
}

std::optional<std::string> without_ours(const std::optional<std::string>& text,
                                        const std::string& file) {
  if (!text || is_blank(*text)) return text;
  parse_daemon_json(*text, file);
  const JsonPlaces places = find_places(*text);
  const std::string alone = fmt::format("\"{}\": [  \"http://", kMirrorsKey);
  std::string made = *text;
  if (const size_t whole = length_of_ours(made, places.object, alone, {"\"  ]}\n"})) {
    made.erase(places.object - 1, whole + 1);
    return made.empty() ? std::nullopt : std::optional(made);
  }
  if (const size_t key = length_of_ours(made, places.object, "\n  " + alone, {"\"  ],", "\"  ]\n"}))
    return made.erase(places.object, key);
  const size_t one =
      length_of_ours(made, places.mirrors, "  \"http://", {"\"  ,", "\"   ", "\"  "});
  if (one == 0) return made;
  made.erase(places.mirrors, one);
  // An administrator's comma, for what they added behind ours.
  const size_t next = made.find_first_not_of(" \t\r\n", places.mirrors);
  if (made[next] == ',') made.erase(places.mirrors, next + 1 - places.mirrors);
  return made;
}

std::vector<std::string> loopback_mirrors(const std::optional<std::string>& text,
                                          const std::string& file) {
  std::vector<std::string> found;
  if (!text || is_blank(*text)) return found;
  const auto parsed = parse_daemon_json(*text, file);
  for (const auto& one : parsed.value(kMirrorsKey, nlohmann::json::array()))
    if (one.is_string() && is_on_loopback(one.get<std::string>())) found.push_back(one);
  return found;
}

bool speaks_of_mirrors(const std::optional<std::string>& text, const std::string& file) {
  return text && !is_blank(*text) && parse_daemon_json(*text, file).contains(kMirrorsKey);
}

}  // namespace swarmfs::cli
