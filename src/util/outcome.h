// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace swarmfs::util {

/// How an expected thing can go wrong. One door each turns these into errno and HTTP status.
enum class Fault {
  not_found,    ///< the registry, peer or store has it not
  denied,       ///< credentials missing or refused
  unavailable,  ///< nobody reachable can answer now; trying later may help
  timed_out,    ///< the deadline passed
  cancelled,    ///< the caller went away
  corrupt,      ///< bytes disagree with their digest or format
  no_space,     ///< disk or quota full
  invalid,      ///< the request makes no sense
};

/// "not found", "denied", …: for logs and messages.
constexpr const char* to_string(Fault fault) noexcept {
  switch (fault) {
    case Fault::not_found:
      return "not found";
    case Fault::denied:
      return "denied";
    case Fault::unavailable:
      return "unavailable";
    case Fault::timed_out:
      return "timed out";
    case Fault::cancelled:
      return "cancelled";
    case Fault::corrupt:
      return "corrupt";
    case Fault::no_space:
      return "no space";
    case Fault::invalid:
      return "invalid";
  }
  return "unknown";
}

/// The same may be answered otherwise later, or elsewhere.
constexpr bool may_pass(Fault fault) noexcept {
  return fault == Fault::unavailable || fault == Fault::timed_out;
}

/// `message` names the thing and, where there is one, the way out.
struct Failure {
  Fault fault = Fault::unavailable;
  std::string message;
};

struct Done {};

/// A value or a Failure: expected outcomes are values that the caller must look at.
template <class T>
class [[nodiscard]] Outcome {
 public:
  Outcome(T value) : state_(std::move(value)) {}            // NOLINT: implicit by design
  Outcome(Failure failure) : state_(std::move(failure)) {}  // NOLINT: implicit by design

  explicit operator bool() const noexcept { return state_.index() == 0; }
  [[nodiscard]] T& value() & { return assert(*this), std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return assert(*this), std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return assert(*this), std::get<0>(std::move(state_)); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  [[nodiscard]] const Failure& failure() const { return assert(!*this), std::get<1>(state_); }

 private:
  std::variant<T, Failure> state_;
};

}  // namespace swarmfs::util
