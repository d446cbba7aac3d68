// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "content/content.h"
#include "util/outcome.h"
#include "util/sync.h"

namespace swarmfs::image {

/// A mount or a pull under way. Any thread.
class Job {
 public:
  enum class State { running, done, failed };

  struct View {
    State state = State::running;
    std::optional<util::Failure> error;
    uint64_t bytes_total = 0;
    uint64_t bytes_done = 0;
    double seconds = 0;
    /// What this job brought in; "cache": what was here when its layers were known.
    std::map<std::string, uint64_t> sources;
    std::string image;  ///< name of what a mount has brought
  };

  Job(std::string id, std::string kind, std::string reference);
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const std::string& kind() const { return kind_; }
  [[nodiscard]] const std::string& reference() const { return reference_; }

  /// The layers it brings in, once known.
  void set_layers(std::vector<std::shared_ptr<fetch::Layer>> layers);
  /// Past this point it cannot be cancelled. False: it was.
  [[nodiscard]] bool commit(std::string image);
  /// Nobody waits for it any more. It ends soon, except for an index under way, which is kept.
  void cancel();
  [[nodiscard]] bool cancelled() const;
  void end(std::optional<util::Failure> failure);
  [[nodiscard]] View wait(std::chrono::milliseconds most);

 private:
  struct Inside {
    State state = State::running;
    std::optional<util::Failure> error;
    std::vector<std::shared_ptr<fetch::Layer>> layers;
    std::map<std::string, uint64_t> before;
    uint64_t were_here = 0;
    std::string image;
    bool cancelled = false;
    View last;  ///< frozen at the end
  };
  View view(const Inside& inside) const;

  const std::string id_, kind_, reference_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  util::Sync<Inside> inside_;
  std::condition_variable changed_;
};

}  // namespace swarmfs::image
