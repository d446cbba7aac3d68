// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/marked_block.h"

#include <algorithm>
#include <array>

#include "util/error.h"

namespace swarmfs::cli {

namespace {

constexpr std::string_view kFirstLine = "# swarmfs configure: begin";
constexpr std::string_view kLastLine = "# swarmfs configure: end";

struct MadeWords {
  Made made;
  std::string_view words;
};
constexpr std::array kMadeWords{
    MadeWords{Made::file_and_directory, " (made this file and its directory)"},
    MadeWords{Made::file, " (made this file)"}, MadeWords{Made::nothing, ""}};

/// Where a line that begins so is, from `start` on.
size_t find_line(std::string_view text, std::string_view beginning, size_t start) {
  while (start < text.size()) {
    if (text.substr(start).starts_with(beginning)) return start;
    const size_t end = text.find('\n', start);
    if (end == text.npos) break;
    start = end + 1;
  }
  return text.npos;
}

Made read_made(std::string_view first_line) {
  const auto said = std::find_if(kMadeWords.begin(), kMadeWords.end(), [&](const MadeWords& one) {
    return first_line.substr(kFirstLine.size()).starts_with(one.words);
  });
  return said->made;
}

bool has_directory(const NodeView& node, const std::filesystem::path& directory) {
  const auto names = node.list(directory.parent_path());
  return std::find(names.begin(), names.end(), directory.filename().string() + "/") != names.end();
}

}  // namespace

std::string MarkedText::rest() const {
  std::string made_whole = before;
  // Its last line was ended for the block's sake only.
  if (!block.empty() && block.back() != '\n' && !made_whole.empty()) made_whole.pop_back();
  return made_whole + after;
}

MarkedText find_marked(std::string_view text, const std::string& file) {
  MarkedText found;
  const size_t begin = find_line(text, kFirstLine, 0);
  if (begin == text.npos) {
    found.before = text;
    return found;
  }
  const size_t last = find_line(text, kLastLine, begin);
  if (last == text.npos)
    throw util::Error(
        file + ":" + std::to_string(1 + std::count(text.begin(), text.begin() + begin, '\n')) +
        ": '" + std::string(kFirstLine) + "' without its end: take out by hand what is swarmfs's");
  const size_t end = std::min(text.find('\n', last), text.size() - 1) + 1;
  found.before = text.substr(0, begin);
  found.block = text.substr(begin, end - begin);
  found.after = text.substr(end);
  found.made = read_made(found.block);
  return found;
}

std::string marked(const std::string& body, Made made) {
  const auto words = std::find_if(kMadeWords.begin(), kMadeWords.end(),
                                  [&](const MadeWords& one) { return one.made == made; });
  return std::string(kFirstLine) + std::string(words->words) + "\n" + body +
         std::string(kLastLine) + "\n";
}

std::string insert_marked(const std::string& text, size_t offset, const std::string& block) {
  if (offset == text.size() && !text.empty() && text.back() != '\n')
    return text + "\n" + block.substr(0, block.size() - 1);
  return text.substr(0, offset) + block + text.substr(offset);
}

size_t offset_above(std::string_view text, size_t line) {
  std::vector<size_t> starts{0};
  while (starts.size() < line) {
    const size_t end = text.find('\n', starts.back());
    if (end == text.npos) return text.size();
    starts.push_back(end + 1);
  }
  while (starts.size() > 1 && text[starts[starts.size() - 2]] == '#') starts.pop_back();
  return starts.back();
}

FileChange change_marked(const NodeView& node, const std::filesystem::path& file, bool remove,
                         const AddBlock& add) {
  FileChange change{.file = file, .before = node.read(file), .after = std::nullopt};
  const MarkedText old = find_marked(change.before.value_or(""), file.string());
  const std::string theirs = old.rest();
  if (!remove) {
    const Made made = change.before                             ? old.made
                      : has_directory(node, file.parent_path()) ? Made::file
                                                                : Made::file_and_directory;
    change.after = add(theirs, made);
    return change;
  }
  if (change.before && (old.made == Made::nothing || !theirs.empty())) change.after = theirs;
  change.remove_directory = !change.after && old.made == Made::file_and_directory;
  return change;
}

}  // namespace swarmfs::cli
