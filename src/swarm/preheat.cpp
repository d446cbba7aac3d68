// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/preheat.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

namespace swarmfs::swarm {

using nlohmann::json;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr size_t kLongestLine = 500;
constexpr size_t kLongestSource = 32;
constexpr size_t kMostSources = 16;
constexpr uint64_t kMostBytes = 1ull << 50;
constexpr double kLongest = 1e9;  ///< seconds

std::optional<uint64_t> bytes_in(const json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > kMostBytes) return std::nullopt;
  return value.get<uint64_t>();
}

std::optional<PreheatState::State> state_in(const json& value) {
  using State = PreheatState::State;
  for (const auto state : {State::running, State::done, State::failed})
    if (value == to_string(state)) return state;
  return std::nullopt;
}

bool take_sources(const json& said, std::map<std::string, uint64_t>& sources) {
  if (!said.is_object() || said.size() > kMostSources) return false;
  for (const auto& [name, value] : said.items()) {
    const auto bytes = bytes_in(value);
    const std::string shown = one_line(name);
    if (!bytes || shown.empty() || name.size() > kLongestSource) return false;
    sources[shown] = *bytes;
  }
  return true;
}

}  // namespace

const char* to_string(PreheatState::State state) noexcept {
  switch (state) {
    case PreheatState::State::running:
      return "running";
    case PreheatState::State::done:
      return "done";
    case PreheatState::State::failed:
      return "failed";
  }
  return "unknown";
}

std::string one_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  std::string made(text.substr(0, kLongestLine));
  for (char& c : made) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) c = '?';
  }
  return made;
}

std::string PreheatState::to_json() const {
  const json made = {{"state", to_string(state)},  {"error", error},
                     {"bytes_total", bytes_total}, {"bytes_done", bytes_done},
                     {"seconds", seconds},         {"bytes_by_source", sources}};
  return made.dump(-1, ' ', false, json::error_handler_t::replace);
}

Outcome<PreheatState> PreheatState::parse(std::string_view text) {
  const Failure nonsense{Fault::invalid, "no state of a preheat"};
  const json said = json::parse(text, nullptr, false);
  if (!said.is_object()) return nonsense;
  for (const char* key :
       {"state", "error", "bytes_total", "bytes_done", "seconds", "bytes_by_source"})
    if (!said.contains(key)) return nonsense;
  const auto state = state_in(said["state"]);
  const auto total = bytes_in(said["bytes_total"]), done = bytes_in(said["bytes_done"]);
  const auto& seconds = said["seconds"];
  if (!state || !total || !done || !said["error"].is_string() || !seconds.is_number())
    return nonsense;
  PreheatState made{
      *state, one_line(said["error"].get<std::string>()), *total, *done, seconds.get<double>(), {}};
  if (!(made.seconds >= 0 && made.seconds <= kLongest)) return nonsense;
  if (!take_sources(said["bytes_by_source"], made.sources)) return nonsense;
  return made;
}

std::string PreheatOrder::make_id() {
  std::random_device device;
  std::string made;
  while (made.size() < kIdLength) made += fmt::format("{:08x}", device());
  return made;
}

bool PreheatOrder::is_id(std::string_view text) {
  return text.size() == kIdLength && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace swarmfs::swarm
