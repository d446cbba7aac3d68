// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// How the file of somebody else becomes a layer of the cache.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <future>

#include "cache/chunk_cache.h"
#include "cache/lease.h"

namespace swarmfs::cache {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr size_t kAdoptedPiece = 1 << 20;
static_assert(kAdoptedPiece % chunk::kBlockSize == 0);

/// Reads the file in pieces of whole blocks until `each` is false. False: it was, or the file ended
/// early.
template <class Each>
Outcome<bool> read_pieces(int file, uint64_t size, Each each) {
  util::Bytes piece(kAdoptedPiece);
  for (uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(std::min<uint64_t>(kAdoptedPiece, size - at));
    for (size_t done = 0; done < piece.size();) {
      const ssize_t got =
          ::pread(file, piece.data() + done, piece.size() - done, static_cast<off_t>(at + done));
      if (got < 0) return Failure{Fault::unavailable, std::string("read: ") + std::strerror(errno)};
      if (got == 0) return false;
      done += static_cast<size_t>(got);
    }
    if (!each(at, piece)) return false;
  }
  return true;
}

Failure lies(const util::Digest& digest) {
  return {Fault::corrupt, "the file is not what its digest says: " + digest.to_string()};
}

Failure cancelled() {
  return {Fault::cancelled, "the daemon is stopping"};
}

/// Done: the file is the digest's. `tree`, where there is one, is fed with it.
Outcome<util::Done> prove(int file, const util::Digest& digest, uint64_t size,
                          chunk::HashTreeBuilder* tree, const std::stop_token& stop) {
  util::Sha256 hash;
  const auto whole = read_pieces(file, size, [&](uint64_t, const util::Bytes& piece) {
    hash.update(piece);
    if (tree) tree->feed(piece);
    return !stop.stop_requested();
  });
  if (stop.stop_requested()) return cancelled();
  if (!whole) return whole.failure();
  if (!*whole || hash.finish() != digest) return lies(digest);
  return util::Done{};
}

/// A nameless file that shares all blocks of `file` as they are now, whatever happens to that.
/// Fault::invalid: these file systems share none.
Outcome<util::UniqueFd> snapshot_of(int file, const std::filesystem::path& directory) {
  util::UniqueFd made(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (made && !::ioctl(made.get(), FICLONE, file)) return made;
  const bool never = errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL || errno == ENOTTY;
  return Failure{never ? Fault::invalid : Fault::unavailable, std::strerror(errno)};
}

bool matches_all(const chunk::HashTree& tree, uint64_t at, util::ByteView piece) {
  for (size_t i = 0; i < piece.size(); i += chunk::kBlockSize) {
    const auto block = piece.subspan(i, std::min<size_t>(chunk::kBlockSize, piece.size() - i));
    if (!tree.matches(chunk::BlockIndex{(at + i) / chunk::kBlockSize}, block)) return false;
  }
  return true;
}

Outcome<util::Done> write_and_wait(CachedLayer& layer, uint64_t at, const util::Bytes& piece) {
  std::promise<Outcome<util::Done>> written;
  layer.write(chunk::BlockIndex{at / chunk::kBlockSize}, util::SharedBytes::of(util::Bytes(piece)),
              chunk::Class::backfill,
              [&](Outcome<util::Done> outcome) { written.set_value(std::move(outcome)); });
  return written.get_future().get();
}

/// What says something else than when the tree was made of it is not written.
Outcome<util::Done> copy_in(CachedLayer& layer, int file, const chunk::HashTree& tree,
                            const std::stop_token& stop) {
  Outcome<util::Done> outcome = util::Done{};
  const auto whole = read_pieces(file, layer.size(), [&](uint64_t at, const util::Bytes& piece) {
    if (stop.stop_requested())
      outcome = cancelled();
    else if (!matches_all(tree, at, piece))
      outcome = lies(layer.digest());
    else
      outcome = write_and_wait(layer, at, piece);
    return bool(outcome);
  });
  if (!whole) return whole.failure();
  return *whole || !outcome ? outcome : lies(layer.digest());
}

}  // namespace

Outcome<util::Done> CachedLayer::share(int file) {
  if (::ftruncate(file, static_cast<off_t>(size_on_disk())))
    return Failure{Fault::unavailable, std::strerror(errno)};
  const Lease lease(shared_from_this(), {0, size_});
  // More than is missing now: a block that is here may be found wrong meanwhile.
  const uint64_t cost = chunk::block_count(size_) * chunk::kBlockSize;
  if (lease.meets_eviction())
    return Failure{Fault::unavailable, "parts of it are being evicted at this moment"};
  if (!budget_.reserve(cost, chunk::Class::backfill))
    return Failure{Fault::no_space, "the cache quota is full"};
  const file_clone_range all{file, 0, 0, 0};
  if (::ioctl(buffered_, FICLONERANGE, &all)) {
    const util::SysError error("share layer " + digest_.short_hex());
    for (auto& extent : extents_) extent.spoiled = true;
    budget_.give_back(cost);
    budget_.disk_failed(error);
    return Failure{Fault::unavailable, error.what()};
  }
  uint64_t fresh = 0;
  for (uint64_t i = 0; i < chunk::block_count(size_); ++i) {
    suspects_.clear(i);
    fresh += set(i);
  }
  present_ += fresh;
  dirty_ = true;
  budget_.give_back(cost - fresh * chunk::kBlockSize);
  lookahead_.clear();
  if (!sync()) return Failure{Fault::unavailable, "the cache disk fails"};
  return util::Done{};
}

Outcome<Adopted> ChunkCache::adopt(const util::Digest& digest, uint64_t size, int file,
                                   bool may_copy, const std::function<void()>& before_first_byte,
                                   const std::stop_token& stop) {
  struct stat facts {};
  if (::fstat(file, &facts) || !S_ISREG(facts.st_mode) ||
      static_cast<uint64_t>(facts.st_size) != size)
    return lies(digest);
  const auto known = find({digest, chunk::Form::bytes});
  if (known && known->size() != size) return lies(digest);
  const uint64_t cost = chunk::block_count(size) * chunk::kBlockSize - (known ? known->cost() : 0);
  if (cost == 0) return Adopted::before;
  if (used_ + cost > allowance_.low())
    return Failure{Fault::no_space, "the cache has no room for it below its low watermark"};
  const auto snapshot = snapshot_of(file, options_.directory / "layers");
  if (!snapshot && (snapshot.failure().fault != Fault::invalid || !may_copy))
    return snapshot.failure();
  chunk::HashTreeBuilder builder;
  if (const auto proven = prove(snapshot ? snapshot->get() : file, digest, size,
                                snapshot ? nullptr : &builder, stop);
      !proven)
    return proven.failure();
  // Nothing of it is on the disk, nor known, before all of it proved right.
  before_first_byte();
  const auto held = open(digest, size, chunk::Form::bytes);
  const auto layer = find({digest, chunk::Form::bytes});
  const auto outcome =
      snapshot ? layer->share(snapshot->get()) : copy_in(*layer, file, builder.finish(), stop);
  if (!outcome) return outcome.failure();
  return snapshot ? Adopted::shared : Adopted::copied;
}

}  // namespace swarmfs::cache
