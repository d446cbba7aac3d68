// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/policy.h"

#include <algorithm>
#include <charconv>

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
    const std::optional<std::string>& header) {
  unsigned seconds = 0;
  if (!header) return std::nullopt;
  const auto [end, error] =
      std::from_chars(header->data(), header->data() + header->size(), seconds);
  if (error != std::errc() || end != header->data() + header->size()) return std::nullopt;
  return std::chrono::seconds(std::min(seconds, 300u));
}

util::Duration CircuitBreaker::wait(util::SteadyTime now) {
  if (failures_ < 5) return {};
  if (now < until_) return until_ - now;
  // Half open: this one goes, the next ones wait for its result.
  until_ = now + pause_;
  return {};
}

void CircuitBreaker::succeeded() {
  failures_ = 0;
  pause_ = std::chrono::seconds(2);
}

void CircuitBreaker::failed(util::SteadyTime now) {
  if (++failures_ < 5) return;
  until_ = now + pause_;
  pause_ = std::min(pause_ * 2, std::chrono::seconds(30));
}

util::Duration RequestPacer::take(util::SteadyTime now, unsigned per_second) {
  if (per_second == 0) return {};
  const double passed = std::chrono::duration<double>(now - filled_).count();
  tokens_ = std::min<double>(per_second, tokens_ + passed * per_second);
  filled_ = now;
  if (tokens_ < 1)
    return std::chrono::duration_cast<util::Duration>(
               std::chrono::duration<double>((1 - tokens_) / per_second)) +
           util::Duration(1);
  tokens_ -= 1;
  return {};
}

}  // namespace swarmfs::registry
