// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/mount_options.h"

#include <algorithm>
#include <array>
#include <map>

namespace swarmfs::cli {

using util::Failure;
using util::Fault;

namespace {

/// One of several that exclude each other. `narrows`: it is more than the absence of the others.
struct Choice {
  std::string_view name, group;
  bool narrows;
};
constexpr std::array<Choice, 13> kChoices{{{"nosuid", "suid", true},
                                           {"suid", "suid", false},
                                           {"nodev", "dev", true},
                                           {"dev", "dev", false},
                                           {"noexec", "exec", true},
                                           {"exec", "exec", false},
                                           {"noatime", "atime", true},
                                           {"relatime", "atime", true},
                                           {"strictatime", "atime", true},
                                           {"atime", "atime", false},
                                           {"norelatime", "atime", false},
                                           {"nodiratime", "diratime", true},
                                           {"diratime", "diratime", false}}};

constexpr std::array<std::string_view, 15> kSkipped = {
    "ro",   "defaults", "auto",     "noauto", "_netdev", "nofail",     "nouser",       "noowner",
    "sync", "async",    "lazytime", "silent", "loud",    "nolazytime", "nostrictatime"};

std::string_view implied_by(std::string_view name) {
  if (name == "user" || name == "users") return "nosuid,nodev,noexec";
  if (name == "owner" || name == "group") return "nosuid,nodev";
  return "";
}

bool is_skipped(std::string_view name) {
  return name.empty() || name.starts_with("x-") || name.starts_with("X-") || name == "comment" ||
         std::find(kSkipped.begin(), kSkipped.end(), name) != kSkipped.end();
}

std::string_view cut(std::string_view& text) {
  const auto option = text.substr(0, text.find(','));
  text.remove_prefix(std::min(option.size() + 1, text.size()));
  return option;
}

class Parser {
 public:
  explicit Parser(Author author) : author_(author) {}

  /// Empty: understood.
  std::string take(std::string_view text) {
    while (!text.empty()) {
      const auto option = cut(text);
      if (auto wrong = take_one(option); !wrong.empty()) return wrong;
    }
    return "";
  }
  MountOptions result() {
    for (const auto& choice : kChoices)  // in this order, so that the same says the same
      if (choice.narrows && chosen_[choice.group] == choice.name)
        made_.flags += (made_.flags.empty() ? "" : ",") + std::string(choice.name);
    return std::move(made_);
  }

 private:
  std::string take_one(std::string_view option) {
    const auto name = option.substr(0, option.find('='));
    const std::string value(option.substr(std::min(name.size() + 1, option.size())));
    if (name == "socket" || name == "platform") {
      (name == "socket" ? made_.socket : made_.platform) = value;
      return "";
    }
    if (name == "pin") return made_.pin = true, "";
    if (name == "rw")
      return author_ == Author::mount_8 ? "" : "an image is mounted read-only: rw cannot be";
    if (const auto more = implied_by(name); !more.empty()) return take(more);
    const auto choice = std::find_if(kChoices.begin(), kChoices.end(),
                                     [&](const Choice& one) { return one.name == option; });
    if (choice != kChoices.end()) {
      chosen_[choice->group] = choice->name;
      return "";
    }
    if (is_skipped(name)) return "";
    return "unknown mount option '" + std::string(option) +
           "' (known: pin, platform=OS/ARCH, socket=PATH, nosuid, nodev, noexec, noatime, "
           "nodiratime, relatime, strictatime)";
  }

  const Author author_;
  MountOptions made_;
  std::map<std::string_view, std::string_view> chosen_;  ///< of each group
};

}  // namespace

util::Outcome<MountOptions> parse_mount_options(std::string_view text, Author author) {
  Parser parser(author);
  if (auto wrong = parser.take(text); !wrong.empty())
    return Failure{Fault::invalid, std::move(wrong)};
  return parser.result();
}

}  // namespace swarmfs::cli
