// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "swarm/endpoint.h"
#include "swarm/policy.h"
#include "util/clock.h"
#include "util/digest.h"

namespace swarmfs::swarm {

/// What is known of one peer, at one moment: for the control API and for tests.
struct Peer {
  Endpoint endpoint;
  std::string node_id;  ///< empty until met
  std::string zone;
  unsigned failures = 0;          ///< in a row
  util::SteadyTime silent_until;  ///< in the past: not silent
  std::string failure;            ///< the last one's reason
  std::string banned;             ///< the reason; empty: not banned
  uint64_t bytes_given = 0;       ///< that we took from it
  unsigned in_flight = 0;
  util::Duration first_byte{};  ///< smoothed, of small requests; zero: never measured
  util::Duration p95{};         ///< of the same
  double rate = 0;              ///< bytes per second, smoothed; 0: never measured
};

/// The peers of this node: how fast, how reliable, whom not to ask. Keeps nothing across a restart.
/// Thread-safe; a leaf: calls nobody.
class PeerTable {
 public:
  /// One request to a peer, from the decision to its end; exactly one of done(), declined(), busy()
  /// and failed() ends it. Destroyed without, we gave up: that is a measurement where it took
  /// longer than expected. One thread at a time; may outlive the table.
  class Attempt {
   public:
    Attempt(Attempt&&) noexcept;
    Attempt& operator=(Attempt&&) noexcept;
    ~Attempt();
    /// Bytes of the answer came.
    void arrived(uint64_t bytes);
    /// The whole answer is here.
    void done();
    /// It answered that it has it not: alive, but nothing to measure.
    void declined();
    /// Likewise; it has no room for bulk now (Candidate::busy).
    void busy();
    /// No connection, broken off, out of time: the peer falls silent, for 1 s, doubling to 60 s
    /// until it answers again. What began before the last failure does not count again.
    void failed(const std::string& why);
    /// What was expected when it began, for lags().
    [[nodiscard]] util::Duration expected() const;
    [[nodiscard]] util::SteadyTime began() const;

   private:
    friend class PeerTable;
    struct Data;
    explicit Attempt(std::unique_ptr<Data> data);
    void end();
    std::unique_ptr<Data> data_;
  };

  /// `self`: our node id, which is never a candidate. `clock` must outlive the table.
  PeerTable(std::string self, const util::Clock& clock);
  ~PeerTable();

  /// Our node id.
  [[nodiscard]] const std::string& self() const;

  /// Peers that were heard of. Known ones stay as they are. At most 4096 are kept: a newcomer takes
  /// the place of the one that failed most often, if any failed.
  void add(const std::vector<Endpoint>& endpoints);
  /// Who answers at an endpoint, from its certificate, and the zone it says it is in; one that is
  /// long or not printable is none.
  void met(const Endpoint& endpoint, const std::string& node_id, const std::string& zone);

  /// Empty: it is silent, banned, ourselves, or its silence is over and another attempt has been
  /// probing it for less than a second. Adds an endpoint that it does not know. `has_it`: it need
  /// not go to the registry first (only then its first byte says how fast it is).
  [[nodiscard]] std::optional<Attempt> attempt(const Endpoint& endpoint, uint64_t length,
                                               bool has_it = true);

  /// For as long as the process lives, or until pardon(). By node id also at endpoints that are met
  /// later. `layer`: because of its bytes, as they were judged by what somebody claims of it.
  void ban(const Endpoint& endpoint, const std::string& reason,
           const std::optional<util::Digest>& layer = {});
  void ban_node(const std::string& node_id, const std::string& reason,
                const std::optional<util::Digest>& layer = {});
  /// What was claimed of the layer is false: those that are banned for its bytes alone are not any
  /// longer.
  void pardon(const util::Digest& layer);
  [[nodiscard]] bool banned(const std::string& node_id) const;

  /// What we needed to bring a range from the registry for somebody else.
  void fetched(util::Duration took);
  /// Smoothed; zero: nothing was fetched for a minute.
  [[nodiscard]] util::Duration registry() const;

  /// Peers that may be asked now, with what is expected of a request of `length` bytes.
  [[nodiscard]] std::vector<Candidate> candidates(uint64_t length) const;
  [[nodiscard]] std::vector<Peer> list() const;
  [[nodiscard]] std::optional<Peer> find(const Endpoint& endpoint) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::swarm
