// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// One node's bulk lane without TLS, for a stock client to exchange a layer with
// (stock_client_test.py).
//   stock_peer serve ADDRESS TORRENT            the layer's torrent is written to the file TORRENT
//   stock_peer fetch ADDRESS PEER_ADDRESS PORT
// Prints the port that it listens on, then the digest: of the layer, or of what it fetched. Ends
// with its input.

#include <fstream>
#include <iostream>

#include "torrent_fixture.h"

namespace {

using namespace swarmfs;

int run(const std::vector<std::string>& words) {
  const torrent_test::Subject subject((20 << 20) + 123);
  torrent_test::Node node(words.at(1));
  std::cout << node.endpoint().port << std::endl;
  if (words.at(0) == "serve") {
    std::ofstream(words.at(2), std::ios::binary)
        << swarm::metainfo(swarm::info_dict(subject.ref.digest, *subject.tree, ""), *subject.tree);
    node.take(subject, true);
    std::cout << subject.ref.digest.to_string() << std::endl;
  } else {
    node.take(subject, false, {{words.at(2), static_cast<uint16_t>(std::stoi(words.at(3)))}});
    node.want_all();
    if (!torrent_test::await([&] { return node.complete(); })) return 1;
    const auto fetched = util::Sha256::of(util::as_bytes(node.stored().content()));
    std::cout << fetched.to_string() << std::endl;
  }
  std::cin.get();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run({argv + 1, argv + argc});
}
