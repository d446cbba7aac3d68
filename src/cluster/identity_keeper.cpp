// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/identity_keeper.h"

#include "util/log.h"

namespace swarmfs::cluster {

IdentityKeeper::IdentityKeeper(IdentityFiles files, util::Timers& timers, WallClock clock)
    : clock_(std::move(clock)), files_(std::move(files)) {
  *current_.lock() = load_identity(*files_.lock(), clock_());
  // Not one timer at renew_at(): steady time stands still while a machine sleeps.
  timer_ = timers.every(std::chrono::minutes(1), [this] { renew_if_due(); });
}

void IdentityKeeper::reload() {
  const auto changed = [this] {
    auto files = files_.lock();
    auto fresh = load_identity(*files, clock_());
    auto kept = current_.lock();
    kept->swap(fresh);
    return fresh->certificate_pem() != (*kept)->certificate_pem() ||
           fresh->ca_pem() != (*kept)->ca_pem();
  };
  if (changed()) tell();
}

void IdentityKeeper::renew_if_due() {
  const auto old = current();
  const WallTime now = clock_();
  if (now >= old->validity().from && now < old->renew_at()) return;
  try {
    reload();
    util::log::debug("the node's identity is renewed");
  } catch (const util::Error& error) {
    util::log::error("the node's identity cannot be renewed: {}", error.what());
  }
}

util::Operation IdentityKeeper::on_change(Changed callback) {
  auto listener = std::make_shared<Listener>();
  listener->callback = std::move(callback);
  auto listeners = listeners_.lock();
  std::erase_if(*listeners, [](const auto& known) { return known.expired(); });
  listeners->push_back(listener);
  return util::Operation([listener] { listener->gate.close(); });
}

void IdentityKeeper::tell() {
  const auto listeners = *listeners_.lock();
  for (const auto& known : listeners)
    if (const auto listener = known.lock())
      // current() inside the gate: of two changes at once the newer one is told last.
      listener->gate.run([&] { listener->callback(current()); });
}

}  // namespace swarmfs::cluster
