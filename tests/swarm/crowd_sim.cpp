// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// How soon a crowd agrees on the shareholders of a layer, and how many news its nodes answer, by
// the size of the crowd: crowd_sim [NODES...]. On a virtual clock, see crowd.h.

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "crowd.h"

int main(int count, char** arguments) {
  using swarmfs::swarm::CrowdOptions;
  std::vector<size_t> sizes;
  for (int i = 1; i < count; ++i) sizes.push_back(std::strtoul(arguments[i], nullptr, 10));
  if (sizes.empty()) sizes = {64, 250, 1000, 5000};
  std::printf(" nodes  agree after  agreement  least  news/s  busiest/s   CPU s\n");
  for (const size_t nodes : sizes) {
    CrowdOptions options{.nodes = nodes, .losses_per_minute = 0.01};
    options.lasts = std::chrono::seconds(10);
    const std::clock_t began = std::clock();
    const auto made = run_crowd(options);
    std::printf("%6zu  %9.1f s  %9.3f  %5.2f  %6.0f  %9.0f  %6.1f\n", nodes, made.agrees_after,
                made.agreement, made.least_agreement, made.news_per_second, made.busiest_per_second,
                static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC);
    std::fflush(stdout);
  }
  return 0;
}
