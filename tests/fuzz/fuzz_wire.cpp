// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// Damaged messages for all readers of the wire: each takes them or does not, quickly, and without
// asking for much more memory than the message has. `--rounds N` is the test, the same every time
// but for keys and certificates;
// `--seconds N [--seed S]` goes on for as long as there is time.

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "fuzz/wire_targets.h"
#include "support/largest_allocation.h"
#include "support/mutator.h"

namespace {

std::string current;  ///< what is being read

/// So that what crashed can be read again.
void keep_what_crashed(int signal) {
  const int fd = ::open("fuzz-crash", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && ::write(fd, current.data(), current.size()) >= 0) ::close(fd);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

namespace swarmfs::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMemory = 64 * 1024;  ///< at once, and so many times the message's length:
constexpr size_t kTimes = 16;
constexpr std::chrono::seconds kLong{2};

bool one(const Target& target, support::Mutator& mutator, uint64_t& taken) {
  current = mutator(target.seeds);
  support::largest_allocation = 0;
  const auto began = Clock::now();
  std::string wrong;
  try {
    taken += target.reads(current);
  } catch (const std::exception& error) {
    wrong = error.what();
  }
  const size_t largest = support::largest_allocation;
  if (largest > kMemory + kTimes * current.size())
    wrong = "asks for " + std::to_string(largest) + " bytes";
  if (Clock::now() - began > kLong) wrong = "takes long";
  if (wrong.empty()) return true;
  std::cerr << target.name << ": " << wrong << ": ";
  for (const char c : current)
    std::fprintf(stderr, c >= ' ' && c < 127 ? "%c" : "\\x%02x", static_cast<unsigned char>(c));
  std::cerr << '\n';
  return false;
}

int run(uint64_t rounds, std::chrono::seconds time, uint64_t seed) {
  support::Mutator mutator(seed);
  auto targets = wire_targets();
  for (auto& target : mirror_targets()) targets.push_back(std::move(target));
  bool good = true;
  for (const auto& target : targets)
    for (const auto& text : target.seeds)
      if (!target.reads(text)) {
        std::cerr << target.name << " does not take what is right\n";
        good = false;
      }
  std::vector<uint64_t> taken(targets.size());
  const auto end = Clock::now() + time;
  uint64_t round = 0;
  for (; good && (round < rounds || Clock::now() < end); ++round)
    for (size_t i = 0; i < targets.size(); ++i) good &= one(targets[i], mutator, taken[i]);
  for (size_t i = 0; i < targets.size(); ++i)
    std::cout << targets[i].name << ": " << taken[i] << " of " << round << " taken\n";
  return good ? 0 : 1;
}

}  // namespace
}  // namespace swarmfs::fuzz

int main(int count, char** arguments) {
  uint64_t rounds = 0, seconds = 0, seed = 1;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    auto& value = name == "--rounds" ? rounds : name == "--seconds" ? seconds : seed;
    value = std::strtoull(arguments[i + 1], nullptr, 10);
  }
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL})
    std::signal(signal, keep_what_crashed);
  return swarmfs::fuzz::run(rounds, std::chrono::seconds(seconds), seed);
}
