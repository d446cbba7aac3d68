// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chunk/fetch_context.h"
#include "swarm/endpoint.h"
#include "util/clock.h"
#include "util/digest.h"

/// Decisions of the swarm: pure functions of what is known. The product and the simulation in
/// tests/swarm call the same ones.
namespace swarmfs::swarm {

/// What a decision needs to know of a peer that may be asked now (PeerTable::candidates).
struct Candidate {
  Endpoint endpoint;
  std::string node_id;  ///< empty until met; such a peer owns no shares
  std::string zone;
  util::Duration expected{};  ///< until the last byte of such a request, when it has the chunk
  util::Duration p95{};       ///< of the first byte, likewise
  util::Duration relay{};     ///< on top where it must go to the registry first; zero: not measured
  unsigned in_flight = 0;     ///< our requests under way to it
  bool busy = false;          ///< less than kBusyFor ago it sent us away with bulk
  bool full = false;          ///< it gives as much bulk as it can, said its last news
  bool wants = false;         ///< it is bringing the layer in
  bool coming = false;        ///< where it is a holder: not here yet, on its way from the registry
  double link = 0;            ///< what comes to it at most, bytes/s; 0: it did not say (see News)
};

/// What a member weighs for chunk `chunk` of a layer. Who weighs most owns it (rendezvous hashing):
/// all nodes with the same view agree, and a node that leaves moves only its own share.
class Rendezvous {
 public:
  Rendezvous(const util::Digest& layer, uint64_t chunk);
  uint64_t operator()(std::string_view member) const;

 private:
  uint64_t of_chunk_;
};
/// Indices into `members`, heaviest first, at most `count`.
std::vector<size_t> owners(const util::Digest& layer, uint64_t chunk,
                           std::span<const std::string_view> members, size_t count);

/// How long who was too busy for bulk is asked for bulk after all others. It is as with people at
/// counters: all know the fastest, and stand there, while the next one is idle.
inline constexpr std::chrono::milliseconds kBusyFor{400};
/// `said`: when it sent us away last; zero: not since it gave.
bool is_busy(util::SteadyTime said, util::SteadyTime now);

/// Indices into `candidates`, best first: our zone before others; then the lowest expected time,
/// where a queue of our own requests counts. A node that shows at two endpoints comes once.
std::vector<size_t> choose(std::span<const Candidate> candidates, std::string_view zone);

/// How long to wait for the first byte before the next is asked as well: for a fault a little more
/// than the peer's p95, 20–50 ms, and 150 ms on top where it must go to the registry first. Bulk
/// has time, and must not ask a registry that is slow already for the same bytes again: 0.5 s, and
/// 1–20 s (four times what the registry takes it, or us) where the registry comes first, or they
/// are on their way from there. `registry`: see Question.
util::Duration hedge_delay(chunk::Class cls, const Candidate& peer, bool has_it,
                           util::Duration registry);

/// Whom to ask, in order; each step's `hedge` is the time without a byte after which the next step
/// is tried as well (max(): never).
struct Step {
  std::optional<size_t> peer;  ///< index into Question::peers; empty: the registry
  util::Duration hedge{};
};

struct Question {
  util::Digest layer;
  uint64_t chunk = 0;
  chunk::Class cls = chunk::Class::fault;
  std::string self;  ///< our node id
  double link = 0;   ///< ours, see Candidate
  std::string zone;
  /// Peers that may be asked: members of the layer's swarm (they have or want it).
  std::span<const Candidate> peers;
  std::vector<size_t> holders;  ///< indices into peers: known to have the chunk, or to have it soon
  /// What such a request takes from the registry by ourselves, smoothed; zero: not measured
  /// (PeerTable::registry).
  util::Duration registry{};
  bool spare = false;      ///< FetchContext::spare
  bool cross_zone = true;  ///< false: the budget for other zones is used up
};
/// Holders first, by choose(), at most three; for bulk those that are not busy, in whatever zone,
/// before those that are, and of a zone those that are not full before those that are, and those
/// that want the layer, and are not four times slower than the fastest, before those that do not,
/// where these are few: it is their links that give what nobody else has, so those of them that
/// have no room come after all others. Then the owner (a shareholder of the layer), for a fault
/// only where nobody is known to hold the chunk, for bulk the next owner as well, so that a late
/// owner costs the registry one more copy and not one from everybody; who comes to ourselves in
/// that order stops there. Who has all of its own share (`spare`) stands in where it is the next
/// owner of a chunk that nobody is known to hold: the first one is late, for whatever reason.
/// Owners that are far slower than the rest (is_slow) are passed over, and so are, ourselves
/// included, those on narrow links: of three or more who could own it and say what comes to them,
/// who says less than a quarter of the middle one, unless these are more than a third of all. The
/// registry is the last step, always.
std::vector<Step> steps(const Question& question);

/// Who has a chunk of a layer, ourselves left out.
struct ChunkCopies {
  size_t of_wanting = 0;  ///< members that are bringing the layer in
  size_t of_others = 0;   ///< those who are not: mostly they have all of it
  size_t wanting = 0;     ///< that are bringing it in, with this chunk or without
  size_t full = 0;        ///< of those who have it: they give as much as they can already
};
/// Whether bulk asks for a chunk of somebody else's share ahead of others. Not where few have it
/// all and many want it: what those few can give at once is the share of each, which he passes on.
/// Nor, of more than 8, where all who have it are full: a crowd before a new chunk brings it no
/// sooner, and what there is plenty of waits meanwhile, at links that are idle.
bool is_to_be_had(const ChunkCopies& copies);

/// Whether the chunk, which somebody has, is of our own share among those who want the layer. We
/// bring it in ahead of others' shares: nodes that want what one has get distinct bytes of it, and
/// give them to each other.
bool is_ours(const Question& question);
/// Whether no more have the chunk than want it, and of these none: what they can give at once is
/// the share of each, and all that they give twice somebody waits for.
bool is_scarce(const Question& question);

/// Too slow to own a share: needs (with the way to the registry) over half a second and more than
/// eight times the median; one that is alone with us, over a second and more than four times what
/// the registry takes us. A crowd that is slow together is not slow in this sense: everybody at the
/// registry instead would be slower.
bool is_slow(const Candidate& candidate, std::span<const Candidate> all, util::Duration registry);

/// How many bytes of a chunk one request asks a peer for. An answer begins when all of it is here:
/// of a chunk that is on its way to its holder (`coming`) bulk asks for 256 KiB at a time, so that
/// it is passed on as it comes, and not once it is whole. A crowd would ask four times as often.
/// (The simulation's chunks are whole.)
uint64_t most_at_once(chunk::Class cls, bool coming, size_t wanting);

/// How long what was asked of peers may bring nothing until the registry is asked as well, where
/// the hedges of all steps take `steps` and `wanting` peers want the layer. A crowd that loses
/// patience makes the registry slower for itself, and for those who bring in what it waits for;
/// peers that are gone are found out by other means. So bulk that others want as well waits while
/// any of it comes (chunk::Plan::in_turns), and among more than 8 so many times longer as they are
/// 8, up to 2 min: what is the registry's last chunk all wait for until its end.
struct Patience {
  util::Duration lasts{};
  bool in_turns = false;
};
Patience patience_with_peers(chunk::Class cls, util::Duration steps, size_t wanting);

/// How long an owner lets bulk wait for the registry: behind a narrow one the first chunks of a
/// crowd come all at once, after a minute, and each second copy would make all of them later.
inline constexpr std::chrono::seconds kRelayPatience{110};

/// How an answer comes along.
struct Progress {
  uint64_t asked = 0;  ///< bytes
  uint64_t arrived = 0;
  util::Duration elapsed{};
  util::Duration expected{};  ///< PeerTable::Attempt::expected
  util::Duration silent{};    ///< since the last byte
};
/// Whether the next step should be tried as well. Before the first byte that is what Step::hedge is
/// for. Then: nothing came for 100 ms (fault) or 1 s (bulk); or it has run for 50 ms (fault) or 2 s
/// (bulk) and for twice what was expected, and would at its present rate take as long again.
bool lags(chunk::Class cls, const Progress& progress);

/// Whether who is late by its hedge or by lags() gets company now. Bulk that comes while our own
/// link is full (FetchContext::congested) is late because of that: a second copy of it would make
/// all of it later.
bool may_overtake(chunk::Class cls, bool congested);

/// What to do with the answer "busy". A fault goes to the next step at once. Bulk pauses and makes
/// its steps anew, with what is known by then (somebody else may have the chunk): a crowd that
/// stands before an owner must not run to the registry before patience_with_peers() ends. Empty:
/// the next step; for bulk there is none before its deadline.
std::optional<util::Duration> pause_when_busy(chunk::Class cls, unsigned times);

/// How long a cap makes bulk wait for a peer, at most: others may have it by then.
inline constexpr std::chrono::milliseconds kMostWait{5'000};

/// How long bulk waits for a peer that named the milliseconds in `told` (Swarmfs-Wait), as its cap
/// says: 50 ms to kMostWait. Empty: it named none, or a reader waits; pause_when_busy() holds then.
std::optional<util::Duration> wait_as_told(chunk::Class cls, std::string_view told);

/// What a node serves to others at once. Faults may use all of it, bulk only its part.
struct ServeLimits {
  unsigned requests = 256;
  unsigned bulk_requests = 64;
  unsigned per_peer = 32;           ///< with its faults twice as many
  uint64_t bytes = 256ull << 20;    ///< promised and not yet sent
  uint64_t bulk_unsent = 12 << 20;  ///< of bulk that is here; see unsent_limit
  uint64_t bulk_rate = 0;           ///< bytes per second of bulk; 0: no limit
  uint64_t bulk_rate_per_peer = 0;  ///< likewise
};
struct ServeLoad {
  unsigned requests = 0;
  unsigned bulk_requests = 0;
  unsigned of_this_peer = 0;
  uint64_t bytes = 0;
};
/// Whether one more request of `length` bytes is within the limits.
bool admits(const ServeLimits& limits, const ServeLoad& load, chunk::Class cls, uint64_t length);

/// How many bytes of bulk that are here may be on their way at once, as unsent_to_another() counts
/// them (up to two and a half times as many, where three take them slowly): 2 MiB more than the
/// link takes in half a second, where `rate` bytes per second were given lately (0: not known), so
/// that it is found out when it takes more. What a crowd asks of one node would else flow all at
/// once, each piece so slowly that for long nobody has any to pass on; through a narrow link for
/// minutes.
uint64_t unsent_limit(const ServeLimits& limits, double rate);
/// What counts of the bytes that are on their way to somebody else than who asks: a quarter of the
/// limit at most. Who takes them slowly (a narrow link) must not keep all others waiting.
uint64_t unsent_to_another(uint64_t limit, uint64_t unsent);
/// Whether bulk that is here is sent now, beside `unsent` bytes of it, of at most `limit`. A fault
/// always is, and so is what nothing goes before.
bool may_send(uint64_t limit, uint64_t unsent, chunk::Class cls, uint64_t length);

/// How a request of another node is answered.
enum class Serve {
  send,   ///< it is here, or on its way from the registry
  relay,  ///< fetched from the registry (never from a peer) and passed on as it comes
  refer,  ///< "ask those": we have it not, but know who has; the asker notes them as holders
  busy,   ///< "later": see pause_when_busy
};
/// `here`: present, or coming from the registry. `elsewhere`: we know a holder, other than the
/// asker; the shares of those who came late may long have been fetched by others.
/// After so many referrals for one request the asker goes to its next step.
inline constexpr unsigned kMostReferrals = 2;
Serve how_to_serve(bool admitted, bool here, bool elsewhere);

}  // namespace swarmfs::swarm
