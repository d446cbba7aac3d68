// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/finding.h"

#include <fmt/format.h>

#include <algorithm>

namespace swarmfs::cli {

namespace {

const char* grade_text(Finding::Grade grade) {
  switch (grade) {
    case Finding::Grade::ok:
      return "ok";
    case Finding::Grade::warn:
      return "warn";
    case Finding::Grade::fail:
      return "FAIL";
  }
  return "?";
}

/// What others said may hold anything; a finding is one line.
std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  return text;
}

}  // namespace

Finding well(std::string what, std::string why) {
  return {Finding::Grade::ok, std::move(what), std::move(why), ""};
}

Finding warned(std::string what, std::string why, std::string remedy) {
  return {Finding::Grade::warn, std::move(what), std::move(why), std::move(remedy)};
}

Finding failed(std::string what, std::string why, std::string remedy) {
  return {Finding::Grade::fail, std::move(what), std::move(why), std::move(remedy)};
}

bool is_healthy(const Findings& findings) {
  return std::none_of(findings.begin(), findings.end(),
                      [](const auto& one) { return one.grade == Finding::Grade::fail; });
}

std::string findings_text(const Findings& findings) {
  std::string text;
  for (const auto& one : findings)
    text += one_line(fmt::format("{:<4}  {}: {}{}{}", grade_text(one.grade), one.what, one.why,
                                 one.remedy.empty() ? "" : " – ", one.remedy)) +
            "\n";
  return text;
}

nlohmann::json findings_json(const Findings& findings) {
  auto list = nlohmann::json::array();
  for (const auto& one : findings)
    list.push_back({{"grade", grade_text(one.grade)},
                    {"what", one.what},
                    {"why", one.why},
                    {"remedy", one.remedy}});
  return {{"healthy", is_healthy(findings)}, {"findings", list}};
}

}  // namespace swarmfs::cli
