// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/plan_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace swarmfs::cli {

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\n', start);
    if (end == text.npos) {
      lines.push_back(text.substr(start) + "\n\\ no newline at the end\n");
      break;
    }
    lines.push_back(text.substr(start, end + 1 - start));
    start = end + 1;
  }
  return lines;
}

const char* state_of(const FileChange& change, PlanUse use, bool removes) {
  const bool to_be = change.after.has_value();
  if (!change.changes()) return !to_be ? "absent" : removes ? "nothing of swarmfs's" : "in place";
  if (use == PlanUse::write) return to_be ? "written" : "removed";
  if (use == PlanUse::show) return to_be ? "would be written" : "would be removed";
  return change.before ? "differs" : "missing";
}

}  // namespace

std::string plan_text(const RuntimePlan& plan, PlanUse use) {
  std::string text;
  for (const auto& change : plan.files) {
    text += fmt::format("{}: {}\n", change.file.string(), state_of(change, use, plan.removes));
    if (use != PlanUse::write) text += diff_text(change);
  }
  for (const auto& reason : plan.ignored) text += "IGNORED: " + reason + "\n";
  for (const auto& note : plan.notes) text += "note: " + note + "\n";
  return text;
}

nlohmann::json plan_json(const RuntimePlan& plan, PlanUse use) {
  auto files = nlohmann::json::array();
  for (const auto& change : plan.files)
    files.push_back(
        {{"path", change.file.string()}, {"state", state_of(change, use, plan.removes)}});
  return {{"files", files}, {"ignored", plan.ignored}, {"notes", plan.notes}};
}

bool is_in_effect(const RuntimePlan& plan) {
  return plan.ignored.empty() && std::none_of(plan.files.begin(), plan.files.end(),
                                              [](const auto& one) { return one.changes(); });
}

std::string diff_text(const FileChange& change) {
  if (!change.changes()) return "";
  const auto was = lines_of(change.before.value_or(""));
  const auto is = lines_of(change.after.value_or(""));
  const auto [from, to] = std::mismatch(was.begin(), was.end(), is.begin(), is.end());
  auto was_end = was.end();
  auto is_end = is.end();
  while (was_end != from && is_end != to && *(was_end - 1) == *(is_end - 1)) --was_end, --is_end;
  std::string text = fmt::format("@@ line {} @@\n", 1 + (from - was.begin()));
  for (auto line = from; line != was_end; ++line) text += "-" + *line;
  for (auto line = to; line != is_end; ++line) text += "+" + *line;
  return text;
}

}  // namespace swarmfs::cli
