// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "torrent_fixture.h"
#include "wire_peer.h"

namespace swarmfs::torrent_test {

/// One connection of an attacker's.
struct Turn {
  WirePeer& peer;
  const Subject& subject;
  const util::Digest& info_hash;
  int number = 0;           ///< how many it had before
  std::atomic<int>& deeds;  ///< how often it has done its worst
};

/// What one kind of bad peer does with a connection; the runner hears the rest of it.
struct Attack {
  const char* name;
  void (*act)(Turn&);
  int deeds = 1;          ///< before the honest seed comes
  bool lies = false;      ///< wrong bytes: it is to be named
  bool is_asked = false;  ///< has a meaning only for a victim that wants bytes
  bool counts_itself = false;
  bool shakes_hands = true;
};

std::vector<Attack> all_attacks();

}  // namespace swarmfs::torrent_test
