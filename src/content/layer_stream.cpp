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
                         chunk::Class cls, bool no_peers)
    : fetcher_(fetcher),
      layer_(std::move(layer)),
      context_{cls, util::SteadyTime::max(), "index", no_peers} {}

void LayerStream::fill() {
  while (pending_.size() < kWindow && asked_ < layer_->ref().size) {
    const auto range = util::ByteRange{asked_, kPiece}.clamp(layer_->ref().size);
    asked_ = range.end();
    Pending made;
    made.promise = std::make_shared<std::promise<util::Outcome<util::SharedBytes>>>();
    made.operation =
        fetcher_.read(layer_, range, context_,
                      [promise = made.promise](util::Outcome<util::SharedBytes> outcome) {
                        promise->set_value(std::move(outcome));
                      });
    pending_.push_back(std::move(made));
  }
}

util::Outcome<util::SharedBytes> LayerStream::next() {
  fill();
  if (pending_.empty()) return util::SharedBytes();
  auto outcome = pending_.front().promise->get_future().get();
  pending_.pop_front();
  fill();
  return outcome;
}

}  // namespace swarmfs::content
