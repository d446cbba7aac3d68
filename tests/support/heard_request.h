// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

namespace swarmfs::support {

/// What a scripted server was asked.
struct HeardRequest {
  std::string target;  ///< "/v2/a/manifests/v1"
  std::string head;    ///< all of the header, as it came

  [[nodiscard]] bool is_whole() const { return head.find("\r\n\r\n") != std::string::npos; }
  /// Of the head, as far as it came.
  void find_target() {
    const size_t from = head.find(' ') + 1;
    target = head.substr(from, head.find(' ', from) - from);
  }
  /// Empty: not there.
  [[nodiscard]] std::string header(const std::string& name) const {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t from = at + name.size() + 4;
    return head.substr(from, head.find("\r\n", from) - from);
  }
};

}  // namespace swarmfs::support
