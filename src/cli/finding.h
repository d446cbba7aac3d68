// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// What doctor finds. Pure.
namespace swarmfs::cli {

/// One check's outcome. `fail`: something that this node is for does not work.
struct Finding {
  enum class Grade { ok, warn, fail };
  Grade grade = Grade::ok;
  std::string what;    ///< "cache", "peer 10.0.0.4:7946"
  std::string why;     ///< what was seen
  std::string remedy;  ///< what to do; empty: nothing
};
using Findings = std::vector<Finding>;

Finding well(std::string what, std::string why);
Finding warned(std::string what, std::string why, std::string remedy);
Finding failed(std::string what, std::string why, std::string remedy);

bool is_healthy(const Findings& findings);

/// A line each: "ok    cache: …", "warn  …", "FAIL  cache: why – what to do".
std::string findings_text(const Findings& findings);
/// {"healthy", "findings": [{"grade", "what", "why", "remedy"}]}
nlohmann::json findings_json(const Findings& findings);

}  // namespace swarmfs::cli
