// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/data_reader.h"

#include <array>
#include <atomic>
#include <cstring>

#include "util/log.h"

namespace swarmfs::content {

using util::ByteRange;
using util::Failure;
using util::Fault;
using util::Outcome;
using util::SharedBytes;
using namespace std::chrono_literals;

namespace {

/// A window has peers alone as its source, and who has it is news after a moment. Then the layer is
/// streamed for its sake.
constexpr std::array kWindowPauses{100ms, 300ms, 600ms};

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

}  // namespace

/// One read in the making: answers when its last part has come, or at its deadline.
struct DataReader::Gather {
  ContentPtr content;
  chunk::FetchContext context;
  bool claimed = false;  ///< when it began: a dispute may be over before all its parts have failed
  std::shared_ptr<util::Bytes> out;
  std::atomic<size_t> lacking{1};  ///< parts, and one for the starter
  std::atomic<bool> ended{false};
  util::Sync<std::optional<Failure>> failure;
  util::CallbackGate gate;
  OnRead on_read;
  util::SteadyTime started;
  VainReads::Read what;
  std::shared_ptr<VainReads> vain;
  util::Sync<std::vector<util::Operation>> operations;
  util::Operation
      timer;  ///< dies with the rest: nobody who has what its callback wants waits for it

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
    end(failed);
  }
  void end(const std::optional<Failure>& failed) {
    if (ended.exchange(true)) return;
    if (failed) vain->note(what, started, std::chrono::steady_clock::now());
    gate.run([&] {
      // Let go of the callback: it may own the operation that owns this.
      const auto call = std::exchange(on_read, nullptr);
      if (failed)
        call(*failed);
      else
        call(SharedBytes(out, *out));
    });
  }
  void give_up(const char* why) {
    end(Failure{Fault::timed_out, why});
    std::vector<util::Operation> rest;
    std::swap(rest, *operations.lock());
  }
  /// The claim that vouches for index and bytes may be a lie; see LayerLibrary::dispute().
  [[nodiscard]] bool disputable(const Outcome<SharedBytes>& bytes, int attempt) const {
    return attempt == 0 && claimed && !bytes && bytes.failure().fault == Fault::corrupt;
  }
  void hold(util::Operation operation) { operations.lock()->push_back(std::move(operation)); }
};

/// One span on its way to all who joined it in spans_.
struct DataReader::SpanFlight {
  std::shared_ptr<void> stays;  ///< first: it goes last
  ContentPtr content;
  chunk::FetchContext context;  ///< its first reader's, with the deadline of the fetch at hand
  SpanCache::Key key;
  bool claimed = false;  ///< as Gather's
  int attempt = 0;
  bool doubted_window = false, made_windows = false;
  size_t window_tries = 0;
  std::atomic<int> lacking{0};  ///< of the next two
  std::optional<Outcome<SharedBytes>> bytes;
  std::optional<Outcome<SharedBytes>> packed;  ///< window; empty: `window` it is
  util::Bytes window;
  util::Sync<std::vector<util::Operation>> operations;

  [[nodiscard]] bool disputable(const Failure& why) const {
    return attempt == 0 && claimed && why.fault == Fault::corrupt;
  }
};

DataReader::DataReader(fetch::Fetcher& fetcher, LayerLibrary& library, util::Workers& workers,
                       util::Timers& timers, uint64_t span_cache_bytes)
    : fetcher_(fetcher),
      library_(library),
      workers_(workers),
      timers_(timers),
      spans_(span_cache_bytes) {}

DataReader::~DataReader() {
  auto jobs = jobs_.lock();
  jobs.wait(jobs_changed_, [&] { return jobs->count == 0; });
}

std::shared_ptr<void> DataReader::stay() {
  ++jobs_.lock()->count;
  return {nullptr, [this](void*) {
            auto jobs = jobs_.lock();
            --jobs->count;
            jobs_changed_.notify_all();
          }};
}

void DataReader::post(util::Workers& workers, std::function<void()> job) {
  workers.post(util::Workers::Urgency::urgent, [stays = stay(), job = std::move(job)] { job(); });
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
      fetcher_.count_hit(*content.bytes, chunk::Class::fault, piece.space.length);
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
  gather->started = std::chrono::steady_clock::now();
  gather->what = {gather->content->ref().digest, file, range};
  gather->vain = vain_;
  gather_parts(gather, file, range);
  if (!gather->ended && vain_->recent(gather->what, gather->started)) {
    gather->give_up("no source gave the bytes to the read before this one in time");
  } else if (!gather->ended && gather->context.deadline != util::SteadyTime::max()) {
    gather->timer = timers_.at(gather->context.deadline, [weak = std::weak_ptr<Gather>(gather)] {
      if (const auto late = weak.lock()) late->give_up("no source gave the bytes in time");
    });
  }
  return util::Operation([gather] { gather->gate.close(); });
}

void DataReader::gather_parts(const GatherPtr& gather, layer::InodeIndex file, ByteRange range) {
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
}

void DataReader::settle(const ContentPtr& content, std::function<void(bool)> go_on) {
  post(disputes_, [this, content, go_on = std::move(go_on)] {
    const bool disputed = library_.dispute(*content);
    go_on(disputed || !content->standing->claimed());
    post(settlements_, [this, content] {
      if (!content->standing->claimed()) return;
      if (const auto settled = library_.settle(*content); !settled)
        util::log::error("{}", settled.failure().message);
    });
  });
}

void DataReader::gather_bytes(const GatherPtr& gather, ByteRange space, uint64_t at, int attempt) {
  ++gather->lacking;
  gather->hold(fetcher_.read(gather->content->bytes, space, gather->context,
                             [this, gather, at, space, attempt](Outcome<SharedBytes> bytes) {
                               if (!gather->disputable(bytes, attempt))
                                 return gather->put(bytes, {0, space.length}, at);
                               settle(gather->content,
                                      [this, gather, space, at, bytes](bool again) {
                                        if (!again)
                                          return gather->put(bytes, {0, space.length}, at);
                                        gather_bytes(gather, space, at, 1);
                                        gather->part_done();
                                      });
                             }));
}

void DataReader::gather_space(const GatherPtr& gather, ByteRange space, uint64_t at) {
  ++gather->lacking;
  gather->content->space->read(
      space, [this, stays = stay(), gather, space, at](const Outcome<SharedBytes>& bytes) {
        const auto& content = *gather->content;
        if (bytes) fetcher_.count_hit(*content.bytes, gather->context.cls, space.length);
        if (bytes || bytes.failure().fault != Fault::not_found)
          return gather->put(bytes, {0, space.length}, at);
        gather->hold(library_.read_space(content, space,
                                         [gather, space, at](const Outcome<SharedBytes>& inflated) {
                                           gather->put(inflated, {0, space.length}, at);
                                         }));
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
      key, gather->context.deadline,
      [gather, from, to](const Outcome<SharedBytes>& bytes) { gather->put(bytes, from, to); });
  if (join.hit) return gather->put(*join.hit, from, to);
  if (!join.first) return;
  auto flight = std::make_shared<SpanFlight>();
  flight->stays = stay();
  flight->content = gather->content;
  flight->context = gather->context;
  flight->key = key;
  flight->claimed = gather->claimed;
  bring(flight);
}

void DataReader::bring(const SpanFlightPtr& flight) {
  flight->context.deadline = spans_.wanted_until(flight->key);
  const auto& content = *flight->content;
  flight->lacking = 2;
  bring_window(flight);
  auto fetch = fetcher_.read(content.bytes, content.index->span(flight->key.span).bytes,
                             flight->context, [this, flight](Outcome<SharedBytes> bytes) {
                               flight->bytes.emplace(std::move(bytes));
                               part_came(flight);
                             });
  flight->operations.lock()->push_back(std::move(fetch));
}

void DataReader::bring_window(const SpanFlightPtr& flight) {
  const auto& content = *flight->content;
  const auto& from = content.index->checkpoints[flight->key.span];
  flight->packed.reset();
  if (from.window.empty() || !content.windows || finds_window(flight)) return part_came(flight);
  auto fetch = content.windows->read(*content.index, flight->key.span, flight->context,
                                     [this, flight](Outcome<SharedBytes> packed) {
                                       flight->packed.emplace(std::move(packed));
                                       part_came(flight);
                                     });
  flight->operations.lock()->push_back(std::move(fetch));
}

bool DataReader::finds_window(const SpanFlightPtr& flight) {
  if (!flight->window.empty()) return true;
  auto before = flight->key;
  if (before.span-- == 0) return false;
  const auto bytes = spans_.find(before);
  if (!bytes || bytes->size() < layer::kLongestWindow) return false;
  const auto end = bytes->view().last(layer::kLongestWindow);
  const auto& from = flight->content->index->checkpoints[flight->key.span];
  if (layer::hash_of_window(end) != from.window_hash) return false;
  flight->window.assign(end.begin(), end.end());
  return true;
}

void DataReader::part_came(const SpanFlightPtr& flight) {
  if (--flight->lacking > 0) return;
  if (!*flight->bytes) return not_brought(flight, flight->bytes->failure());
  if (!flight->packed || *flight->packed)
    return post(workers_, [this, flight] { inflate(flight); });
  const auto why = flight->packed->failure();
  // Who joined later has more time left, and may still get it from where it did not come in time.
  if (flight->made_windows || why.fault == Fault::cancelled || why.fault == Fault::timed_out)
    return not_brought(flight, why);
  if (flight->window_tries == kWindowPauses.size()) return make_windows(flight, false);
  timers_.post(kWindowPauses.at(flight->window_tries++), [this, flight] {
    flight->lacking = 1;
    bring_window(flight);
  });
}

void DataReader::on_wrong_window(const SpanFlightPtr& flight, const Failure& why) {
  if (flight->made_windows) return not_brought(flight, why);
  // Either the disk has lost it, or it is what the index binds and not what the index says.
  if (flight->doubted_window) return make_windows(flight, true);
  flight->doubted_window = true;
  const auto& content = *flight->content;
  content.windows->stored()->stored().suspect(
      chunk::blocks_covering(content.index->checkpoints[flight->key.span].window));
  bring(flight);
}

void DataReader::make_windows(const SpanFlightPtr& flight, bool wrong) {
  flight->made_windows = true;
  post(windows_, [this, flight, wrong] {
    const auto made = library_.make_windows(*flight->content, wrong);
    if (made) return bring(flight);
    not_brought(flight, made.failure());
  });
}

void DataReader::bring_again(const SpanFlightPtr& flight) {
  ++flight->attempt;
  bring(flight);
}

void DataReader::not_brought(const SpanFlightPtr& flight, const Failure& why) {
  // Who joined later has more time left than the fetch was given.
  if (util::may_pass(why.fault) && spans_.wanted_until(flight->key) > flight->context.deadline)
    return bring(flight);
  if (!flight->disputable(why)) return spans_.finish(flight->key, why);
  settle(flight->content, [this, flight, why](bool again) {
    if (!again) return spans_.finish(flight->key, why);
    bring_again(flight);
  });
}

void DataReader::inflate(const SpanFlightPtr& flight) {
  const auto& content = *flight->content;
  const auto span = content.index->span(flight->key.span);
  if (flight->packed) {
    auto window = content.index->unpack(span.index, (*flight->packed)->view());
    if (!window) return on_wrong_window(flight, window.failure());
    flight->window = std::move(*window);
  }
  auto inflated = content.index->inflate(span, flight->bytes->value().view(), flight->window);
  if (inflated) return spans_.finish(flight->key, SharedBytes::of(std::move(*inflated)));
  const auto& why = inflated.failure();
  if (flight->disputable(why)) return not_brought(flight, why);
  util::log::error("layer {}: {}; its cached bytes are not trusted any more",
                   content.ref().digest.short_hex(), why.message);
  // Under a tree only the disk can have lost them.
  if (content.bytes->sealed())
    content.bytes->stored().suspect(chunk::blocks_covering(span.bytes));
  else
    content.bytes->discard(why.message);
  if (flight->attempt == 0) return bring_again(flight);
  spans_.finish(flight->key, why);
}

}  // namespace swarmfs::content
