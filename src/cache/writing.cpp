// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// CachedLayer: how what it holds comes, and becomes durable.

#include <cassert>
#include <cstring>

#include "cache/disk_trouble.h"
#include "cache/lease.h"

namespace swarmfs::cache {

using chunk::BlockRange;
using util::ByteRange;
using util::Failure;
using util::Fault;

struct CachedLayer::Write {
  std::shared_ptr<CachedLayer> layer;
  util::SharedBytes bytes;
  BlockRange blocks;
  uint64_t offset = 0;
  uint64_t reserved = 0;
  chunk::Class cls = chunk::Class::fault;
  bool again = false;  ///< it failed once
  std::unique_ptr<Lease> lease;
  OnWritten on_written;
  size_t done = 0;  ///< bytes written so far
};

void CachedLayer::write(chunk::BlockIndex first, util::SharedBytes bytes, chunk::Class cls,
                        OnWritten on_written) {
  const uint64_t offset = static_cast<uint64_t>(first) * chunk::kBlockSize;
  assert(offset + bytes.size() <= size_);
  assert(bytes.size() % chunk::kBlockSize == 0 || offset + bytes.size() == size_);
  if (bytes.size() == 0) return on_written(util::Done{});
  const ByteRange range{offset, bytes.size()};
  auto write = std::make_shared<Write>();
  write->blocks = chunk::blocks_covering(range);
  if (has(write->blocks)) return on_written(util::Done{});
  write->lease = std::make_unique<Lease>(shared_from_this(), range);
  const uint64_t cost = write->blocks.count * chunk::kBlockSize;
  if (write->lease->meets_eviction() || !budget_.reserve(cost, cls))
    return on_written(Failure{Fault::no_space, "the cache quota is full"});
  write->layer = shared_from_this();
  write->bytes = std::move(bytes);
  write->offset = offset;
  write->reserved = cost;
  write->cls = cls;
  write->on_written = std::move(on_written);
  start_write(std::move(write));
}

void CachedLayer::start_write(std::shared_ptr<Write> write) {
  const size_t piece = std::min(write->bytes.size() - write->done, io::BufferPool::kBufferSize);
  const size_t whole = (piece + kPage - 1) / kPage * kPage;
  auto buffer = queue_.buffers().take(whole);
  std::memcpy(buffer->data, write->bytes.data() + write->done, piece);
  std::memset(buffer->data + piece, 0, whole - piece);
  const uint64_t at = write->offset + write->done;
  queue_.write(direct_, std::move(buffer), whole, at, [this, write, piece, whole](int result) {
    if (result != static_cast<int>(whole))
      return on_write_failed(write, result < 0 ? -result : ENOSPC);
    write->done += piece;
    if (write->done < write->bytes.size()) return start_write(write);
    end_write(*write);
  });
}

void CachedLayer::on_write_failed(std::shared_ptr<Write> write, int code) {
  budget_.disk_failed(util::SysError(code, "write layer " + digest_.short_hex()));
  const auto then = [this, write, code](bool room) {
    if (room)
      start_write(write);
    else
      give_up(*write, code);
  };
  const bool again = DiskTrouble::is_full(code) && !std::exchange(write->again, true);
  if (again && budget_.make_room(write->reserved, write->cls, then)) return;
  give_up(*write, code);
}

void CachedLayer::give_up(Write& write, int code) {
  const uint64_t last = (write.offset + write.bytes.size() - 1) / kExtent;
  for (uint64_t i = write.offset / kExtent; i <= last; ++i) extents_[i].spoiled = true;
  budget_.give_back(write.reserved);
  write.lease.reset();
  const bool full = DiskTrouble::is_full(code);
  write.on_written(Failure{full ? Fault::no_space : Fault::unavailable,
                           full ? "the cache disk is full" : "the cache disk fails"});
}

void CachedLayer::end_write(Write& write) {
  uint64_t fresh = 0;
  for (uint64_t i = write.blocks.first; i < write.blocks.end(); ++i) {
    suspects_.clear(i);
    fresh += set(i);
  }
  present_ += fresh;
  dirty_ = true;
  budget_.give_back(write.reserved - fresh * chunk::kBlockSize);
  write.lease.reset();
  write.on_written(util::Done{});
}

std::vector<uint64_t> CachedLayer::snapshot() const {
  std::vector<uint64_t> copy;
  for (const auto& word : bits_) copy.push_back(word);
  return copy;
}

bool CachedLayer::sync() {
  auto files = files_.lock();
  if (!dirty_.exchange(false)) return true;
  const auto bits = snapshot();
  try {
    files->sync_data();
  } catch (const util::SysError& error) {
    dirty_ = true;
    doubt_unsynced(files->facts());
    budget_.disk_failed(error);
    return false;
  }
  files->facts().bits = bits;
  files->facts().verified &= verified_;
  return save_bits(*files);
}

/// A kernel that could not write a page takes it for clean afterwards: the next sync proves nothing
/// about it.
void CachedLayer::doubt_unsynced(const LayerFiles::Facts& durable) {
  for (uint64_t i = 0; i < chunk::block_count(size_); ++i)
    if (is_set(i) && !(durable.bits[i / 64] >> (i % 64) & 1)) suspects_.add(i);
  lookahead_.clear();
}

bool CachedLayer::save_bits(LayerFiles& files) {
  try {
    files.save_bits(files.facts().bits);
    return true;
  } catch (const util::SysError& error) {
    dirty_ = true;
    budget_.disk_failed(error);
    return false;
  }
}

void CachedLayer::mark_verified() {
  const bool durable = sync();
  auto files = files_.lock();
  files->facts().verified = true;
  verified_ = true;
  if (durable) suspects_.clear_all();
  save_bits(*files);
}

void CachedLayer::set_pinned(bool pinned) {
  if (pinned_.exchange(pinned) == pinned) return;
  auto files = files_.lock();
  files->facts().pinned = pinned;
  save_bits(*files);
}

}  // namespace swarmfs::cache
