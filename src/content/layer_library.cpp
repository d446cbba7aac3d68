// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/layer_library.h"

#include <cstring>

#include "content/layer_stream.h"
#include "layer/bad_layer.h"
#include "layer/indexer.h"
#include "util/log.h"

namespace swarmfs::content {

using chunk::Class;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

std::string document_name(const util::Digest& digest) {
  return "index/" + digest.hex();
}

/// Writes the data space to its store in 1 MiB pieces, and keeps what somebody waits for.
class SpaceWriter {
 public:
  SpaceWriter(std::shared_ptr<chunk::StoredLayer> space, util::ByteRange wanted)
      : space_(std::move(space)), wanted_(wanted), kept_(wanted.length) {}

  void feed(util::ByteView bytes) {
    keep(bytes);
    piece_.insert(piece_.end(), bytes.begin(), bytes.end());
    if (piece_.size() >= kPiece) flush(piece_.size() / chunk::kBlockSize * chunk::kBlockSize);
  }
  util::Bytes finish() {
    flush(piece_.size());
    return std::move(kept_);
  }

 private:
  static constexpr size_t kPiece = 1 << 20;

  void keep(util::ByteView bytes) {
    const uint64_t at = written_ + piece_.size();
    const uint64_t start = std::max(at, wanted_.offset),
                   end = std::min(at + bytes.size(), wanted_.end());
    if (start < end)
      std::memcpy(kept_.data() + (start - wanted_.offset), bytes.data() + (start - at),
                  end - start);
  }
  void flush(size_t length) {
    if (length == 0) return;
    util::Bytes rest(piece_.begin() + static_cast<std::ptrdiff_t>(length), piece_.end());
    piece_.resize(length);
    std::promise<void> done;
    // Not kept when the quota is full: the next reader inflates again.
    space_->write(chunk::BlockIndex{written_ / chunk::kBlockSize},
                  util::SharedBytes::of(std::move(piece_)), Class::pull,
                  [&](Outcome<util::Done>) { done.set_value(); });
    done.get_future().wait();
    written_ += length;
    piece_ = std::move(rest);
  }

  std::shared_ptr<chunk::StoredLayer> space_;
  util::ByteRange wanted_;
  util::Bytes kept_;
  util::Bytes piece_;
  uint64_t written_ = 0;
};

}  // namespace

LayerLibrary::LayerLibrary(fetch::Fetcher& fetcher, chunk::Store& store, util::Metrics& metrics)
    : fetcher_(fetcher),
      store_(store),
      mismatches_(metrics.counter("swarmfs_verification_failures_total",
                                  "Bytes that did not match their digest",
                                  {{"source", "registry"}})) {}

std::shared_ptr<Content> LayerLibrary::assemble(const chunk::LayerRef& ref,
                                                layer::LayerIndex index) {
  auto made = std::make_shared<Content>();
  made->bytes = fetcher_.open(ref);
  if (!index.seekable())
    made->space = store_.open(ref.digest, index.space_size, chunk::Form::space);
  made->index = std::make_shared<const layer::LayerIndex>(std::move(index));
  (*known_.lock())[ref.digest] = made;
  return made;
}

std::shared_ptr<Content> LayerLibrary::open_known(const chunk::LayerRef& ref) {
  {
    auto known = known_.lock();
    if (auto content = (*known)[ref.digest].lock()) return content;
  }
  const auto document = store_.load_document(document_name(ref.digest));
  if (!document) return nullptr;
  auto index = layer::LayerIndex::parse(*document);
  if (index && index->layer_size == ref.size) return assemble(ref, std::move(*index));
  util::log::warning("layer {}: {}; it is made again", ref.digest.short_hex(),
                     index ? "the index is of another size" : index.failure().message);
  return nullptr;
}

LayerLibrary::Opened LayerLibrary::open(const chunk::LayerRef& ref) {
  if (auto content = open_known(ref)) return content;
  std::promise<Opened> promise;
  std::shared_future<Opened> future;
  bool mine = false;
  {
    auto building = building_.lock();
    const auto found = building->find(ref.digest);
    mine = found == building->end();
    future = mine ? promise.get_future().share() : found->second;
    if (mine) building->emplace(ref.digest, future);
  }
  if (!mine) return future.get();
  Opened outcome = Failure{Fault::unavailable, ""};
  try {
    outcome = build(ref);
  } catch (const std::exception& error) {
    outcome = Failure{Fault::unavailable,
                      "while indexing layer " + ref.digest.short_hex() + ": " + error.what()};
  }
  building_.lock()->erase(ref.digest);
  promise.set_value(outcome);
  return outcome;
}

Failure LayerLibrary::drop(fetch::Layer& layer, const std::string& why) {
  layer.stored().discard();
  mismatches_.add();
  Failure failure{Fault::corrupt, "layer " + layer.ref().digest.to_string() +
                                      " from the registry " + why + "; its bytes were dropped"};
  util::log::error("{}", failure.message);
  return failure;
}

LayerLibrary::Opened LayerLibrary::build(const chunk::LayerRef& ref) {
  auto bytes = fetcher_.open(ref);
  LayerStream stream(fetcher_, bytes, Class::pull);
  layer::Indexer indexer;
  util::Sha256 hash;
  std::optional<std::string> bad;
  for (;;) {
    auto piece = stream.next();
    if (!piece) return piece.failure();
    if (piece->size() == 0) break;
    hash.update(piece->view());
    try {
      if (!bad) indexer.feed(piece->view());
    } catch (const layer::BadLayer& error) {
      bad = error.what();
    }
  }
  // The digest decides whether the registry lied or the image is broken.
  if (hash.finish() != ref.digest) return drop(*bytes, "does not match its digest");
  bytes->stored().mark_verified();
  try {
    if (bad) throw layer::BadLayer(*bad);
    layer::LayerIndex index = indexer.finish();
    store_.save_document(document_name(ref.digest), index.serialize());
    auto content = assemble(ref, std::move(index));
    if (content->space)
      if (const auto filled = fill_space(*content, {}); !filled) return filled.failure();
    return content;
  } catch (const layer::BadLayer& error) {
    return Failure{Fault::invalid,
                   "layer " + ref.digest.to_string() + " is no usable archive: " + error.what()};
  }
}

Outcome<util::SharedBytes> LayerLibrary::fill_space(const Content& content,
                                                    util::ByteRange wanted) {
  LayerStream stream(fetcher_, content.bytes, Class::pull);
  SpaceWriter writer(content.space, wanted);
  layer::IndexerOptions options;
  options.on_space = [&](util::ByteView bytes) { writer.feed(bytes); };
  layer::Indexer inflater(std::move(options));
  try {
    for (;;) {
      auto piece = stream.next();
      if (!piece) return piece.failure();
      if (piece->size() == 0) break;
      inflater.feed(piece->view());
    }
  } catch (const layer::BadLayer& error) {
    return drop(*content.bytes, std::string("cannot be inflated (") + error.what() + ")");
  }
  return util::SharedBytes::of(writer.finish());
}

Outcome<util::Done> LayerLibrary::verify(const Content& content) {
  auto& stored = content.bytes->stored();
  if (stored.verified()) return util::Done{};
  if (!stored.has(chunk::blocks_covering({0, stored.size()})))
    return Failure{Fault::not_found, "bytes are missing"};
  LayerStream stream(fetcher_, content.bytes, Class::backfill);
  util::Sha256 hash;
  for (;;) {
    auto piece = stream.next();
    if (!piece) return piece.failure();
    if (piece->size() == 0) break;
    hash.update(piece->view());
  }
  if (hash.finish() != content.ref().digest)
    return drop(*content.bytes, "does not match its digest");
  stored.mark_verified();
  return util::Done{};
}

}  // namespace swarmfs::content
