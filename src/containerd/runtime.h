// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "util/clock.h"
#include "util/digest.h"
#include "util/outcome.h"

namespace swarmfs::containerd {

/// An image as containerd names it.
struct NamedImage {
  std::string name;     ///< usually a reference; only a name
  util::Digest target;  ///< a manifest or an index
};

/// An image was made or changed.
struct ImageEvent {
  std::string name_space;  ///< containerd's namespace
  std::string name;
};

using Labels = std::map<std::string, std::string>;

/// What the watcher asks of containerd (its gRPC API). One thread, but interrupt(). Each call but
/// next_event() ends within seconds. Fault::not_found: containerd has no such thing; invalid: it
/// does not give that; cancelled: interrupted; anything else: it does not answer, and connect() is
/// next.
class Runtime {
 public:
  virtual ~Runtime() = default;
  /// Lets go of the last connection, and asks for events anew. They may begin to come a little
  /// after this returns.
  virtual void connect() = 0;
  /// Where the content store lies on the disk.
  virtual util::Outcome<std::filesystem::path> content_root() = 0;
  virtual util::Outcome<std::vector<std::string>> namespaces() = 0;
  virtual util::Outcome<std::vector<NamedImage>> images(const std::string& name_space) = 0;
  virtual util::Outcome<NamedImage> image(const ImageEvent& event) = 0;
  /// Of a blob of the content store.
  virtual util::Outcome<Labels> labels(const std::string& name_space, const util::Digest& blob) = 0;
  /// The next event; empty: none until then. A Failure: the connection has ended.
  virtual util::Outcome<std::optional<ImageEvent>> next_event(util::SteadyTime until) = 0;
  /// Any thread: what waits, and all that is asked from now on, fails.
  virtual void interrupt() = 0;
};

}  // namespace swarmfs::containerd
