// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <libtorrent/disk_interface.hpp>
#include <libtorrent/disk_observer.hpp>
#include <libtorrent/io_context.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "swarm/bulk_meters.h"
#include "swarm/torrent_layer.h"
#include "swarm/torrent_reads.h"

namespace swarmfs::swarm {

/// Layers by the "save path" that libtorrent is given for them.
using TorrentShelf = std::map<std::string, std::shared_ptr<TorrentLayer>>;

/// libtorrent's disk, straight on chunk::Store: one copy of a layer's bytes on the node. Blocks are
/// collected in memory until their piece is whole; then what the store lacks of it is written, and
/// when that is done libtorrent hears that the piece is good and tells others. Nothing is hashed
/// here: the guard has compared each block with the leaf layer, whose hashes async_hash() gives.
/// All of it runs on the session's network thread, but what the store calls back.
class TorrentDisk final : public lt::disk_interface, public lt::buffer_allocator_interface {
 public:
  /// What it refers to outlives it. `shelf` is touched on the network thread only.
  TorrentDisk(lt::io_context& network, TorrentShelf& shelf, std::shared_ptr<StoreCalls> calls,
              BulkMeters& meters);

  /// Until the next call the blocks that come are those of an injected piece: they are in the
  /// store.
  void set_injecting(bool injecting) { injecting_ = injecting; }

  lt::storage_holder new_torrent(const lt::storage_params& params,
                                 const std::shared_ptr<void>& torrent) override;
  void remove_torrent(lt::storage_index_t storage) override;
  void async_read(lt::storage_index_t storage, const lt::peer_request& request,
                  std::function<void(lt::disk_buffer_holder, const lt::storage_error&)> handler,
                  lt::disk_job_flags_t flags) override;
  bool async_write(lt::storage_index_t storage, const lt::peer_request& request, const char* bytes,
                   std::shared_ptr<lt::disk_observer> observer,
                   std::function<void(const lt::storage_error&)> handler,
                   lt::disk_job_flags_t flags) override;
  void async_hash(
      lt::storage_index_t storage, lt::piece_index_t piece, lt::span<lt::sha256_hash> leaves,
      lt::disk_job_flags_t flags,
      std::function<void(lt::piece_index_t, const lt::sha1_hash&, const lt::storage_error&)>
          handler) override;
  void async_hash2(
      lt::storage_index_t storage, lt::piece_index_t piece, int offset, lt::disk_job_flags_t flags,
      std::function<void(lt::piece_index_t, const lt::sha256_hash&, const lt::storage_error&)>
          handler) override;
  void async_clear_piece(lt::storage_index_t storage, lt::piece_index_t piece,
                         std::function<void(lt::piece_index_t)> handler) override;

  // What has no meaning for bytes that are not in files of the torrent's.
  void async_move_storage(
      lt::storage_index_t, std::string path, lt::move_flags_t,
      std::function<void(lt::status_t, const std::string&, const lt::storage_error&)> handler)
      override;
  void async_release_files(lt::storage_index_t, std::function<void()> handler) override;
  void async_check_files(
      lt::storage_index_t, const lt::add_torrent_params*,
      lt::aux::vector<std::string, lt::file_index_t>,
      std::function<void(lt::status_t, const lt::storage_error&)> handler) override;
  void async_stop_torrent(lt::storage_index_t, std::function<void()> handler) override;
  void async_rename_file(
      lt::storage_index_t, lt::file_index_t index, std::string name,
      std::function<void(const std::string&, lt::file_index_t, const lt::storage_error&)> handler)
      override;
  void async_delete_files(lt::storage_index_t, lt::remove_flags_t,
                          std::function<void(const lt::storage_error&)> handler) override;
  void async_set_file_priority(
      lt::storage_index_t, lt::aux::vector<lt::download_priority_t, lt::file_index_t> priorities,
      std::function<void(const lt::storage_error&,
                         lt::aux::vector<lt::download_priority_t, lt::file_index_t>)>
          handler) override;
  void update_stats_counters(lt::counters&) const override {}
  std::vector<lt::open_file_state> get_status(lt::storage_index_t) const override { return {}; }
  void abort(bool) override {}
  void submit_jobs() override {}
  void settings_updated() override {}

  void free_disk_buffer(char* buffer) override;

 private:
  /// A piece on its way.
  struct Assembly {
    std::shared_ptr<util::Bytes> bytes;
    std::vector<bool> blocks;
    [[nodiscard]] bool whole() const;
  };
  struct Storage {
    std::shared_ptr<TorrentLayer> layer;
    std::map<uint32_t, Assembly> assemblies;
  };
  /// A piece that is being written, in one or several runs. Guarded by the network thread.
  struct Landing;

  Storage& at(lt::storage_index_t storage) { return storages_.at(static_cast<uint32_t>(storage)); }
  void post(std::function<void()> call);
  void land(const std::shared_ptr<Landing>& landing);
  void on_landed(const std::shared_ptr<Landing>& landing, bool kept);
  /// To those who wait for it.
  void give(const Landing& landing);
  void relieve();

  lt::io_context& network_;
  TorrentShelf& shelf_;
  const std::shared_ptr<StoreCalls> calls_;
  BulkMeters& meters_;
  TorrentReads reads_;
  std::map<uint32_t, Storage> storages_;
  uint32_t next_storage_ = 0;
  bool injecting_ = false;
  uint64_t landing_bytes_ = 0;
  std::vector<std::weak_ptr<lt::disk_observer>> waiting_;  ///< for less to be landing
};

}  // namespace swarmfs::swarm
