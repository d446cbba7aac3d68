// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// delay_link NETNS_A IF_A NETNS_B IF_B DELAY_MS [JITTER_MS]
// Joins two network namespaces by a TAP device each; every frame arrives DELAY_MS later on the
// other side, and up to JITTER_MS more: how much, is drawn anew every few milliseconds, as on a
// way through busy machines. Stands in for netem where the kernel has none. Prints "ready" when
// both devices are there; runs until it is killed.

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kQueueLimit = 20'000;
constexpr int kFramesPerTurn = 64;
constexpr std::chrono::milliseconds kUnchanged{5};

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int open_tap(const char* netns, const char* name) {
  const std::string path = std::string("/run/netns/") + netns;
  const int space = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNET) != 0) die(path.c_str());
  close(space);
  const int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (device < 0 || ioctl(device, TUNSETIFF, &request) != 0) die(name);
  return device;
}

struct Frame {
  Clock::time_point due;
  std::vector<char> bytes;
};

struct Side {
  int device = -1;
  std::deque<Frame> incoming;  ///< for this side, in order of their time
};

/// What the way takes now.
class Way {
 public:
  Way(std::chrono::microseconds least, std::chrono::microseconds jitter, unsigned seed)
      : least_(least), jitter_(0, jitter.count()), random_(seed) {}

  Clock::duration delay(Clock::time_point now) {
    if (now >= changes_) {
      changes_ = now + kUnchanged;
      delay_ = least_ + std::chrono::microseconds(jitter_(random_));
    }
    return delay_;
  }

 private:
  std::chrono::microseconds least_;
  std::uniform_int_distribution<long> jitter_;
  std::mt19937 random_;
  Clock::time_point changes_{};
  Clock::duration delay_{};
};

void take(Side& from, Side& to, Way& way) {
  std::array<char, 70'000> buffer;
  for (int i = 0; i < kFramesPerTurn; ++i) {
    const ssize_t got = read(from.device, buffer.data(), buffer.size());
    if (got <= 0) return;
    const auto now = Clock::now();
    auto due = now + way.delay(now);
    if (!to.incoming.empty()) due = std::max(due, to.incoming.back().due);
    if (to.incoming.size() < kQueueLimit)
      to.incoming.push_back({due, {buffer.data(), buffer.data() + got}});
  }
}

void hand_over(Side& to) {
  while (!to.incoming.empty() && to.incoming.front().due <= Clock::now()) {
    const auto& bytes = to.incoming.front().bytes;
    // A full or vanished device drops the frame, as a wire would.
    [[maybe_unused]] const ssize_t put = write(to.device, bytes.data(), bytes.size());
    to.incoming.pop_front();
  }
}

void arm(int timer, const std::array<Side, 2>& sides) {
  auto next = Clock::time_point::max();
  for (const auto& side : sides)
    if (!side.incoming.empty()) next = std::min(next, side.incoming.front().due);
  itimerspec spec{};
  if (next != Clock::time_point::max()) {
    const auto count = std::chrono::nanoseconds(next.time_since_epoch()).count();
    spec.it_value = {count / 1'000'000'000, count % 1'000'000'000};
  }
  timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, nullptr);
}

}  // namespace

int main(int count, char** words) {
  if (count != 6 && count != 7) {
    std::fputs("usage: delay_link NETNS_A IF_A NETNS_B IF_B DELAY_MS [JITTER_MS]\n", stderr);
    return 2;
  }
  std::array<Side, 2> sides;
  sides[0].device = open_tap(words[1], words[2]);
  sides[1].device = open_tap(words[3], words[4]);
  const auto in_us = [](const char* ms) {
    return std::chrono::microseconds(static_cast<long>(std::atof(ms) * 1000));
  };
  const auto jitter = in_us(count == 7 ? words[6] : "0");
  std::array<Way, 2> ways{Way(in_us(words[5]), jitter, 1), Way(in_us(words[5]), jitter, 2)};
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  std::puts("ready");
  std::fflush(stdout);
  while (true) {
    for (auto& side : sides) hand_over(side);
    arm(timer, sides);
    std::array<pollfd, 3> waits{
        {{sides[0].device, POLLIN, 0}, {sides[1].device, POLLIN, 0}, {timer, POLLIN, 0}}};
    poll(waits.data(), waits.size(), -1);
    uint64_t ticks = 0;
    [[maybe_unused]] const ssize_t read_ticks = read(timer, &ticks, sizeof ticks);
    if (waits[0].revents & POLLIN) take(sides[0], sides[1], ways[0]);
    if (waits[1].revents & POLLIN) take(sides[1], sides[0], ways[1]);
  }
}
