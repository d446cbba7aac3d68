// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/proofs.h"

#include <sys/random.h>

#include <algorithm>

#include "mirror/permissions.h"
#include "util/error.h"
#include "util/log.h"

namespace swarmfs::mirror {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

util::Bytes fresh_secret() {
  util::Bytes made(32);
  if (::getrandom(made.data(), made.size(), 0) != static_cast<ssize_t>(made.size()))
    throw util::SysError("getrandom");
  return made;
}

Outcome<util::SharedBytes> read_stored(chunk::StoredLayer& stored, util::ByteRange range) {
  const auto answer = std::make_shared<std::promise<Outcome<util::SharedBytes>>>();
  stored.read(range,
              [answer](Outcome<util::SharedBytes> bytes) { answer->set_value(std::move(bytes)); });
  return answer->get_future().get();
}

bool hashes_at_once(chunk::StoredLayer& stored) {
  const util::ByteRange all{0, stored.size()};
  if (all.length > Proofs::kHashedAtOnce || !stored.has(chunk::blocks_covering(all))) return false;
  const auto bytes = read_stored(stored, all);
  return bytes && util::Sha256::of(bytes->view()) == stored.digest();
}

uint64_t place_of(const util::Bytes& secret, const util::Digest& blob, uint64_t count) {
  const auto mixed = util::hmac_sha256(secret, blob.bytes());
  uint64_t number = 0;
  for (const std::byte byte : util::ByteView(mixed.bytes()).first(sizeof number))
    number = number << 8 | static_cast<uint64_t>(byte);
  return number % count;
}

/// As long as no permission outlives it.
constexpr util::Duration kProofBelieved = Permissions::kBelieved;

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

Proofs::Proofs(Upstream& upstream, fetch::Fetcher& fetcher, Ledger& ledger,
               const util::Clock& clock)
    : upstream_(upstream),
      fetcher_(fetcher),
      ledger_(ledger),
      clock_(clock),
      secret_(fresh_secret()) {}

bool Proofs::belongs(const Key& key) const {
  if (ledger_.belongs(key.first, key.second)) return true;
  auto proven = proven_.lock();
  const auto found = proven->find(key);
  return found != proven->end() && clock_.now() - found->second < kProofBelieved;
}

void Proofs::remember(const Key& key) {
  if (ledger_.set_belongs(key.first, key.second)) return;
  auto proven = proven_.lock();
  (*proven)[key] = clock_.now();
  if (proven->size() <= kRemembered) return;
  proven->erase(std::min_element(proven->begin(), proven->end(),
                                 [](auto& a, auto& b) { return a.second < b.second; }));
}

bool Proofs::are_open(const std::set<chunk::Origin>& names, const chunk::Origin& origin) const {
  return std::ranges::all_of(
      names, [&](const auto& name) { return name == origin || ledger_.is_public(name.name()); });
}

bool Proofs::may_go_on(const fetch::Layer& blob, const chunk::Origin& origin) const {
  const auto names = blob.came_for();
  return names && are_open(*names, origin);
}

void Proofs::came_whole(const fetch::Layer& blob, const chunk::Origin& origin) {
  if (may_go_on(blob, origin)) remember({origin.name(), blob.ref().digest});
}

std::shared_ptr<fetch::Layer> Proofs::open_if_came_so(const chunk::LayerRef& blob) {
  const auto names = fetcher_.came_for(blob);
  const bool so = names && !names->empty() && are_open(*names, blob.origins.front());
  return so ? fetcher_.open_alone(blob, *names) : nullptr;
}

Outcome<std::optional<Proofs::Held>> Proofs::held_block(const chunk::LayerRef& blob) {
  const chunk::LayerRef for_nobody{blob.digest, blob.size, {}};
  const auto known = upstream_.opened(for_nobody);
  const auto layer = fetcher_.open(for_nobody);
  auto& stored = layer->stored();
  if (!layer->sealed() && !stored.verified() && !hashes_at_once(stored))
    return std::optional<Held>();
  const uint64_t count = chunk::block_count(blob.size);
  const auto block =
      present_from(place_of(secret_, blob.digest, count), count, stored.missing({0, count}));
  if (!block) return std::optional<Held>();
  const auto range = chunk::bytes_of({*block, 1}, blob.size);
  auto bytes = read_stored(stored, range);
  if (!bytes) return Failure{Fault::unavailable, bytes.failure().message};
  return std::optional(Held{range, std::move(*bytes)});
}

Outcome<Proofs::Opened> Proofs::open(const chunk::LayerRef& blob, const std::string& authorization,
                                     util::SteadyTime deadline) {
  const Key key{blob.origins.front().name(), blob.digest};
  if (belongs(key)) return Opened{fetcher_.open(blob)};
  if (auto so = open_if_came_so(blob)) return Opened{std::move(so), true};
  const auto held = held_block(blob);
  if (!held) return held.failure();
  if (*held) {
    const auto proof = asking_.run({key, util::Sha256::of(util::as_bytes(authorization))}, "",
                                   [&] { return prove(blob, **held, authorization, deadline); });
    if (proof) {
      remember(key);
      return Opened{fetcher_.open(blob)};
    }
    tell(key, proof.failure());
    return proof.failure();
  }
  if (auto alone = fetcher_.open_alone(blob)) return Opened{std::move(alone), true};
  have_checked(blob);
  return Failure{Fault::not_found, "it came in another name, and is not checked yet"};
}

void Proofs::have_checked(const chunk::LayerRef& blob) {
  const chunk::LayerRef for_nobody{blob.digest, blob.size, {}};
  const auto layer = fetcher_.open(for_nobody);
  if (layer->stored().has(chunk::blocks_covering({0, blob.size})))
    upstream_.complete(for_nobody, "application/vnd.oci.image.layer.v1.tar");
}

Outcome<util::Done> Proofs::prove(const chunk::LayerRef& blob, const Held& held,
                                  const std::string& authorization, util::SteadyTime deadline) {
  const auto& origin = blob.origins.front();
  const auto given = upstream_.bytes_of({origin.registry, origin.repository, {}, blob.digest},
                                        held.range, authorization, deadline);
  if (!given) return given.failure();
  if (!std::ranges::equal(*given, held.bytes.view()))
    return Failure{Fault::corrupt, "it gives other bytes"};
  return util::Done{};
}

void Proofs::tell(const Key& key, const Failure& failure) {
  auto told = told_.lock();
  if (told->size() > kRemembered) told->clear();
  if (!told->insert(key).second) return;
  told.unlock();
  const auto line = fmt::format(
      "mirror: {} does not show that blob {}, which is here from elsewhere, belongs to it ({}): "
      "who asks for it there is sent there",
      key.first, key.second.short_hex(), failure.message);
  util::log::write(
      failure.fault == Fault::corrupt ? util::log::Level::warning : util::log::Level::info, line);
}

}  // namespace swarmfs::mirror
