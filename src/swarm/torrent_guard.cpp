// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_guard.h"

#include <algorithm>
#include <libtorrent/bitfield.hpp>
#include <libtorrent/error_code.hpp>
#include <libtorrent/operations.hpp>
#include <libtorrent/peer_connection.hpp>
#include <libtorrent/peer_connection_handle.hpp>
#include <libtorrent/peer_connection_interface.hpp>
#include <libtorrent/peer_request.hpp>
#include <libtorrent/socket.hpp>
#include <libtorrent/torrent_peer.hpp>

#include "swarm/endpoint.h"

namespace swarmfs::swarm {

using chunk::kBlockSize;

namespace {

/// In a second. Who asks for what we told that we have hears some when that is evicted.
constexpr int kMostRejects = 2'000;

uint32_t number(lt::piece_index_t piece) {
  return static_cast<uint32_t>(static_cast<int>(piece));
}

bool is_zero(util::ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

class PeerGuard final : public lt::peer_plugin {
 public:
  PeerGuard(std::shared_ptr<TorrentLayer> layer, TorrentWatch& watch,
            const lt::peer_connection_handle& connection)
      : layer_(std::move(layer)), watch_(watch), connection_(connection) {
    const auto address = connection_.remote().address().to_string();
    address_ = canonical_address(address).value_or(address);
  }
  ~PeerGuard() override { layer_->availability.gone(this); }

  lt::string_view type() const override { return "swarmfs_guard"; }

  bool on_handshake(lt::span<const char>) override {
    if (watch_.is_banned(address_)) {
      end();
      return true;
    }
    speak_of_hashes(false);
    layer_->availability.connected(this, address_);
    return true;
  }
  void on_disconnect(const lt::error_code&) override {
    speak_of_hashes(true);  // the next connection opens with the swarm's id of v2
    layer_->availability.gone(this);
  }
  void tick() override { rejects_ = 0; }
  void sent_reject_request(const lt::peer_request&) override {
    if (++rejects_ != kMostRejects) return;
    watch_.flooded(address_);
    end();
  }

  bool on_have(lt::piece_index_t piece) override {
    if (number(piece) < layer_->pieces()) layer_->availability.has(this, number(piece));
    return false;
  }
  bool on_dont_have(lt::piece_index_t piece) override {
    if (number(piece) < layer_->pieces()) layer_->availability.lacks(this, number(piece));
    return false;
  }
  bool on_bitfield(const lt::bitfield& bits) override {
    std::vector<bool> pieces(layer_->pieces());
    for (uint32_t i = 0; i < pieces.size() && static_cast<int>(i) < bits.size(); ++i)
      pieces[i] = bits.get_bit(static_cast<int>(i));
    layer_->availability.has(this, pieces);
    return false;
  }
  bool on_have_all() override {
    layer_->availability.has(this, std::vector<bool>(layer_->pieces(), true));
    return false;
  }
  bool on_have_none() override {
    layer_->availability.has(this, std::vector<bool>(layer_->pieces(), false));
    return false;
  }

  /// Nobody is choked, and libtorrent would keep as many as a peer likes to send.
  bool on_allowed_fast(lt::piece_index_t) override { return true; }

  bool on_piece(const lt::peer_request& request, lt::span<const char> bytes) override {
    if (is_good(request, bytes)) return false;
    watch_.lied(*layer_, address_,
                "chunk " + std::to_string(number(request.piece)) + " at " +
                    std::to_string(request.start) + ": a block does not match the hash tree");
    end();
    return true;
  }

 private:
  [[nodiscard]] bool is_good(const lt::peer_request& request, lt::span<const char> bytes) const {
    if (number(request.piece) >= layer_->pieces() || request.start < 0) return false;
    const auto start = static_cast<uint64_t>(request.start);
    const auto blocks = layer_->blocks_of(number(request.piece));
    if (start % kBlockSize != 0) return false;
    const uint64_t block = blocks.first + start / kBlockSize;
    const util::ByteView view{reinterpret_cast<const std::byte*>(bytes.data()),
                              static_cast<size_t>(bytes.size())};
    const uint64_t real =
        block < blocks.end() ? chunk::bytes_of({block, 1}, layer_->ref().size).length : 0;
    // The last piece comes padded with zeros.
    if (view.size() < real || !is_zero(view.subspan(real))) return false;
    return real == 0 || layer_->tree()->matches(chunk::BlockIndex{block}, view.first(real));
  }

  /// Without, hash requests and their answers (BEP 52) end the connection. All members have the
  /// piece layer; libtorrent would answer any number of requests for it, however little is read.
  /// (UBSan would want libtorrent's type information, which is not exported.)
  [[gnu::no_sanitize("vptr")]] void speak_of_hashes(bool speak) {
    const auto connection = connection_.native_handle();
    lt::torrent_peer* peer = connection ? connection->peer_info_struct() : nullptr;
    if (peer) peer->protocol_v2 = speak;
  }

  void end() {
    connection_.disconnect(lt::errors::too_many_corrupt_pieces, lt::operation_t::bittorrent,
                           lt::peer_connection_interface::peer_error);
  }

  const std::shared_ptr<TorrentLayer> layer_;
  TorrentWatch& watch_;
  lt::peer_connection_handle connection_;
  std::string address_;
  int rejects_ = 0;
};

class TorrentGuard final : public lt::torrent_plugin {
 public:
  TorrentGuard(std::shared_ptr<TorrentLayer> layer, TorrentWatch& watch)
      : layer_(std::move(layer)), watch_(watch) {}

  std::shared_ptr<lt::peer_plugin> new_connection(
      const lt::peer_connection_handle& connection) override {
    return std::make_shared<PeerGuard>(layer_, watch_, connection);
  }
  void on_files_checked() override { watch_.started(layer_); }

 private:
  const std::shared_ptr<TorrentLayer> layer_;
  TorrentWatch& watch_;
};

}  // namespace

std::shared_ptr<lt::torrent_plugin> make_torrent_guard(std::shared_ptr<TorrentLayer> layer,
                                                       TorrentWatch& watch) {
  return std::make_shared<TorrentGuard>(std::move(layer), watch);
}

}  // namespace swarmfs::swarm
