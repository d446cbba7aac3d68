// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "util/outcome.h"

/// Preheating: members pull an image into their caches because one of them was asked to have it so,
/// each with the credentials, the quota and the swarm that it would pull with by itself.
namespace swarmfs::swarm {

/// How far a node is with it; what travels as the answer to a question about it.
struct PreheatState {
  enum class State { running, done, failed };
  State state = State::running;
  std::string error;  ///< why it failed
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;
  double seconds = 0;
  std::map<std::string, uint64_t> sources;  ///< "registry" → bytes

  [[nodiscard]] std::string to_json() const;
  /// What another node says: nothing that is no such state, or larger than life. Its text is fit to
  /// be shown on a terminal.
  static util::Outcome<PreheatState> parse(std::string_view json);
};

/// "running", "done", "failed".
const char* to_string(PreheatState::State state) noexcept;
/// What another node said, fit to be shown on a terminal: one line of at most 500 bytes.
std::string one_line(std::string_view text);

/// One order of one node. A number that nobody guesses, chosen by who orders: an order that is said
/// again is the same one, and can be taken back before its answer came.
struct PreheatOrder {
  static constexpr size_t kIdLength = 32;

  std::string node_id;  ///< who orders
  std::string id;       ///< so many lower-case hex digits

  static std::string make_id();
  static bool is_id(std::string_view text);
  auto operator<=>(const PreheatOrder&) const = default;
};

/// The part of a node that carries orders out; daemon fills the role. Any thread; must not block.
class Preheats {
 public:
  virtual ~Preheats() = default;
  /// Begins, or joins who ordered the same image before. Fault::unavailable: it is busy with
  /// others. `platform` empty: that of this node.
  virtual util::Outcome<util::Done> begin(const PreheatOrder& order, const std::string& reference,
                                          const std::string& platform) = 0;
  /// Fault::not_found: no such order, or it ended a while ago.
  virtual util::Outcome<PreheatState> look(const PreheatOrder& order) = 0;
  /// What nobody's order asks for any more ends.
  virtual util::Outcome<util::Done> take_back(const PreheatOrder& order) = 0;
};

}  // namespace swarmfs::swarm
