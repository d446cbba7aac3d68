// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/cached_layer.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <bit>
#include <cassert>

#include "cache/lease.h"
#include "util/log.h"

namespace swarmfs::cache {

using chunk::BlockRange;
using util::ByteRange;
using util::Failure;
using util::Fault;

namespace {

/// Below this a read goes through the page cache, so that small repeated reads need no disk. From
/// it on the bytes go to the kernel's cache of our own mount: a second copy would be a waste.
constexpr uint64_t kDirectFrom = 128 * 1024;

}  // namespace

CachedLayer::CachedLayer(LayerFiles files, io::Queue& queue, Budget& budget, bool suspect)
    : digest_(files.facts().digest),
      form_(files.facts().form),
      size_(files.facts().size),
      queue_(queue),
      budget_(budget),
      bits_(files.facts().bits.size()),
      suspects_(chunk::block_count(size_)),
      extents_((size_ + kExtent - 1) / kExtent),
      verified_(files.facts().verified),
      pinned_(files.facts().pinned),
      dirty_(files.fresh()),
      buffered_(files.buffered()),
      direct_(files.direct()),
      files_(std::move(files)) {
  auto locked = files_.lock();
  for (size_t i = 0; i < bits_.size(); ++i) {
    bits_[i] = locked->facts().bits[i];
    present_ += static_cast<uint64_t>(std::popcount(locked->facts().bits[i]));
  }
  for (uint64_t i = 0; suspect && i < chunk::block_count(size_); ++i)
    if (is_set(i)) suspects_.add(i);
  // Read-ahead would cache the zeros of holes that a direct write fills later.
  ::posix_fadvise(buffered_, 0, 0, POSIX_FADV_RANDOM);
}

bool CachedLayer::is_set(uint64_t block) const {
  return bits_[block / 64] >> (block % 64) & 1;
}

bool CachedLayer::set(uint64_t block) {
  const uint64_t bit = 1ull << (block % 64);
  return !(bits_[block / 64].fetch_or(bit) & bit);
}

bool CachedLayer::clear(uint64_t block) {
  const uint64_t bit = 1ull << (block % 64);
  return bits_[block / 64].fetch_and(~bit) & bit;
}

bool CachedLayer::has(BlockRange blocks) const {
  for (uint64_t i = blocks.first; i < blocks.end(); ++i) {
    if (i % 64 == 0 && blocks.end() - i >= 64) {
      if (bits_[i / 64] != ~0ull) return false;
      i += 63;
    } else if (!is_set(i)) {
      return false;
    }
  }
  return true;
}

std::vector<BlockRange> CachedLayer::missing(BlockRange blocks) const {
  std::vector<BlockRange> runs;
  for (uint64_t i = blocks.first; i < blocks.end(); ++i) {
    if (i % 64 == 0 && blocks.end() - i >= 64 && bits_[i / 64] == ~0ull) {
      i += 63;
      continue;
    }
    if (is_set(i)) continue;
    if (!runs.empty() && runs.back().end() == i)
      ++runs.back().count;
    else
      runs.push_back({i, 1});
  }
  return runs;
}

uint64_t CachedLayer::bytes_present() const {
  uint64_t bytes = present_ * chunk::kBlockSize;
  const uint64_t last = chunk::block_count(size_);
  if (last && is_set(last - 1)) bytes -= last * chunk::kBlockSize - size_;
  return bytes;
}

bool CachedLayer::try_read_now(ByteRange range, std::byte* into) {
  assert(range.end() <= size_);
  if (range.empty()) return true;
  // Asked without waiting, the kernel still starts its own read-ahead: a second read of the disk.
  if (range.length >= kDirectFrom) return false;
  const Lease lease(shared_from_this(), range);
  const BlockRange blocks = chunk::blocks_covering(range);
  if (!has(blocks) || !suspects_.check_of(blocks).empty()) return false;
  iovec vector{into, range.length};
  const ssize_t got =
      ::preadv2(buffered_, &vector, 1, static_cast<off_t>(range.offset), RWF_NOWAIT);
  return got == static_cast<ssize_t>(range.length);
}

void CachedLayer::read(ByteRange range, OnRead on_read) {
  assert(range.end() <= size_);
  if (range.empty()) return on_read(util::SharedBytes());
  if (range.length < kDirectFrom) return read_from_disk(range, std::move(on_read));
  const auto answer = lookahead_.on_read(range, size_);
  if (answer.hit)
    answer.hit->wait([self = shared_from_this(), range,
                      on_read = std::move(on_read)](util::Outcome<util::SharedBytes> outcome) {
      // It was absent then, or there was no buffer to spare for it.
      if (!outcome && outcome.failure().fault == Fault::not_found)
        return self->read_from_disk(range, on_read);
      on_read(std::move(outcome));
    });
  else
    read_from_disk(range, std::move(on_read));
  for (const auto& entry : answer.wanted) read_ahead(entry);
}

void CachedLayer::read_ahead(const Lookahead::EntryPtr& entry) {
  if (queue_.buffers().scarce()) return entry->arrive(Failure{Fault::not_found, "not read ahead"});
  read_from_disk(entry->range(), [entry](util::Outcome<util::SharedBytes> outcome) {
    entry->arrive(std::move(outcome));
  });
}

void CachedLayer::read_from_disk(ByteRange range, OnRead on_read) {
  auto lease = std::make_shared<Lease>(shared_from_this(), range);
  const BlockRange blocks = chunk::blocks_covering(range);
  if (!has(blocks)) return on_read(Failure{Fault::not_found, "not in the cache"});
  auto check = suspects_.check_of(blocks);
  if (check.empty()) return start_read(range, std::move(lease), std::move(on_read));
  read_suspects(range, std::move(lease), std::move(check), std::move(on_read));
}

void CachedLayer::start_read(ByteRange range, std::shared_ptr<Lease> lease, OnRead on_read) {
  const bool direct = range.length >= kDirectFrom;
  const uint64_t start = direct ? range.offset / kPage * kPage : range.offset;
  const uint64_t end = direct ? (range.end() + kPage - 1) / kPage * kPage : range.end();
  auto buffer = queue_.buffers().take(end - start);
  const int fd = direct ? direct_ : buffered_;
  queue_.read(fd, buffer, end - start, start,
              [this, buffer, lease, range, start, on_read = std::move(on_read)](int result) {
                const uint64_t skip = range.offset - start;
                if (result < 0 || static_cast<uint64_t>(result) < skip + range.length) {
                  budget_.disk_failed(util::SysError(result < 0 ? -result : EIO,
                                                     "read layer " + digest_.short_hex()));
                  return on_read(Failure{Fault::unavailable, "the cache disk fails"});
                }
                on_read(util::SharedBytes(buffer, {buffer->data + skip, range.length}));
              });
}

void CachedLayer::read_suspects(ByteRange range, std::shared_ptr<Lease> lease,
                                Suspects::Check check, OnRead on_read) {
  const ByteRange whole = chunk::bytes_of(chunk::blocks_covering(range), size_);
  auto checked = [this, range, whole, lease, check = std::move(check),
                  on_read](const util::SharedBytes& bytes) {
    if (!pass(check, whole, bytes.view()))
      return on_read(Failure{Fault::not_found, "the cached bytes were wrong"});
    on_read(bytes.slice(range.offset - whole.offset, range.length));
  };
  start_read(whole, std::move(lease),
             [this, checked = std::move(checked), on_read](util::Outcome<util::SharedBytes> bytes) {
               if (!bytes) return on_read(std::move(bytes));
               budget_.check([checked, bytes = *bytes] { checked(bytes); });
             });
}

bool CachedLayer::pass(const Suspects::Check& check, ByteRange range, util::ByteView bytes) {
  uint64_t wrong = 0;
  for (const uint64_t block : check.blocks) {
    const ByteRange place = chunk::bytes_of({block, 1}, size_);
    if (check.tree->matches(chunk::BlockIndex{block},
                            bytes.subspan(place.offset - range.offset, place.length))) {
      suspects_.clear(block);
      continue;
    }
    ++wrong;
    if (!clear(block)) continue;
    --present_;
    verified_ = false;
    dirty_ = true;
    budget_.give_back(chunk::kBlockSize);
  }
  if (wrong == 0) return true;
  util::log::error("cache: {} blocks of layer {} at {} are wrong on disk and were dropped", wrong,
                   digest_.short_hex(), range.offset);
  budget_.count_wrong(wrong);
  return false;
}

void CachedLayer::trust(std::shared_ptr<const chunk::HashTree> tree) {
  assert(!tree || tree->size() == size_);
  suspects_.trust(std::move(tree));
  lookahead_.clear();
}

void CachedLayer::suspect(BlockRange blocks) {
  for (uint64_t i = blocks.first; i < blocks.end(); ++i) suspects_.add(i);
  // What was read ahead was not checked.
  lookahead_.clear();
}

}  // namespace swarmfs::cache
