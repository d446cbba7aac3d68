// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "soak.h"
#include "support/temporary_directory.h"

namespace {

using swarmfs::torrent_test::Footprint;
using swarmfs::torrent_test::Soak;

constexpr const char* kHelp =
    R"(torrent_soak: chunks that go from one node's bulk lane to another's, and what the process uses meanwhile.
    torrent_soak [--chunks N]
--chunks  of 256 KiB (100000, 25 GB of traffic; the disk holds less than 1 GB at a time)
A line every 5 %: chunks, MiB of anonymous memory, MiB allocated in it, descriptors, threads, seconds.
)";

const option kOptions[] = {
    {"chunks", required_argument, nullptr, 'c'}, {"help", no_argument, nullptr, 'h'}, {}};

void print(const Soak& soak, std::chrono::steady_clock::time_point begun) {
  const auto used = Footprint::now();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
  std::printf(
      "%7llu chunks %6zu MiB anonymous %6.1f MiB allocated %5zu descriptors %3zu threads %6.0f s\n",
      static_cast<unsigned long long>(soak.chunks()), used.anonymous >> 20,
      static_cast<double>(used.heap) / (1 << 20), used.descriptors, used.threads, passed.count());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) try {
  uint64_t chunks = 100'000;
  for (int letter; (letter = ::getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    if (letter != 'c') return std::fputs(kHelp, letter == 'h' ? stdout : stderr), letter != 'h';
    chunks = std::stoull(optarg);
  }
  const swarmfs::support::TemporaryDirectory directory;
  Soak soak(directory.path());
  const auto begun = std::chrono::steady_clock::now();
  for (uint64_t part = 1; part <= 20; ++part) {
    soak.run_until(chunks * part / 20, std::chrono::seconds(300));
    print(soak, begun);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "torrent_soak: %s\n", error.what());
  return 1;
}
