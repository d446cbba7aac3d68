// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_disk.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <libtorrent/disk_buffer_holder.hpp>
#include <libtorrent/error_code.hpp>
#include <libtorrent/file_storage.hpp>
#include <libtorrent/peer_request.hpp>
#include <libtorrent/storage_defs.hpp>
#include <new>

#include "util/log.h"

namespace swarmfs::swarm {

using chunk::BlockRange;
using chunk::kBlockSize;
using util::ByteRange;

namespace {

/// Above so much that waits for the store peers are not read from, until half of it is written.
constexpr uint64_t kMostLanding = 64 << 20;

/// The layer's part of it: libtorrent pads the last piece with zeros to its full length.
ByteRange bytes_of_request(const TorrentLayer& layer, const lt::peer_request& request) {
  const auto piece = layer.bytes_of(static_cast<uint32_t>(static_cast<int>(request.piece)));
  return ByteRange{piece.offset + static_cast<uint64_t>(request.start),
                   static_cast<uint64_t>(request.length)}
      .clamp(layer.ref().size);
}

lt::sha256_hash leaf_of(const TorrentLayer& layer, uint64_t block) {
  return lt::sha256_hash(
      reinterpret_cast<const char*>(layer.tree()->leaves().at(block).bytes().data()));
}

/// One that libtorrent takes as no reason to stop the torrent.
lt::storage_error passing(lt::operation_t operation) {
  return {lt::error_code(boost::asio::error::operation_aborted), operation};
}

/// With zeros up to `length`.
lt::disk_buffer_holder padded(lt::buffer_allocator_interface& disk, util::ByteView bytes,
                              int length) {
  auto* buffer = static_cast<char*>(std::malloc(static_cast<size_t>(length)));
  if (!buffer) throw std::bad_alloc();
  const auto text = util::as_text(bytes);
  std::fill(std::copy(text.begin(), text.end(), buffer), buffer + length, '\0');
  return {disk, buffer, length};
}

}  // namespace

struct TorrentDisk::Landing {
  std::shared_ptr<TorrentLayer> layer;
  uint32_t piece = 0;
  std::shared_ptr<util::Bytes> bytes;  ///< null: all of it came by other ways
  size_t writes = 0;
  bool kept = true;
  std::function<void(const lt::storage_error&)> handler;
};

bool TorrentDisk::Assembly::whole() const {
  return std::find(blocks.begin(), blocks.end(), false) == blocks.end();
}

TorrentDisk::TorrentDisk(lt::io_context& network, TorrentShelf& shelf,
                         std::shared_ptr<StoreCalls> calls, BulkMeters& meters)
    : network_(network),
      shelf_(shelf),
      calls_(std::move(calls)),
      meters_(meters),
      reads_(network_, calls_) {}

void TorrentDisk::post(std::function<void()> call) {
  boost::asio::post(network_, std::move(call));
}

lt::storage_holder TorrentDisk::new_torrent(const lt::storage_params& params,
                                            const std::shared_ptr<void>&) {
  const uint32_t index = next_storage_++;
  storages_.emplace(index, Storage{shelf_.at(params.path), {}});
  return {lt::storage_index_t(index), *this};
}

void TorrentDisk::remove_torrent(lt::storage_index_t storage) {
  const auto found = storages_.find(static_cast<uint32_t>(storage));
  reads_.forget(*found->second.layer);
  storages_.erase(found);
}

void TorrentDisk::async_read(
    lt::storage_index_t storage, const lt::peer_request& request,
    std::function<void(lt::disk_buffer_holder, const lt::storage_error&)> handler,
    lt::disk_job_flags_t) {
  const auto& layer = at(storage).layer;
  reads_.read(layer, bytes_of_request(*layer, request),
              [this, digest = layer->ref().digest, length = request.length,
               handler = std::move(handler)](const util::Outcome<util::SharedBytes>& bytes) {
                if (!bytes) return handler({}, passing(lt::operation_t::file_read));
                meters_.sent.add(static_cast<double>(bytes->size()));
                meters_.traffic.given(digest, bytes->size(), std::chrono::steady_clock::now());
                handler(padded(*this, bytes->view(), length), lt::storage_error{});
              });
}

bool TorrentDisk::async_write(lt::storage_index_t storage, const lt::peer_request& request,
                              const char* bytes, std::shared_ptr<lt::disk_observer> observer,
                              std::function<void(const lt::storage_error&)> handler,
                              lt::disk_job_flags_t) {
  Storage& target = at(storage);
  const uint64_t length = bytes_of_request(*target.layer, request).length;
  if (!injecting_ && length > 0) {
    const auto piece = static_cast<uint32_t>(static_cast<int>(request.piece));
    auto& assembly = target.assemblies[piece];
    const auto whole = target.layer->bytes_of(piece);
    if (!assembly.bytes) {
      assembly.bytes = std::make_shared<util::Bytes>(whole.length);
      assembly.blocks.resize(target.layer->blocks_of(piece).count);
    }
    std::memcpy(assembly.bytes->data() + request.start, bytes, length);
    assembly.blocks.at(static_cast<size_t>(request.start) / kBlockSize) = true;
    meters_.received.add(static_cast<double>(length));
    meters_.traffic.received(target.layer->ref().digest, length, std::chrono::steady_clock::now());
  }
  post([handler = std::move(handler)] { handler(lt::storage_error{}); });
  if (landing_bytes_ <= kMostLanding || !observer) return false;
  waiting_.push_back(observer);
  return true;
}

void TorrentDisk::async_hash(
    lt::storage_index_t storage, lt::piece_index_t index, lt::span<lt::sha256_hash> leaves,
    lt::disk_job_flags_t,
    std::function<void(lt::piece_index_t, const lt::sha1_hash&, const lt::storage_error&)>
        handler) {
  Storage& target = at(storage);
  auto landing = std::make_shared<Landing>();
  landing->layer = target.layer;
  landing->piece = static_cast<uint32_t>(static_cast<int>(index));
  const auto blocks = target.layer->blocks_of(landing->piece);
  for (int i = 0; i < leaves.size(); ++i)
    leaves[i] = leaf_of(*target.layer, blocks.first + static_cast<uint64_t>(i));
  landing->handler = [index, handler = std::move(handler)](const lt::storage_error& error) {
    handler(index, lt::sha1_hash{}, error);
  };
  if (const auto found = target.assemblies.find(landing->piece); found != target.assemblies.end()) {
    // What was injected while other blocks came is in the store alone.
    if (found->second.whole()) landing->bytes = std::move(found->second.bytes);
    target.assemblies.erase(found);
  }
  land(landing);
}

void TorrentDisk::land(const std::shared_ptr<Landing>& landing) {
  auto& stored = landing->layer->stored();
  const auto blocks = landing->layer->blocks_of(landing->piece);
  const auto missing = stored.missing(blocks);
  if (missing.empty() || !landing->bytes)
    return post([this, landing, kept = missing.empty()] {
      landing->writes = 1;
      on_landed(landing, kept);
    });
  landing->writes = missing.size();
  landing_bytes_ += landing->bytes->size();
  const auto cls = landing->layer->awaited(landing->piece).value_or(chunk::Class::backfill);
  const auto piece = landing->layer->bytes_of(landing->piece);
  for (const auto& run : missing) {
    const auto range = chunk::bytes_of(run, landing->layer->ref().size);
    const util::SharedBytes part(
        landing->bytes,
        util::ByteView(*landing->bytes).subspan(range.offset - piece.offset, range.length));
    stored.write(
        chunk::BlockIndex{run.first}, part, cls,
        [call = calls_->begin(network_), this, landing](const util::Outcome<util::Done>& outcome) {
          post([this, landing, kept = static_cast<bool>(outcome)] {
            if (landing->writes == 1) landing_bytes_ -= landing->bytes->size();
            on_landed(landing, kept);
          });
        });
  }
}

void TorrentDisk::on_landed(const std::shared_ptr<Landing>& landing, bool kept) {
  landing->kept &= kept;
  if (--landing->writes > 0) return;
  relieve();
  auto& layer = *landing->layer;
  give(*landing);
  const auto handler = std::move(landing->handler);
  if (!landing->kept) {
    layer.set_broken();
    return handler(passing(lt::operation_t::file_write));
  }
  if (layer.tell(landing->piece)) (landing->bytes ? meters_.stored : meters_.injected).add();
  handler(lt::storage_error{});
}

void TorrentDisk::give(const Landing& landing) {
  const auto& layer = landing.layer;
  const uint32_t piece = landing.piece;
  if (landing.bytes)
    return layer->came(piece, util::SharedBytes(landing.bytes, util::ByteView(*landing.bytes)));
  give_from_store(layer, piece);
}

void TorrentDisk::relieve() {
  if (waiting_.empty() || landing_bytes_ > kMostLanding / 2) return;
  for (const auto& weak : std::exchange(waiting_, {}))
    if (const auto observer = weak.lock()) post([observer] { observer->on_disk(); });
}

void TorrentDisk::async_hash2(
    lt::storage_index_t storage, lt::piece_index_t index, int offset, lt::disk_job_flags_t,
    std::function<void(lt::piece_index_t, const lt::sha256_hash&, const lt::storage_error&)>
        handler) {
  const auto& layer = *at(storage).layer;
  const auto blocks = layer.blocks_of(static_cast<uint32_t>(static_cast<int>(index)));
  const auto leaf = leaf_of(layer, blocks.first + static_cast<uint64_t>(offset) / kBlockSize);
  post([index, leaf, handler = std::move(handler)] { handler(index, leaf, lt::storage_error{}); });
}

void TorrentDisk::async_clear_piece(lt::storage_index_t storage, lt::piece_index_t piece,
                                    std::function<void(lt::piece_index_t)> handler) {
  at(storage).assemblies.erase(static_cast<uint32_t>(static_cast<int>(piece)));
  post([piece, handler = std::move(handler)] { handler(piece); });
}

void TorrentDisk::async_move_storage(
    lt::storage_index_t, std::string path, lt::move_flags_t,
    std::function<void(lt::status_t, const std::string&, const lt::storage_error&)> handler) {
  post([path = std::move(path), handler = std::move(handler)] {
    handler(lt::status_t::no_error, path, lt::storage_error{});
  });
}

void TorrentDisk::async_release_files(lt::storage_index_t, std::function<void()> handler) {
  if (handler) post(std::move(handler));
}

void TorrentDisk::async_check_files(
    lt::storage_index_t, const lt::add_torrent_params*,
    lt::aux::vector<std::string, lt::file_index_t>,
    std::function<void(lt::status_t, const lt::storage_error&)> handler) {
  post([handler = std::move(handler)] { handler(lt::status_t::no_error, lt::storage_error{}); });
}

void TorrentDisk::async_stop_torrent(lt::storage_index_t, std::function<void()> handler) {
  if (handler) post(std::move(handler));
}

void TorrentDisk::async_rename_file(
    lt::storage_index_t, lt::file_index_t index, std::string name,
    std::function<void(const std::string&, lt::file_index_t, const lt::storage_error&)> handler) {
  post([index, name = std::move(name), handler = std::move(handler)] {
    handler(name, index, lt::storage_error{});
  });
}

void TorrentDisk::async_delete_files(lt::storage_index_t, lt::remove_flags_t,
                                     std::function<void(const lt::storage_error&)> handler) {
  post([handler = std::move(handler)] { handler(lt::storage_error{}); });
}

void TorrentDisk::async_set_file_priority(
    lt::storage_index_t, lt::aux::vector<lt::download_priority_t, lt::file_index_t> priorities,
    std::function<void(const lt::storage_error&,
                       lt::aux::vector<lt::download_priority_t, lt::file_index_t>)>
        handler) {
  post([priorities = std::move(priorities), handler = std::move(handler)] {
    handler(lt::storage_error{}, priorities);
  });
}

void TorrentDisk::free_disk_buffer(char* buffer) {
  std::free(buffer);
}

}  // namespace swarmfs::swarm
