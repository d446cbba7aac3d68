// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/held_block.h"

#include <algorithm>
#include <future>

namespace swarmfs::fetch {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

Outcome<util::SharedBytes> read_now(chunk::StoredLayer& stored, util::ByteRange range) {
  const auto answer = std::make_shared<std::promise<Outcome<util::SharedBytes>>>();
  stored.read(range,
              [answer](Outcome<util::SharedBytes> bytes) { answer->set_value(std::move(bytes)); });
  return answer->get_future().get();
}

bool hashes_at_once(chunk::StoredLayer& stored) {
  const util::ByteRange all{0, stored.size()};
  if (all.length > kHashedAtOnce || !stored.has(chunk::blocks_covering(all))) return false;
  const auto bytes = read_now(stored, all);
  return bytes && util::Sha256::of(bytes->view()) == stored.digest();
}

uint64_t place_of(util::ByteView secret, const util::Digest& layer, uint64_t count) {
  const auto mixed = util::hmac_sha256(secret, layer.bytes());
  uint64_t number = 0;
  for (const std::byte byte : util::ByteView(mixed.bytes()).first(sizeof number))
    number = number << 8 | static_cast<uint64_t>(byte);
  return number % count;
}

}  // namespace

std::optional<uint64_t> present_from(uint64_t start, uint64_t count,
                                     const std::vector<chunk::BlockRange>& missing) {
  const auto first_in = [&](uint64_t from, uint64_t end) -> std::optional<uint64_t> {
    for (const auto& run : missing)
      if (run.first <= from) from = std::max(from, run.end());
    return from < end ? std::optional(from) : std::nullopt;
  };
  const auto after = first_in(start, count);
  return after ? after : first_in(0, start);
}

Outcome<std::optional<HeldBlock>> held_block(chunk::StoredLayer& stored, bool checked,
                                             util::ByteView secret) {
  if (!checked && !stored.verified() && !hashes_at_once(stored)) return std::optional<HeldBlock>();
  const uint64_t count = chunk::block_count(stored.size());
  auto missing = stored.missing({0, count});
  // An end of few bytes could be guessed.
  if (count > 1 && stored.size() % chunk::kBlockSize != 0) missing.push_back({count - 1, 1});
  const auto block = present_from(place_of(secret, stored.digest(), count), count, missing);
  if (!block) return std::optional<HeldBlock>();
  const auto range = chunk::bytes_of({*block, 1}, stored.size());
  auto bytes = read_now(stored, range);
  if (!bytes) return Failure{Fault::unavailable, bytes.failure().message};
  return std::optional(HeldBlock{range, std::move(*bytes)});
}

}  // namespace swarmfs::fetch
