// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/policy.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "http/headers.h"

namespace swarmfs::registry {

using util::Fault;

Verdict judge(int status, bool authenticated_again) {
  using Action = Verdict::Action;
  if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
    return {Action::follow, Fault::unavailable};
  // Some registries answer 400 or 403 to a token of another scope or an expired one.
  if (status == 400 || status == 401 || status == 403)
    return {authenticated_again ? Action::fail : Action::authenticate,
            status == 400 ? Fault::invalid : Fault::denied};
  if (status == 404 || status == 410) return {Action::fail, Fault::not_found};
  if (status == 408 || status == 429 || status >= 500) return {Action::retry, Fault::unavailable};
  return {Action::fail, Fault::invalid};
}

std::optional<std::chrono::milliseconds> parse_retry_after(
    const std::optional<std::string>& header, std::chrono::system_clock::time_point now) {
  using std::chrono::milliseconds;
  constexpr milliseconds kMost = std::chrono::minutes(5);
  if (!header) return std::nullopt;
  const std::string text = header->substr(0, header->find_last_not_of(" \t") + 1);
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (end != text.data() && end == text.data() + text.size())
    return error == std::errc() ? std::min<milliseconds>(std::chrono::seconds(seconds), kMost)
                                : kMost;
  const auto when = http::parse_date(text);
  if (!when) return std::nullopt;
  // In seconds: a date of another age does not fit the clock.
  const std::chrono::seconds left(*when - std::chrono::system_clock::to_time_t(now));
  return std::clamp<milliseconds>(left, milliseconds(0), kMost);
}

util::Duration CircuitBreaker::open_for(util::SteadyTime now) const {
  return failures_ < kFailures || now >= until_ ? util::Duration() : until_ - now;
}

util::Duration CircuitBreaker::wait(util::SteadyTime now) {
  const auto left = open_for(now);
  if (failures_ < kFailures || left.count() > 0) return left;
  // Half open: this one goes, the next ones wait for its result.
  trying_ = true;
  until_ = now + pause_;
  return {};
}

void CircuitBreaker::succeeded() {
  failures_ = 0;
  pause_ = kShortest;
  trying_ = false;
}

void CircuitBreaker::failed(util::SteadyTime now) {
  if (++failures_ < kFailures) return;
  // What was under way when it opened says nothing new.
  if (!std::exchange(trying_, false) && now < until_) return;
  until_ = now + pause_;
  pause_ = std::min(pause_ * 2, kLongest);
}

}  // namespace swarmfs::registry
