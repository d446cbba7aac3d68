// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <getopt.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "crowd.h"

namespace {

using swarmfs::swarm::CrowdOptions;
using swarmfs::swarm::CrowdResult;

constexpr const char* kHelp =
    R"(crowd_sim: nodes that pull one layer together, on a virtual clock, by the policies of the daemon.
    crowd_sim [--nodes 1,10,100,1000,5000] [--image MIB] [--loss PERCENT] [--straggler PERCENT]
        [--seeds N] [--zones N] [--link MBIT] [--registry MBIT] [--delay MS] [--joins MS] [--seconds S] [--seed N]
        [--trace]
--nodes      sizes of the crowd, a row each
--image      MiB of the layer, in chunks of 1 MiB (1000); 0: news alone, for --seconds
--seeds      nodes besides, that have all of it before the others join (0)
--loss       percent of the nodes that vanish in a minute, a fresh one joins for each (1)
--straggler  percent of the nodes that have a link 20 times narrower (1); "p50" to "last" leave them out
--zones      the nodes are in, 4 ms RTT between them (2)
--link       Mbit/s of a node, each way (1000); --registry: of the registry, for all (1000)
--delay      ms until the registry answers (30)
--joins      ms within which all nodes join (1000)
--seconds    of virtual time, at most (600)
--trace      a row a second as well: what came and what was sent for nothing, what peers answered, what the chunks
             under way wait for ("flow": they come; "relay": for a peer; "own": for the registry; "paused": told to
             ask again), how much somebody has and a node on average, and why the registry was asked (again: for what somebody has or brings)
copies: of the layer, from the registry. p50, p99, last: from joining to having all of it, over the
optimum (the layer over the narrower link). slow: the last straggler, over its own optimum. zone2: part of
what peers gave that came from another zone. news/s: that the busiest node answers, and about how many Mbit/s
they are (no link carries them here). agree: mean part of the true shareholders that a node takes for such.
)";

const option kOptions[] = {{"nodes", required_argument, nullptr, 'n'},
                           {"image", required_argument, nullptr, 'i'},
                           {"loss", required_argument, nullptr, 'l'},
                           {"straggler", required_argument, nullptr, 's'},
                           {"zones", required_argument, nullptr, 'z'},
                           {"link", required_argument, nullptr, 'k'},
                           {"registry", required_argument, nullptr, 'r'},
                           {"delay", required_argument, nullptr, 'd'},
                           {"joins", required_argument, nullptr, 'j'},
                           {"seconds", required_argument, nullptr, 't'},
                           {"seeds", required_argument, nullptr, 'S'},
                           {"seed", required_argument, nullptr, 'x'},
                           {"trace", no_argument, nullptr, 'T'},
                           {"help", no_argument, nullptr, 'h'},
                           {}};

std::vector<size_t> sizes_of(const std::string& list) {
  std::vector<size_t> made;
  for (size_t at = 0; at < list.size(); at = list.find(',', at) + 1) {
    made.push_back(std::strtoul(list.c_str() + at, nullptr, 10));
    if (made.back() == 0) return {};
    if (list.find(',', at) == std::string::npos) break;
  }
  return made;
}

/// False: no such option, or help is wanted.
bool set(CrowdOptions& options, std::vector<size_t>& sizes, int name, const char* text) {
  const double value = text ? std::atof(text) : 0;
  const auto whole = static_cast<uint32_t>(value);
  switch (name) {
    case 'n':
      sizes = sizes_of(text);
      return !sizes.empty();
    case 'i':
      options.chunks = whole;
      return true;
    case 'S':
      options.seeds = whole;
      return true;
    case 'l':
      options.losses_per_minute = value / 100;
      return true;
    case 's':
      options.stragglers = value / 100;
      return true;
    case 'z':
      options.zones = whole;
      return whole > 0;
    case 'k':
      options.node_rate = value * 1e6 / 8;
      return value > 0;
    case 'r':
      options.registry_rate = value * 1e6 / 8;
      return value > 0;
    case 'd':
      options.registry_delay = std::chrono::milliseconds(whole);
      return true;
    case 'j':
      options.joins = std::chrono::milliseconds(whole);
      return true;
    case 't':
      options.lasts = std::chrono::seconds(whole);
      return true;
    case 'T':
      return options.trace = true;
    case 'x':
      options.seed = whole;
      return true;
    default:
      return false;
  }
}

void print_trace(const CrowdResult& made) {
  std::printf(
      "  sec  reg   peers wasted  reqs  refer  busy  gone  late  under sending finished | flow "
      "relay own "
      "paused | here mean | asked(again):");
  for (const char* name : swarmfs::swarm::kCrowdWhyNames) std::printf(" %s", name);
  std::puts("");
  size_t at = 0;
  for (const auto& one : made.seconds) {
    std::printf(
        "%5zu %4lu %7lu %6.0f %6lu %5lu %5lu %4lu %5lu %6lu %6lu %5lu | %5lu %5lu %5lu %5lu | "
        "%4.0f "
        "%4.0f |",
        at++, one.from_registry, one.from_peers, one.wasted, one.requests, one.referred, one.busy,
        one.nobody, one.dropped, one.under_way, one.sending, one.finished, one.coming, one.relayed,
        one.own, one.paused, one.here, one.mean);
    for (size_t i = 0; i < swarmfs::swarm::kCrowdWhys; ++i)
      std::printf("  %lu(%lu)", one.asked[i], one.again[i]);
    std::puts("");
  }
}

void simulate(const CrowdOptions& options) {
  const std::clock_t began = std::clock();
  const auto made = run_crowd(options);
  const double best = made.optimum;
  const double slow =
      made.stragglers_took.empty() ? 0 : made.stragglers_took.back() / made.slow_optimum;
  std::printf(
      "%6zu  %6.3f  %7.2f s  %5.2f  %5.2f  %5.2f  %5.2f  %6zu  %5.2f  %6.0f  %6.1f  %5.3f  %6.1f\n",
      options.nodes, made.copies, best, made.at(0.5) / best, made.at(0.99) / best,
      made.at(1) / best, slow, made.unfinished, made.other_zone, made.busiest_per_second,
      made.news_rate * 8e-6, made.agreement,
      static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC);
  if (options.trace) print_trace(made);
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  CrowdOptions options{.losses_per_minute = 0.01, .stragglers = 0.01};
  std::vector<size_t> sizes{1, 10, 100, 1000, 5000};
  for (int name = 0; (name = getopt_long(count, arguments, "", kOptions, nullptr)) != -1;)
    if (!set(options, sizes, name, optarg)) {
      std::fputs(kHelp, name == 'h' ? stdout : stderr);
      return name == 'h' ? 0 : 2;
    }
  std::printf(
      " nodes  copies    optimum    p50    p99   last   slow  unfin.  zone2  news/s  Mbit/s  agree "
      "  CPU "
      "s\n");
  for (const size_t nodes : sizes) {
    options.nodes = nodes;
    simulate(options);
  }
  return 0;
}
