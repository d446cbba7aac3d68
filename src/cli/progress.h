// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace swarmfs::cli {

/// Shows a job's progress: a bar that is redrawn on a terminal, else a plain line every few
/// seconds. Writes to `out` (standard error: standard output is for results).
class Progress {
 public:
  Progress(std::FILE* out, std::string what, bool quiet);
  void show(const nlohmann::json& job);
  /// Takes the bar off the screen.
  void end();

 private:
  std::FILE* out_;
  const std::string what_;
  const bool quiet_;
  const bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_line_{};
};

/// "[=====>    ]  52 %  126 MB of 240 MB  11 MB/s  in 10 s". Pure.
std::string progress_text(uint64_t done, uint64_t total, double seconds, unsigned bar_width);

/// Of a preheat: ", 2 of 4 nodes done, 1 failed"; of other jobs "". Pure.
std::string nodes_text(const nlohmann::json& job);

/// "240 MB: 71 % cache, 29 % registry, 4.1 s". Pure.
std::string share_text(const nlohmann::json& bytes_by_source, double seconds);

}  // namespace swarmfs::cli
