// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/holder_inquiries.h"

#include <algorithm>

#include "daemon/blob_range.h"
#include "util/log.h"

namespace swarmfs::daemon {

using util::Outcome;

namespace {

constexpr std::chrono::seconds kHolderPatience{5};

}  // namespace

bool HolderInquiries::is_due(const Key& key) {
  const auto now = std::chrono::steady_clock::now();
  auto asked = asked_.lock();
  const auto [at, fresh] = asked->try_emplace(key, now);
  if (!fresh && now - at->second < kPause) return false;
  at->second = now;
  if (asked->size() > kRemembered)
    asked->erase(std::min_element(asked->begin(), asked->end(),
                                  [](auto& a, auto& b) { return a.second < b.second; }));
  return true;
}

void HolderInquiries::ask(const util::Digest& layer, const std::string& repository) {
  if (repository.empty() || stopping_ || catalog_.is_shown(layer, repository) ||
      waiting_ >= kWaiting || !is_due({layer, repository}))
    return;
  ++waiting_;
  worker_.post(util::Workers::Urgency::normal, [this, layer, repository] {
    --waiting_;
    try {
      if (!stopping_) inquire(layer, repository);
    } catch (const std::exception& error) {
      util::log::warning("{}: layer {}: {}", repository, layer.short_hex(), error.what());
    }
  });
}

Outcome<std::optional<fetch::HeldBlock>> HolderInquiries::block_of(const util::Digest& layer,
                                                                   const std::string& repository) {
  const auto size = catalog_.size_of(layer, repository);
  if (!size || store_.size_of(layer) != size) return std::optional<fetch::HeldBlock>();
  const chunk::LayerRef for_nobody{layer, *size, {}};
  const auto known = library_.open_known(for_nobody);
  const auto opened = fetcher_.open(for_nobody);
  const auto names = opened->came_for();
  // It is given there as it is.
  if (names && catalog_.are_open(*names, repository)) return std::optional<fetch::HeldBlock>();
  return fetcher_.held_block(*opened);
}

void HolderInquiries::inquire(const util::Digest& layer, const std::string& repository) {
  const auto reference = oci::Reference::parse(repository + "@" + layer.to_string());
  const auto held = block_of(layer, repository);
  if (!reference || !held || !*held) return;
  auto order = order_of(*reference, (**held).range);
  order.cls = chunk::Class::fault;
  order.deadline = std::chrono::steady_clock::now() + kHolderPatience;
  const auto given = blob_range(registry_, std::move(order));
  if (given && std::ranges::equal(*given, (**held).bytes.view()))
    return catalog_.showed(layer, repository);
  util::log::info(
      "{} does not show that layer {}, which is here from elsewhere, belongs to it ({}): members "
      "that ask for it there do not get it from this node",
      repository, layer.short_hex(), given ? "it gives other bytes" : given.failure().message);
}

}  // namespace swarmfs::daemon
