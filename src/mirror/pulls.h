// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mirror/document.h"
#include "oci/reference.h"
#include "util/clock.h"

namespace swarmfs::mirror {

/// Who asks. The address is that of one connection; a client has several.
struct Caller {
  std::string agent;    ///< its name for itself
  std::string address;  ///< "127.0.0.1:40312"
};

/// What one client got of one image, in several requests.
struct Pull {
  oci::Reference what;
  Caller caller;
  size_t named = 0;  ///< blobs of its manifests
  size_t blobs = 0;  ///< given to their end, each counted once
  std::map<std::string, uint64_t> by_source{};
  size_t failures = 0;
  std::string failure{};  ///< the last one
  util::Duration took{};  ///< from the first request to the end of the last answer
};

/// "pulled registry.example.com/app:v1 for containerd/1.6.20 at 127.0.0.1:40312: 5 blobs, 49.5 MB
/// (cache 12.0 MB, peer 37.5 MB) in 1.9 s", with what failed.
std::string in_words(const Pull& pull);
/// "cache 12.0 MB, peer 37.5 MB"
std::string in_words(const std::map<std::string, uint64_t>& by_source);

/// Groups the requests of clients into pulls. One begins with a manifest (or a blob that belongs to
/// none) and ends when all that its manifests name was given, when nothing happened for a while,
/// or when its tag is asked for again. Not synchronised; bounded: for a new one the oldest makes
/// room of which no blob is on its way.
class Pulls {
 public:
  static constexpr std::chrono::seconds kIdle{30};
  static constexpr size_t kMost = 256;
  static constexpr size_t kMostParts = 4096;  ///< blobs and manifests of one pull
  using Ended = std::vector<Pull>;
  using Id = uint64_t;

  /// What a document names.
  struct Contents {
    std::set<util::Digest> documents;  ///< itself too
    std::set<util::Digest> blobs;
  };
  static Contents contents_of(const Document& document);
  /// `given`: what was given; empty: nothing, and `failure` says why.
  Ended manifest(util::SteadyTime now, const Caller& caller, const oci::Reference& reference,
                 std::optional<Contents> given, const std::string& failure);
  /// A blob begins to be sent, as part of the pull with this id; each such call is followed by
  /// blob_ended().
  Id blob_begins(util::SteadyTime now, const Caller& caller, const oci::Reference& blob,
                 Ended& ended);
  /// `last`: its end was sent. `failure`: empty when all went well.
  Ended blob_ended(util::SteadyTime now, Id id, const util::Digest& blob,
                   const std::map<std::string, uint64_t>& by_source, bool last,
                   const std::string& failure);
  Ended blob_failed(util::SteadyTime now, const Caller& caller, const oci::Reference& blob,
                    const std::string& failure);
  /// Time has passed.
  Ended tend(util::SteadyTime now);
  Ended end_all();

 private:
  struct Open {
    Id id = 0;
    Pull pull;
    std::string host;  ///< of the caller
    std::set<util::Digest> documents, named, given;
    size_t running = 0;  ///< blobs on their way
    util::SteadyTime began, last;
  };
  using Opens = std::list<Open>;  ///< in the order in which they began

  [[nodiscard]] Opens::iterator find_blob(const Caller& caller, const oci::Reference& blob);
  Open& begin(util::SteadyTime now, const Caller& caller, const oci::Reference& what, Ended& ended);
  Open& of_manifest(util::SteadyTime now, const Caller& caller, const oci::Reference& reference,
                    Ended& ended);
  Open& of_blob(util::SteadyTime now, const Caller& caller, const oci::Reference& blob,
                Ended& ended);
  void end(Opens::iterator open, Ended& ended);
  void make_room(Ended& ended);

  Opens open_;
  Id next_ = 1;
};

}  // namespace swarmfs::mirror
