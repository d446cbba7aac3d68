// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace swarmfs::support {

/// Damages texts and documents, the same way for the same seed on every machine.
class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  /// One of `seeds` with one to four kinds of damage.
  std::string operator()(const std::vector<std::string>& seeds) {
    std::string made = seeds[below(seeds.size())];
    for (uint64_t times = 1 + below(4); times > 0; --times) damage(made, seeds);
    return made;
  }
  uint64_t below(uint64_t end) { return end == 0 ? 0 : random_() % end; }

 private:
  void damage(std::string& text, const std::vector<std::string>& seeds) {
    static const std::vector<std::string> kSpice{"0",
                                                 "-1",
                                                 "18446744073709551615",
                                                 "18446744073709551616",
                                                 "1e308",
                                                 "null",
                                                 "\"",
                                                 "{",
                                                 "}",
                                                 "[[[[",
                                                 "\\u0000",
                                                 "%00",
                                                 "%",
                                                 "=",
                                                 "&",
                                                 ",",
                                                 ":",
                                                 "\r\n",
                                                 std::string(1, '\0'),
                                                 "\xff\xfe"};
    const size_t at = below(text.size() + 1);
    const size_t length = below(std::min<size_t>(text.size() - at, 64) + 1);
    switch (below(7)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(at, length));
        break;
      case 3:
        text.insert(at, kSpice[below(kSpice.size())]);
        break;
      case 4:
        text.replace(at, length, kSpice[below(kSpice.size())]);
        break;
      case 5:
        text.resize(at);
        break;
      default:
        if (const auto& other = seeds[below(seeds.size())]; !other.empty())
          text.replace(at, length, other.substr(below(other.size())));
    }
  }

  std::mt19937_64 random_;
};

}  // namespace swarmfs::support
