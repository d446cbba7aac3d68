// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/data_reader.h"

#include <atomic>
#include <cstring>

#include "util/log.h"

namespace swarmfs::content {

using util::ByteRange;
using util::Failure;
using util::Fault;
using util::Outcome;
using util::SharedBytes;

namespace {

struct Piece {
  ByteRange space;
  uint64_t at = 0;  ///< in the answer
};

/// Where the bytes of `range` of a file lie; what no piece covers is zeros.
std::vector<Piece> pieces_of(const layer::Inode& inode, ByteRange range) {
  std::vector<Piece> found;
  for (const auto& extent : inode.extents) {
    const uint64_t start = std::max(extent.file_offset, range.offset);
    const uint64_t end = std::min(extent.file_offset + extent.length, range.end());
    if (start < end)
      found.push_back({{extent.space_offset + (start - extent.file_offset), end - start},
                       start - range.offset});
  }
  return found;
}

ByteRange overlap(ByteRange a, ByteRange b) {
  const uint64_t start = std::max(a.offset, b.offset), end = std::min(a.end(), b.end());
  return {start, end > start ? end - start : 0};
}

}  // namespace

/// One read in the making: answers when its last part has come, or with the first failure.
struct DataReader::Gather {
  std::shared_ptr<const Content> content;
  chunk::FetchContext context;
  bool claimed = false;  ///< when it began: a dispute may be over before all its parts have failed
  std::shared_ptr<util::Bytes> out;
  std::atomic<size_t> lacking{1};  ///< parts, and one for the starter
  util::Sync<std::optional<Failure>> failure;
  util::CallbackGate gate;
  OnRead on_read;
  util::Sync<std::vector<util::Operation>> operations;

  void put(const Outcome<SharedBytes>& bytes, ByteRange from, uint64_t at) {
    if (bytes)
      std::memcpy(out->data() + at, bytes->data() + from.offset, from.length);
    else
      *failure.lock() = bytes.failure();
    part_done();
  }
  void part_done() {
    if (--lacking > 0) return;
    const auto failed = *failure.lock();
    gate.run([&] {
      // Let go of the callback: it may own the operation that owns this.
      const auto call = std::exchange(on_read, nullptr);
      if (failed)
        call(*failed);
      else
        call(SharedBytes(out, *out));
    });
  }
  /// The claim that vouches for index and bytes may be a lie; see LayerLibrary::dispute().
  [[nodiscard]] bool disputable(const Outcome<SharedBytes>& bytes, int attempt) const {
    return attempt == 0 && claimed && !bytes && bytes.failure().fault == Fault::corrupt;
  }
  void hold(util::Operation operation) { operations.lock()->push_back(std::move(operation)); }
};

DataReader::DataReader(fetch::Fetcher& fetcher, LayerLibrary& library, util::Workers& workers,
                       uint64_t span_cache_bytes)
    : fetcher_(fetcher), library_(library), workers_(workers), spans_(span_cache_bytes) {}

DataReader::~DataReader() {
  auto jobs = jobs_.lock();
  jobs.wait(jobs_changed_, [&] { return jobs->count == 0; });
}

void DataReader::post(util::Workers& workers, std::function<void()> job) {
  ++jobs_.lock()->count;
  workers.post(util::Workers::Urgency::urgent, [this, job = std::move(job)] {
    job();
    auto jobs = jobs_.lock();
    --jobs->count;
    jobs_changed_.notify_all();
  });
}

bool DataReader::try_read_now(const Content& content, layer::InodeIndex file, ByteRange range,
                              std::byte* into) {
  if (content.standing->refuted()) return false;
  const auto& index = *content.index;
  const auto pieces = pieces_of(index.files.inode(file), range);
  uint64_t covered = 0;
  for (const auto& piece : pieces) {
    covered += piece.space.length;
    if (index.compression == layer::Compression::none) {
      if (!fetcher_.try_read_now(*content.bytes, piece.space, into + piece.at)) return false;
    } else if (content.space) {
      if (!content.space->try_read_now(piece.space, into + piece.at)) return false;
    } else {
      for (const auto& span : index.spans(piece.space)) {
        const auto bytes =
            spans_.find({content.ref().digest, content.standing->generation(), span.index});
        if (!bytes) return false;
        const ByteRange part = overlap(span.space, piece.space);
        std::memcpy(into + piece.at + (part.offset - piece.space.offset),
                    bytes->data() + (part.offset - span.space.offset), part.length);
      }
    }
  }
  if (covered == range.length) return true;
  // Sparse: zeros between the pieces.
  uint64_t at = 0;
  for (const auto& piece : pieces) {
    std::memset(into + at, 0, piece.at - at);
    at = piece.at + piece.space.length;
  }
  std::memset(into + at, 0, range.length - at);
  return true;
}

util::Operation DataReader::read(std::shared_ptr<const Content> content, layer::InodeIndex file,
                                 ByteRange range, chunk::FetchContext context, OnRead on_read) {
  if (content->standing->refuted()) {
    on_read(Failure{Fault::corrupt, "the index of this layer was wrong; mount its images anew"});
    return {};
  }
  auto gather = std::make_shared<Gather>();
  gather->content = std::move(content);
  gather->context = std::move(context);
  gather->claimed = gather->content->standing->claimed();
  gather->out = std::make_shared<util::Bytes>(range.length);
  gather->on_read = std::move(on_read);
  const auto& index = *gather->content->index;
  for (const auto& piece : pieces_of(index.files.inode(file), range)) {
    if (index.compression == layer::Compression::none)
      gather_bytes(gather, piece.space, piece.at);
    else if (gather->content->space)
      gather_space(gather, piece.space, piece.at);
    else
      for (const auto& span : index.spans(piece.space))
        gather_span(gather, span, piece.space, piece.at);
  }
  gather->part_done();
  return util::Operation([gather] { gather->gate.close(); });
}

void DataReader::settle(const GatherPtr& gather, std::function<void(bool)> go_on) {
  post(fills_, [this, gather, go_on = std::move(go_on)] {
    const bool disputed = library_.dispute(*gather->content);
    go_on(disputed || !gather->content->standing->claimed());
  });
  post(fills_, [this, gather] {
    if (!gather->content->standing->claimed()) return;
    if (const auto settled = library_.settle(*gather->content); !settled)
      util::log::error("{}", settled.failure().message);
  });
}

void DataReader::gather_bytes(const GatherPtr& gather, ByteRange space, uint64_t at, int attempt) {
  ++gather->lacking;
  gather->hold(fetcher_.read(gather->content->bytes, space, gather->context,
                             [this, gather, at, space, attempt](Outcome<SharedBytes> bytes) {
                               if (!gather->disputable(bytes, attempt))
                                 return gather->put(bytes, {0, space.length}, at);
                               settle(gather, [this, gather, space, at, bytes](bool again) {
                                 if (!again) return gather->put(bytes, {0, space.length}, at);
                                 gather_bytes(gather, space, at, 1);
                                 gather->part_done();
                               });
                             }));
}

void DataReader::gather_space(const GatherPtr& gather, ByteRange space, uint64_t at) {
  ++gather->lacking;
  gather->content->space->read(space, [this, gather, space, at](Outcome<SharedBytes> bytes) {
    if (bytes || bytes.failure().fault != Fault::not_found)
      return gather->put(bytes, {0, space.length}, at);
    post(fills_, [this, gather, space, at] {
      gather->put(library_.fill_space(*gather->content, space), {0, space.length}, at);
    });
  });
}

void DataReader::gather_span(const GatherPtr& gather, const layer::Span& span, ByteRange space,
                             uint64_t at) {
  const ByteRange part = overlap(span.space, space);
  const ByteRange from{part.offset - span.space.offset, part.length};
  const uint64_t to = at + (part.offset - space.offset);
  ++gather->lacking;
  const SpanCache::Key key{gather->content->ref().digest, gather->content->standing->generation(),
                           span.index};
  const auto join = spans_.join(
      key, [gather, from, to](const Outcome<SharedBytes>& bytes) { gather->put(bytes, from, to); });
  if (join.hit)
    gather->put(*join.hit, from, to);
  else if (join.first)
    bring_span(gather, key, 0);
}

void DataReader::bring_span(const GatherPtr& gather, const SpanCache::Key& key, int attempt) {
  gather->hold(fetcher_.read(
      gather->content->bytes, gather->content->index->span(key.span).bytes, gather->context,
      [this, gather, key, attempt](Outcome<SharedBytes> compressed) {
        if (compressed)
          return post(workers_, [this, gather, key, attempt, bytes = *compressed] {
            inflate(gather, key, attempt, bytes);
          });
        if (!gather->disputable(compressed, attempt))
          return spans_.finish(key, compressed.failure());
        settle(gather, [this, gather, key, failure = compressed.failure()](bool again) {
          if (!again) return spans_.finish(key, failure);
          bring_span(gather, key, 1);
        });
      }));
}

void DataReader::inflate(const GatherPtr& gather, const SpanCache::Key& key, int attempt,
                         SharedBytes compressed) {
  auto& content = *gather->content;
  auto inflated = content.index->inflate(content.index->span(key.span), compressed.view());
  if (inflated) return spans_.finish(key, SharedBytes::of(std::move(*inflated)));
  const auto& why = inflated.failure();
  if (gather->disputable(why, attempt))
    return settle(gather, [this, gather, key, why](bool again) {
      if (!again) return spans_.finish(key, why);
      bring_span(gather, key, 1);
    });
  util::log::error("layer {}: {}; its cached bytes are not trusted any more",
                   content.ref().digest.short_hex(), why.message);
  // Under a tree only the disk can have lost them.
  if (content.bytes->sealed())
    content.bytes->stored().suspect(chunk::blocks_covering(content.index->span(key.span).bytes));
  else
    content.bytes->discard(why.message);
  if (attempt == 0) return bring_span(gather, key, 1);
  spans_.finish(key, why);
}

}  // namespace swarmfs::content
