// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunk/fetch_context.h"
#include "chunk/layer_ref.h"
#include "chunk/source.h"
#include "http/client.h"
#include "mirror/document.h"
#include "mirror/route.h"
#include "oci/reference.h"
#include "util/clock.h"
#include "util/outcome.h"

namespace swarmfs::mirror {

/// Whose word a document is; `caller`: the registry's, to a caller in his own name; the ledger's:
/// somebody's of earlier.
enum class Word { registry, caller, member, ledger };

/// What a registry says to somebody who wants a manifest of it.
struct Permission {
  enum class Kind {
    allowed,
    denied,   ///< with `status` and `challenges`
    absent,   ///< there is no such manifest
    unknown,  ///< the registry did not say
  };
  Kind kind = Kind::unknown;
  int status = 401;
  std::vector<std::string> challenges{};  ///< WWW-Authenticate, line by line
  std::optional<Document> document{};     ///< of allowed, where it came with the answer
};

/// What the mirror needs from the rest of the daemon, which implements it. Any thread, several at
/// once; the calls block, at most until `deadline` where there is one.
class Upstream {
 public:
  virtual ~Upstream() = default;

  /// Whether the registry gives the manifest to who sends this Authorization header; empty: to
  /// nobody in particular. No credential of this node's is used.
  virtual Permission ask(const oci::Reference& reference, const std::string& authorization,
                         util::SteadyTime deadline) = 0;
  /// The registry was found to give the repository to anybody not long ago. Never waits.
  virtual bool known_public(const oci::Reference& reference) = 0;
  /// Whether this node has a credential of its own for the repository. May read files.
  virtual bool has_credentials(const oci::Reference& reference) = 0;
  /// From the registry, with this node's credentials, or in the name of who sends this header.
  virtual util::Outcome<Document> manifest(const oci::Reference& reference,
                                           const std::string& authorization,
                                           util::SteadyTime deadline) = 0;
  /// Who sends this header may pull from the repository, for which this node has no credential:
  /// with it the blobs are fetched from now on. Never waits.
  virtual void lend(const oci::Reference& reference, const std::string& authorization) = 0;
  /// From a member of the cluster. They give what is public, and this node has no credentials for;
  /// empty: nobody knows it.
  virtual std::optional<Document> from_members(const oci::Reference& reference) = 0;
  /// One request in the caller's name: the registry's answer, whatever it is.
  virtual util::Outcome<http::Response> relay(const Route& route, const std::string& method,
                                              const std::string& query,
                                              const http::Headers& headers,
                                              util::SteadyTime deadline) = 0;

  /// Some bytes of a blob, and no more, as the registry gives them to who sends this header (as in
  /// ask()). Fault::not_found, denied, invalid: it does not, or knows no ranges; unavailable or
  /// timed_out: it did not say. `cls`: how it waits for what else the registry is asked, where
  /// nobody in particular asks; in a caller's name it does not.
  virtual util::Outcome<util::Bytes> bytes_of(const oci::Reference& blob, util::ByteRange range,
                                              const std::string& authorization, chunk::Class cls,
                                              util::SteadyTime deadline) = 0;
  /// The front of a blob up to `end`, of a registry that knows no ranges; to whom and how as
  /// bytes_of() has it. Callbacks as Source::fetch().
  virtual std::unique_ptr<chunk::Transfer> front_of(const oci::Reference& blob, uint64_t end,
                                                    const std::string& authorization,
                                                    chunk::Source::OnData on_data,
                                                    chunk::Source::OnDone on_done) = 0;

  /// The registry, or a member, said now what the reference stands for.
  virtual void learnt(const oci::Reference& reference, const Document& document, Word word) = 0;
  /// A manifest was given out: its blobs will be wanted, here and by peers.
  virtual void gave(const oci::Reference& reference, const Document& document, Word word) = 0;
  /// The repository showed that it holds the blob, to a caller or by giving all of it.
  virtual void showed(const std::string& repository, const util::Digest& blob) = 0;
  /// Bytes of the blob are about to be read: what is known of it counts from now on, as long as the
  /// result lives.
  virtual std::shared_ptr<const void> opened(const chunk::LayerRef& blob) = 0;
  /// The same of a blob that is about to come. Where it is a layer of which nothing is known, and a
  /// member soon says what its bytes must be, what comes is held against that (Layer::claimed).
  virtual std::shared_ptr<const void> claimed(const chunk::LayerRef& blob,
                                              const std::string& media_type) = 0;
  /// All sources contradict what a member says of the blob. True: that is laid aside, what comes
  /// from now on is as of a blob of which nothing is known. The whole of it will tell who lied.
  virtual bool dispute(const chunk::LayerRef& blob) = 0;
  /// All of the blob is here, as a member says it must be, and does not match its digest. What is
  /// here of it was dropped, or made good, when this returns.
  virtual void disprove(const chunk::LayerRef& blob) = 0;
  /// All of it passed: it is to be hashed, and others may have it. Never waits.
  virtual void complete(const chunk::LayerRef& blob, const std::string& media_type) = 0;
};

}  // namespace swarmfs::mirror
