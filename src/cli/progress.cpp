// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "util/units.h"

namespace swarmfs::cli {

using Clock = std::chrono::steady_clock;

namespace {
constexpr std::chrono::seconds kLineEvery{5};
constexpr unsigned kBarWidth = 30;
}  // namespace

std::string progress_text(uint64_t done, uint64_t total, double seconds, unsigned bar_width) {
  if (total == 0) return "resolving";
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<unsigned>(share * bar_width);
  std::string bar;
  if (bar_width > 0)
    bar = fmt::format("[{:<{}}] ", std::string(filled, '=') + (filled < bar_width ? ">" : ""),
                      bar_width);
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string left;
  if (rate > 0 && done < total)
    left = fmt::format(", {:.0f} s left", static_cast<double>(total - done) / rate);
  return fmt::format("{}{:3.0f} %  {} of {}, {}/s{}", bar, share * 100, util::human_bytes(done),
                     util::human_bytes(total), util::human_bytes(static_cast<uint64_t>(rate)),
                     left);
}

std::string nodes_text(const nlohmann::json& job) {
  if (!job.contains("nodes")) return "";
  size_t done = 0, failed = 0;
  for (const auto& node : job.at("nodes")) {
    done += node.value("state", "") == "done";
    failed += node.value("state", "") == "failed";
  }
  return fmt::format(", {} of {} nodes done", done, job.at("nodes").size()) +
         (failed > 0 ? fmt::format(", {} failed", failed) : "");
}

std::string share_text(const nlohmann::json& bytes_by_source, double seconds) {
  uint64_t total = 0;
  for (const auto& [source, bytes] : bytes_by_source.items()) total += bytes.get<uint64_t>();
  std::string text = util::human_bytes(total);
  const char* separator = ": ";
  for (const auto& [source, bytes] : bytes_by_source.items()) {
    const auto count = bytes.get<uint64_t>();
    if (count == 0) continue;
    text += fmt::format("{}{:.0f} % {}", separator,
                        100.0 * static_cast<double>(count) / static_cast<double>(total), source);
    separator = ", ";
  }
  return text + fmt::format(", {:.1f} s", seconds);
}

Progress::Progress(std::FILE* out, std::string what, bool quiet)
    : out_(out), what_(std::move(what)), quiet_(quiet), terminal_(isatty(fileno(out)) == 1) {}

void Progress::show(const nlohmann::json& job) {
  if (quiet_ || job.value("state", "") != "running") return;
  const auto now = Clock::now();
  const auto text =
      progress_text(job.value("bytes_done", uint64_t{0}), job.value("bytes_total", uint64_t{0}),
                    job.value("seconds", 0.0), terminal_ ? kBarWidth : 0) +
      nodes_text(job);
  if (terminal_) {
    fmt::print(out_, "\r{}  {}\033[K", what_, text);
    drawn_ = true;
  } else if (now - last_line_ >= kLineEvery) {
    fmt::print(out_, "{}  {}\n", what_, text);
    last_line_ = now;
  }
  std::fflush(out_);
}

void Progress::end() {
  if (drawn_) std::fputs("\r\033[K", out_);
  drawn_ = false;
}

}  // namespace swarmfs::cli
