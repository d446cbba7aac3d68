// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/layer_stream.h"

namespace swarmfs::content {

namespace {
constexpr uint64_t kPiece = 1 << 20;
/// Layers are streamed side by side, and by many nodes at once: more would only queue.
constexpr size_t kWindow = 3;
}  // namespace

LayerStream::LayerStream(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> layer,
                         chunk::FetchContext context)
    : fetcher_(fetcher), layer_(std::move(layer)), context_(std::move(context)) {}

void LayerStream::fill() {
  while (pending_.size() < kWindow && asked_ < layer_->ref().size) {
    const auto range = util::ByteRange{asked_, kPiece}.clamp(layer_->ref().size);
    asked_ = range.end();
    pending_.push_back({range.offset, {}});
    pending_.back().operation = fetcher_.read(
        layer_, range, context_, [this, at = range.offset](util::Outcome<util::SharedBytes> bytes) {
          auto answers = answers_.lock();
          answers->by_offset.emplace(at, std::move(bytes));
          answered_.notify_all();
        });
  }
}

util::Outcome<util::SharedBytes> LayerStream::next() {
  fill();
  if (pending_.empty()) return util::SharedBytes();
  auto answers = answers_.lock();
  auto& arrived = answers->by_offset;
  const uint64_t at = pending_.front().offset;
  answers.wait(answered_, [&] { return answers->stopped || arrived.contains(at); });
  if (answers->stopped)
    return util::Failure{util::Fault::cancelled, "nobody waits for the layer any more"};
  auto bytes = std::move(arrived.extract(at).mapped());
  answers.unlock();
  pending_.pop_front();
  fill();
  return bytes;
}

bool LayerStream::next_is_here() const {
  const uint64_t at = pending_.empty() ? asked_ : pending_.front().offset;
  // With the one that next() asks for in the place of what it returns.
  const auto range = util::ByteRange{at, (kWindow + 1) * kPiece}.clamp(layer_->ref().size);
  return layer_->stored().has(chunk::blocks_covering(range));
}

void LayerStream::stop() {
  answers_.lock()->stopped = true;
  answered_.notify_all();
}

}  // namespace swarmfs::content
